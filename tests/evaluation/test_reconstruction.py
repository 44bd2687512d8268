"""SSIM and MS-SSIM against their papers' definitions, in float64 with scipy's filters; PSNR against torchmetrics.

Only windows inside the image count, at every scale, as in the authors' code.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest
import scipy.ndimage
import torch
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio

from genimg.common.ssim import MS_SSIM_SMALLEST
from genimg.evaluation.metrics.similarity import pixel_metrics
from genimg.evaluation.reconstruction import reconstruction_figures
from tests.evaluation.test_figures import CPU, by_name, pixels, some_images

C1, C2 = 0.01**2, 0.03**2  # Wang et al. 2004, section III.B, of images in [0, 1]
SCIKIT_IMAGE = [0.8492267794795867, 0.8526909131142579]  # see `test_ssim_equals_scikit_images`
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003, section 4.1


def pair(height: int, width: int, channels: int = 3) -> tuple[Tensor, Tensor]:
    """Smooth images, and the same with noise and another contrast; in [0, 1]."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(2, channels, 6, 6, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)
    noise = torch.randn(smooth.shape, generator=generator)
    return smooth, (0.8 * smooth + 0.1 + 0.05 * noise).clamp(0, 1)


def gaussian(image: np.ndarray) -> np.ndarray:
    """Means under a window of 11 pixels with a deviation of 1.5."""
    return scipy.ndimage.gaussian_filter(image, 1.5, radius=5)[5:-5, 5:-5]


def flat(image: np.ndarray) -> np.ndarray:
    """Means of 7 x 7 pixels."""
    return scipy.ndimage.uniform_filter(image, 7)[3:-3, 3:-3]


def maps(a: np.ndarray, b: np.ndarray, window: Callable[[np.ndarray], np.ndarray] = gaussian) -> list[np.ndarray]:
    """Luminance, and contrast times structure, of each window inside one channel."""
    mean_a, mean_b = window(a), window(b)
    var_a, var_b = window(a * a) - mean_a**2, window(b * b) - mean_b**2
    covariance = window(a * b) - mean_a * mean_b
    return [(2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1), (2 * covariance + C2) / (var_a + var_b + C2)]


def halved(image: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels; an odd last row or column is dropped."""
    height, width = (side - side % 2 for side in image.shape)
    return image[:height, :width].reshape(height // 2, 2, width // 2, 2).mean((1, 3))


def by_channel(one: Tensor, other: Tensor) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(a.double().numpy(), b.double().numpy()) for a, b in zip(one, other, strict=True)]


@pytest.mark.parametrize(
    ("height", "width", "window"),
    [(28, 28, gaussian), (32, 48, gaussian), (11, 64, gaussian), (8, 8, flat), (10, 13, flat)],
)
def test_ssim_equals_its_definition(height: int, width: int, window: Callable[[np.ndarray], np.ndarray]) -> None:
    """A uniform window of 7 pixels if the Gaussian window of 11 does not fit."""
    a, b = pair(height, width)
    channels = [by_channel(*both) for both in zip(a, b, strict=True)]
    expected = [np.mean([np.prod(maps(x, y, window), axis=0) for x, y in image]) for image in channels]
    assert pixel_metrics(a, b)["ssim"].tolist() == pytest.approx(expected, rel=1e-9)


def test_ssim_equals_scikit_images() -> None:
    """Values of scikit-image 0.26: gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1."""
    rows, columns = torch.meshgrid(*[torch.arange(28).double()] * 2, indexing="ij")
    a = torch.stack([(rows * columns) % 17 / 16, (rows * rows + 3 * columns) % 23 / 22])[:, None]
    b = (a + (rows + 2 * columns) % 5 / 10).clamp(0, 1)
    assert pixel_metrics(a, b)["ssim"].tolist() == pytest.approx(SCIKIT_IMAGE, abs=1e-9)


def ms_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """MS-SSIM of one channel."""
    product = 1.0
    for weight in WEIGHTS[:-1]:
        product *= np.mean(maps(x, y)[1]) ** weight
        x, y = halved(x), halved(y)
    return product * np.mean(np.prod(maps(x, y), axis=0)) ** WEIGHTS[-1]


def test_ms_ssim_equals_its_definition() -> None:
    a, b = pair(176, 201)
    expected = [np.mean([ms_ssim(x, y) for x, y in by_channel(*both)]) for both in zip(a, b, strict=True)]
    assert pixel_metrics(a, b)["ms-ssim"].tolist() == pytest.approx(expected, rel=1e-9)


def test_ms_ssim_of_inverted_structure_is_zero() -> None:
    a = pair(176, 176)[0]
    assert pixel_metrics(a, 1 - a)["ms-ssim"].tolist() == [0, 0]


def test_psnr_equals_torchmetrics() -> None:
    a, b = pair(28, 28)
    expected = peak_signal_noise_ratio(a, b, data_range=1.0, reduction="none", dim=(1, 2, 3))
    assert pixel_metrics(a, b)["psnr"].tolist() == pytest.approx(expected.tolist(), rel=1e-4)


def test_identical_images_have_no_error() -> None:
    images = some_images(5, 0)
    found = by_name(reconstruction_figures(images, lambda part, _: part, pixels(), CPU, None))
    assert found["mse"].value == 0 and found["ssim"].value == pytest.approx(1)
    assert found["cosine distance of features"].value == pytest.approx(0, abs=1e-12)
    assert found["psnr"].value == pytest.approx(20 * math.log10(255 / 0.5))  # half a level, the smallest error
    assert {figure.n for figure in found.values()} == {5}


def test_metrics_of_flat_images_in_several_batches() -> None:
    images = torch.full((260, 1, 16, 16), 100, dtype=torch.uint8)  # more than one batch
    found = by_name(reconstruction_figures(images, lambda part, _: part + 51, pixels(), CPU, None))
    assert found["mse"].value == pytest.approx(0.04)
    assert found["psnr"].value == pytest.approx(-10 * math.log10(0.04), rel=1e-5)
    # of flat images, only the luminance term of SSIM remains (Wang et al. 2004, eq. 6)
    a, b, c = 100 / 255, 151 / 255, 0.01**2
    assert found["ssim"].value == pytest.approx((2 * a * b + c) / (a * a + b * b + c), rel=1e-4)


@pytest.mark.parametrize("side", [8, 16, MS_SSIM_SMALLEST - 1, MS_SSIM_SMALLEST])
def test_metrics_at_every_size(side: int) -> None:
    a, b = (some_images(2, seed, side).float() / 255 for seed in (0, 1))
    found = pixel_metrics(a, b)
    assert ("ms-ssim" in found) == (side >= MS_SSIM_SMALLEST)
    assert all(values.shape == (2,) and values.isfinite().all() for values in found.values())


def test_the_floor_is_another_image() -> None:
    images = torch.full((300, 1, 16, 16), 100, dtype=torch.uint8)
    images[150:] = 151
    found = by_name(reconstruction_figures(images, lambda part, _: part, pixels(), CPU, None))
    assert found["mse"].floor == pytest.approx(0.04) and found["mse"].value == 0
    assert found["psnr"].floor == pytest.approx(-10 * math.log10(0.04), rel=1e-5)
    assert found["cosine distance of features"].floor == pytest.approx(
        0, abs=1e-6
    )  # features of flat images have one direction
