"""The Fréchet distance on random features, which is cheap and chooses the best checkpoint of GANs and VAEs."""

from typing import ClassVar

import torch
from pytorch_lightning import Trainer
from torch import Tensor

from genimg.common.noise import Noise
from genimg.evaluation.features.extractor import Extractor
from genimg.evaluation.features.random import RandomFeatures
from genimg.evaluation.metrics.frechet import frechet_distance
from genimg.sampling.images.sheets import to_uint8
from genimg.training.callbacks.base import Measured, Measurement

_SEED = 1234  # of the latents of every measurement of every run, so that values compare
_CHUNK = 250  # samples per batch
_SHARE = 0.06  # of the images trained meanwhile: a VAE's sample costs 0.6 of training on an image: 4 % of the run
_FEWEST = 500  # with fewer, the value depends more on their number than on the images; rather measure less often


class FrechetRandom(Measurement):
    """Computes `frechet_random` and `variance_ratio` from the features of a random network. For still images.

    `frechet_random` is the Fréchet distance between samples and training images, divided by the total variance of the
    images' features: 0 for the data themselves, 1 for a distance as large as their own variance. Lower is better.
    Values compare within a run, and between runs on the same data with the same n, the number of images: with fewer
    images the value is larger (0.02 for two halves of the digits with 700 each, 0.04 with 300). It is a proxy; `genimg
    evaluate` measures the quality.

    `variance_ratio` is the total variance of the samples' features divided by that of the images'. Far below 1, the
    samples are nearly identical. A conditional model has two more: `between_class_ratio` compares the variances of the
    classes' means, and is near 0 if the classes do not differ; `within_class_ratio` compares the variances around the
    means, and is near 0 if the generator ignores z.

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
        self._real = self._labels = torch.empty(0)

    def after_step(self, trainer: Trainer) -> None:
        data = self.context.data
        if data.num_frames is not None or data.num_items < 2:
            return
        if count := self.context.clock.due_items(self.times, self.num_images, _SHARE, _FEWEST):
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
        metrics = {
            "frechet_random": frechet_distance(self._real, fake) / variance,
            "variance_ratio": float(fake.var(dim=0).sum()) / variance,
        }
        if labels is not None:
            metrics |= self._class_ratios(fake)
        return Measured(metrics, len(self._real))

    def _class_ratios(self, fake: Tensor) -> dict[str, float]:
        """The two parts of `variance_ratio` of a conditional model, whose samples have the classes of the images."""
        (real_between, real_within), (between, within) = (class_variances(x, self._labels) for x in (self._real, fake))
        ratios = {"between_class_ratio": (between, real_between), "within_class_ratio": (within, real_within)}
        return {name: value / real for name, (value, real) in ratios.items() if real > 1e-12}

    def _extract_real(self, device: torch.device, num_images: int) -> Extractor:
        """Stores the features of the training images, and returns the extractor."""
        data = self.context.data
        network = RandomFeatures(data.image_shape[0]).to(device)
        extractor = Extractor("random", network, "pixels from -1 to 1")
        batches = list(data.evenly_spaced("train", num_images))
        self._real = extractor.stream([batch["images"] for batch in batches], device)
        if data.classes:
            self._labels = torch.cat([batch["labels"] for batch in batches])
        return extractor


def class_variances(features: Tensor, labels: Tensor) -> tuple[float, float]:
    """Total variance of features (N, D) between the means of classes, and within classes; 0 with one image per class.

    The estimates of a one-way analysis of variance with random effects (Searle et al. 1992, "Variance components",
    section 3.6). They are unbiased, so the first may be negative.
    """
    features, (names, index) = features.double(), labels.unique(return_inverse=True)
    counts = index.bincount(minlength=len(names)).double()
    total, classes = len(features), len(names)
    if classes < 2 or total <= classes:
        return 0.0, 0.0
    means = torch.zeros(classes, features.shape[1], dtype=features.dtype).index_add_(0, index, features)
    means /= counts[:, None]
    within = float((features - means[index]).square().sum()) / (total - classes)
    between = float((counts[:, None] * (means - features.mean(0)).square()).sum()) / (classes - 1)
    size = (total - float(counts.square().sum()) / total) / (classes - 1)  # of a class; the mean if all are equal
    return (between - within) / size, within
