"""The Fréchet distance on random features, which is cheap and chooses the best checkpoint of GANs and VAEs."""

from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from pytorch_lightning import Trainer
from torch import Tensor

from genimg.common.noise import Noise
from genimg.evaluation.features.extractor import Extractor
from genimg.evaluation.features.random import RandomFeatures
from genimg.evaluation.metrics.frechet import frechet_distance
from genimg.models.base import DrawsPixels
from genimg.sampling.images.sheets import to_uint8
from genimg.training.callbacks.base import Measured, Measurement

_SEED = 1234  # of the latents of every measurement of every run, so that values compare
_CHUNK = 250  # samples per batch
_SHARE = 0.06  # of the images trained meanwhile: a VAE's sample costs 0.6 of training on an image: 4 % of the run
_SHARE_OF_PIXELS = 0.02  # of a model that draws pixel by pixel, whose sample costs twice the training on an image
_FEWEST = 500  # with fewer, the value depends more on their number than on the images; rather measure less often
_GRID = 4  # cells per side of the layout of an image
_FLAT = 8.0  # levels of 255: an image with less contrast between its cells has nearly no layout
_LEAST = 0.01  # variance of the layouts of images; those of flat images vary less, and are not compared


class FrechetRandom(Measurement):
    """Computes `frechet_random` and `variance_ratio` from the features of a random network. For still images.

    `frechet_random` is the Fréchet distance between samples and training images, divided by the total variance of the
    images' features: 0 for the data themselves, 1 for a distance as large as their own variance. Lower is better.
    Values compare within a run, and between runs on the same data with the same n, the number of images: with fewer
    images the value is larger (0.02 for two halves of the digits with 700 each, 0.04 with 300). It is a proxy; `genimg
    evaluate` measures the quality.

    `variance_ratio` is the total variance of the samples divided by that of the images: of the features, or of the
    `layout` if that ratio is smaller. Far below 1, the samples are nearly identical. Features alone would count the
    noise around a single image as variance. A conditional model has two more: `between_class_ratio` compares the
    variances of the classes' mean features, and is near 0 if the classes do not differ; it is missing if those of the
    data differ by chance only. `within_class_ratio` compares the variances around the means as `variance_ratio` does,
    and is near 0 if the generator ignores z.

    Args:
        times: measurements per run, at most.
        num_images: samples, and evenly spaced training images, at most. A run that sees few images uses fewer, but at
            least 500, and measures less often. A run that cannot afford 500 once (below about 8,300 images) is measured
            once, at its end, with as many as it can afford.
    """

    passive: ClassVar[bool] = False

    def __init__(self, times: int, num_images: int) -> None:
        self.times, self.num_images = times, num_images
        self._extractor: Extractor | None = None
        self._real = self._layouts = self._labels = torch.empty(0)

    def after_step(self, trainer: Trainer) -> None:
        data = self.context.data
        if data.num_frames is not None or data.num_items < 2:
            return
        share = _SHARE_OF_PIXELS if isinstance(self.context.model, DrawsPixels) else _SHARE
        if count := self.context.clock.due_items(self.times, self.num_images, self.share_of_each(share), _FEWEST):
            self.run_measurement(trainer, count)

    def measure(self, num_images: int) -> Measured:
        """Returns the metrics, from as many images as in the first measurement."""
        model = self.context.model
        if self._extractor is None:
            self._extractor = self._extract_real(model.device, num_images)
        labels = self._labels.to(model.device) if model.num_classes else None
        parts = []
        for start in range(0, len(self._real), _CHUNK):
            count = min(_CHUNK, len(self._real) - start)
            wanted = None if labels is None else labels[start : start + count]
            noise = Noise(_SEED, torch.arange(start, start + count), model.device)
            parts.append(to_uint8(model.sample(noise, labels=wanted)))
        fake = self._extractor.stream(parts, model.device)
        variance = max(float(self._real.var(dim=0).sum()), 1e-12)
        layouts = torch.cat([layout(part) for part in parts])
        totals = [total_variance(x) for x in (fake, self._real, layouts, self._layouts)]
        metrics = {"frechet_random": frechet_distance(self._real, fake) / variance, "variance_ratio": _ratio(*totals)}
        if labels is not None:
            metrics |= self._class_ratios(fake, layouts)
        return Measured(metrics, len(self._real))

    def _class_ratios(self, fake: Tensor, layouts: Tensor) -> dict[str, float]:
        """The two parts of `variance_ratio` of a conditional model, whose samples have the classes of the images."""
        sets = (fake, self._real, layouts, self._layouts)
        parts = [class_variances(x, self._labels) for x in sets]
        made, real = parts[0], parts[1]
        found = {}
        if real.between > 4 * real.error:
            found["between_class_ratio"] = made.between / real.between
        if real.within > 1e-12:
            found["within_class_ratio"] = _ratio(*(part.within for part in parts))
        return found

    def _extract_real(self, device: torch.device, num_images: int) -> Extractor:
        """Stores the features of the training images, and returns the extractor."""
        data = self.context.data
        network = RandomFeatures(data.image_shape[0]).to(device)
        extractor = Extractor("random", network, "pixels from -1 to 1")
        batches = list(data.evenly_spaced("train", num_images))
        self._real = extractor.stream([batch["images"] for batch in batches], device)
        self._layouts = torch.cat([layout(batch["images"]) for batch in batches])
        if data.classes:
            self._labels = torch.cat([batch["labels"] for batch in batches])
        return extractor


