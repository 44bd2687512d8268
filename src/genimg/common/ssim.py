"""Structural similarity of images in [0, 1]: SSIM and MS-SSIM, over windows inside the image ("valid" region).

    l = (2 m_a m_b + C1) / (m_a^2 + m_b^2 + C1),    cs = (2 s_ab + C2) / (s_a^2 + s_b^2 + C2),    SSIM = mean(l cs)

m, s^2 and s_ab are means, variances and the covariance under a Gaussian window of 11 x 11 pixels with a standard
deviation of 1.5; C1 = 0.01^2 and C2 = 0.03^2. Wang et al. 2004, eq. 13 and section III.B. No window exceeds the image,
as in the authors' code. The value of an image with several channels is the mean over the channels.
"""

import torch
from torch import Tensor

_WINDOW, _SIGMA = 11, 1.5  # pixels
_SMALL_WINDOW = 7  # pixels; see `_window`
_C1, _C2 = 0.01**2, 0.03**2
#: Exponents of the scales, from the finest to the coarsest. Wang et al. 2003, section 4.1.
_SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)

MS_SSIM_SMALLEST = _WINDOW * 2 ** (len(_SCALES) - 1)  # pixels of the shorter side: 176


def ssim(made: Tensor, real: Tensor) -> Tensor:
    """SSIM of pairs of images (N, C, H, W) in [0, 1] -> float64 (N,).

    It equals `structural_similarity(..., gaussian_weights=True, sigma=1.5, use_sample_covariance=False)` of
    scikit-image. An image whose shorter side is below 11 pixels has a uniform window of 7 pixels, or of the largest odd
    number that fits.
    """
    luminance, contrast = _maps(made.double(), real.double())
    return (luminance * contrast).mean((1, 2, 3))


def ms_ssim(made: Tensor, real: Tensor) -> Tensor:
    """MS-SSIM of pairs of images (N, C, H, W) in [0, 1] -> float64 (N,). Wang et al. 2003, eq. 7.

    A pixel of a coarser scale is the mean of 2 x 2 pixels of the scale before; an odd last row or column is dropped. A
    negative mean of a scale counts as 0.

    Raises:
        ValueError: if a side is below `MS_SSIM_SMALLEST`.
    """
    if min(real.shape[2:]) < MS_SSIM_SMALLEST:
        raise ValueError(f"MS-SSIM needs {MS_SSIM_SMALLEST} pixels, got {tuple(real.shape)}")
    made, real = made.double(), real.double()
    product = torch.ones(made.shape[:2], dtype=torch.float64, device=made.device)
    for scale, exponent in enumerate(_SCALES, start=1):
        luminance, contrast = _maps(made, real)
        values = luminance * contrast if scale == len(_SCALES) else contrast
        product *= values.mean((2, 3)).clamp_min(0) ** exponent
        made, real = (torch.nn.functional.avg_pool2d(images, 2) for images in (made, real))
    return product.mean(1)


def _maps(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The terms l and cs of every window inside the image: (N, C, H, W) -> (N, C, H - window + 1, W - window + 1)."""
    window = _window(min(a.shape[2:])).to(a)
    rows, columns = (_band(window, side) for side in a.shape[2:])

    def mean(images: Tensor) -> Tensor:
        return rows @ images @ columns.T

    mean_a, mean_b = mean(a), mean(b)
    variances = mean(a * a) + mean(b * b) - mean_a.square() - mean_b.square()
    covariance = mean(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + _C1) / (mean_a.square() + mean_b.square() + _C1)
    return luminance, (2 * covariance + _C2) / (variances + _C2)


def _window(shorter: int) -> Tensor:
    """The weights of a row of the window, which sum to 1."""
    if shorter < _WINDOW:
        size = min(_SMALL_WINDOW, shorter - 1 + shorter % 2)
        return torch.full((size,), 1 / size, dtype=torch.float64)
    offsets = torch.arange(_WINDOW, dtype=torch.float64) - _WINDOW // 2
    weights = (-0.5 * (offsets / _SIGMA).square()).exp()
    return weights / weights.sum()


def _band(window: Tensor, side: int) -> Tensor:
    """The filter along one side as a matrix (side - window + 1, side): a matrix product is fast in float64."""
    shifts = torch.arange(side - len(window) + 1, device=window.device)
    band = window.new_zeros(len(shifts), side)
    band[shifts[:, None], shifts[:, None] + torch.arange(len(window), device=window.device)] = window
    return band
