"""Fits a model's prior to the latents of training images."""

from typing import ClassVar

import torch
from pytorch_lightning import Trainer

from genimg.distributed.data_parallel import broadcast_tensors
from genimg.models.base import FitsPrior
from genimg.training.callbacks.base import RunCallback

_SEED = 4321  # of the latents' noise and of the fit
_SHARE = 0.3  # of the images trained meanwhile: encoding costs a sixth of training
_FEWEST = 1000  # latents from which a mixture can be fitted


class FitPrior(RunCallback):
    """Fits the prior with the EMA weights, before validation and samples use it. Does nothing for other models.

    Args:
        times: fits per run. Use the same number as for `frechet_random` and `samples`, or they use an older prior.
        num_images: evenly spaced training images, at most; fewer in a run that sees few (`Clock.affordable`).
    """

    passive: ClassVar[bool] = False

    def __init__(self, times: int, num_images: int) -> None:
        self.times, self.num_images = times, num_images

    def after_step(self, trainer: Trainer) -> None:
        model = self.context.model
        if not (isinstance(model, FitsPrior) and self.context.clock.due(self.times)):
            return
        with self.timed():
            with self.context.ema.applied(), trainer.precision_plugin.forward_context():
                if trainer.is_global_zero:
                    self._fit(model, model.device)
            broadcast_tensors(list(model.buffers()))

    def _fit(self, model: FitsPrior, device: torch.device) -> None:
        generator = torch.Generator(device).manual_seed(_SEED)
        count = self.context.clock.affordable(self.num_images, _SHARE, self.times, _FEWEST)
        latents, labels = [], []
        for batch in self.context.to_device(self.context.data.evenly_spaced("train", count)):
            latents.append(model.encode(batch["images"], batch.get("labels"), generator=generator))
            labels.append(batch.get("labels"))
        known = None if labels[0] is None else torch.cat(labels)
        model.fit_prior(torch.cat(latents), known, generator)
