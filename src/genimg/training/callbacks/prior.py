"""A prior fitted to the latents of training images, for the models that have one."""

import time
from typing import Any, cast

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from genimg.distributed.data_parallel import share
from genimg.models.base import FitsPrior, GenerativeModel
from genimg.training.callbacks.clock import Clock
from genimg.training.callbacks.ema import EMA
from genimg.training.callbacks.find import find
from genimg.training.callbacks.validation import first_items

_SEED = 4321  # of the latents' noise and of the fit, from a generator of its own
_SHARE = 0.3  # of the images trained meanwhile: to encode one costs a sixth of training on it
_FEWEST = 1000  # latents, from which a mixture can be fitted


class FitPrior(Callback):
    """Refits the model's prior with the average weights, before validation and samples use it.

    Args:
        times: how often in a run; the same as quality and samples, or they see an old prior.
        num_images: training images, at most, and fewer in a run that sees few (`Clock.affordable`); taken at equal
            strides, so that every class has its share.
    """

    def __init__(self, times: int, num_images: int) -> None:
        self.times, self.num_images = times, num_images
        self.seconds_spent = 0.0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not (isinstance(pl_module, FitsPrior) and find(trainer, Clock).due(self.times)):
            return
        started = time.monotonic()
        model = cast(GenerativeModel, pl_module)
        with find(trainer, EMA).applied(model), trainer.precision_plugin.forward_context():
            if trainer.is_global_zero:
                self._fit(trainer, model)
        share(list(pl_module.buffers()))
        self.seconds_spent += time.monotonic() - started

    def _fit(self, trainer: Trainer, model: Any) -> None:
        generator = torch.Generator(model.device).manual_seed(_SEED)
        data: Any = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        count = find(trainer, Clock).affordable(self.num_images, _SHARE, self.times, _FEWEST)
        batches = first_items(data, data.evenly_spaced("train", count), model, count)
        latents, labels = [], []
        for batch in batches:
            latents.append(model.encode(batch["images"], batch.get("labels"), generator=generator))
            labels.append(batch.get("labels"))
        known = None if labels[0] is None else torch.cat(labels)
        model.fit_prior(torch.cat(latents), known, generator)