def _ratio(features: float, real_features: float, layouts: float, real_layouts: float) -> float:
    """The smaller of the ratios of two variances; that of the features if the layouts of the data hardly vary."""
    ratio = features / max(real_features, 1e-12)
    return ratio if real_layouts < _LEAST else min(ratio, layouts / real_layouts)


def layout(images: Tensor) -> Tensor:
    """Where an image is bright and dark: uint8 (N, C, H, W) -> float64 (N, C * 16) of length 1, or shorter if flat.

    Each channel is reduced to means of 4 x 4 cells, minus their mean, and the whole is divided by its contrast. A
    change of brightness, contrast or tint, noise and ringing hardly change the layout of an image.
    """
    cells = F.adaptive_avg_pool2d(images.double(), _GRID)
    cells = (cells - cells.mean((2, 3), keepdim=True)).flatten(1)
    size = cells.shape[1] ** 0.5
    return cells / (cells.norm(dim=1, keepdim=True) + _FLAT * size)


def total_variance(vectors: Tensor) -> float:
    """The sum of the variances of all coordinates of vectors (N, D)."""
    return float(vectors.var(dim=0).sum())


class ClassVariances(NamedTuple):
    """Total variance between the means of classes, and within classes, and the standard error of the first.

    The error is that of equal classes whose vectors vary in one direction; it is smaller if they vary in several.
    """

    between: float
    within: float
    error: float


def class_variances(features: Tensor, labels: Tensor) -> ClassVariances:
    """The variances of features (N, D) with labels (N,); 0 if there is one class, or one image per class.

    The estimates of a one-way analysis of variance with random effects (Searle et al. 1992, "Variance components",
    section 3.6). They are unbiased, so the first may be negative.
    """
    features, (names, index) = features.double(), labels.unique(return_inverse=True)
    counts = index.bincount(minlength=len(names)).double()
    total, classes = len(features), len(names)
    if classes < 2 or total <= classes:
        return ClassVariances(0.0, 0.0, 0.0)
    means = torch.zeros(classes, features.shape[1], dtype=features.dtype).index_add_(0, index, features)
    means /= counts[:, None]
    within = float((features - means[index]).square().sum()) / (total - classes)
    between = float((counts[:, None] * (means - features.mean(0)).square()).sum()) / (classes - 1)
    size = (total - float(counts.square().sum()) / total) / (classes - 1)  # of a class; the mean if all are equal
    return ClassVariances((between - within) / size, within, within / size * (2 / (classes - 1)) ** 0.5)
