"""How near samples of the average weights are to the data, cheaply and often: what chooses the best checkpoint."""

from functools import partial
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from genimg.evaluation.features.extractor import Extractor
from genimg.evaluation.features.random import RandomFeatures
from genimg.evaluation.metrics.frechet import frechet_distance
from genimg.models.base import GenerativeModel
from genimg.sampling.images.sheets import to_uint8
from genimg.training.callbacks.clock import Clock
from genimg.training.callbacks.find import find
from genimg.training.callbacks.measuring import Measured, measure

_SEED = 1234  # of the latents, the same every time and in every run: figures are compared
_CHUNK = 250  # samples at once
_SHARE = 0.06  # of the images trained meanwhile: a VAE's sample costs 0.6 of training on an image: 4 % of the run
_FEWEST = 500  # of fewer the figure tells more of their number than of the images: rather fewer times


class FrechetRandom(Callback):
    """`frechet_random`: the Frechet distance between samples and training images by the features of a random network,
    divided by the total variance of the images' features: 0 for the data themselves, 1 for as far away as their own
    spread. It compares moments of one run, and runs on the same data where its n, the number of images it is of, is
    the same: of fewer it is larger, 0.02 for two halves of the digits with 700 each, 0.04 with 300. It is a proxy, and
    `genimg evaluate` measures. `spread`: the total variance of the samples' features in that of the images'; far
    under 1 the samples are alike.

    For still images, two or more. Training is bit for bit the same with it or without it.

    Args:
        times: how often in a run, at most.
        num_images: samples, and training images at equal strides, at most; fewer in a run that sees few images, but
            500, and fewer times where even those are too many. A run that cannot afford 500 once (of some 8,300 images)
            is looked at once it has ended, with as many as it affords.
    """

    def __init__(self, times: int, num_images: int) -> None:
        self.times, self.num_images = times, num_images
        self.seconds_spent = 0.0
        self._extractor: Extractor | None = None
        self._real = self._labels = torch.empty(0)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        data: Any = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        if data.num_frames is not None or data.num_items < 2:
            return
        if count := find(trainer, Clock).due_items(self.times, self.num_images, _SHARE, _FEWEST):
            self.seconds_spent += measure(trainer, pl_module, partial(self.look, count))

    def look(self, num_images: int, trainer: Trainer, model: GenerativeModel) -> Measured:
        """The figures of the weights that are in the model, of as many images as at the first look."""
        if self._extractor is None:
            self._extractor = self._look_at_data(trainer, model.device, num_images)
        generator = torch.Generator(model.device).manual_seed(_SEED)
        labels = self._labels.to(model.device) if model.num_classes else None
        parts = []
        for start in range(0, len(self._real), _CHUNK):
            count = min(_CHUNK, len(self._real) - start)
            wanted = None if labels is None else labels[start : start + count]
            parts.append(to_uint8(model.sample(count, generator=generator, labels=wanted)))
        fake = self._extractor.stream(parts, model.device)
        variance = max(float(self._real.var(dim=0).sum()), 1e-12)
        figures = {
            "frechet_random": frechet_distance(self._real, fake) / variance,
            "variance_ratio": float(fake.var(dim=0).sum()) / variance,
        }
        return Measured(figures, len(self._real))

    def _look_at_data(self, trainer: Trainer, device: torch.device, num_images: int) -> Extractor:
        """The features of the images that samples are compared with, once a run."""
        data: Any = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        network = RandomFeatures(data.image_shape[0]).to(device)
        extractor = Extractor("random", network, "pixels from -1 to 1")
        batches = list(data.evenly_spaced("train", num_images))
        images: list[Tensor] = [batch["images"] for batch in batches]
        self._real = extractor.stream(images, device)
        if data.classes:
            self._labels = torch.cat([batch["labels"] for batch in batches])
        return extractor
