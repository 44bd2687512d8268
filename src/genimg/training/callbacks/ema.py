"""The weight average that every sample and every figure comes from."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from genimg.models.base import GenerativeModel
from genimg.training.callbacks.clock import Clock
from genimg.training.callbacks.find import find

#: Steps between two updates, for each reads and writes every weight; the last step of a run brings one too.
EVERY = 4


class EMA(Callback):
    """An exponential moving average of the parts that the model names in `ema_prefixes`; whole numbers are copied.

    The half-life is counted in images and kept under a share of the images seen, so that the average forgets the
    start of a short run (Karras et al. 2020, StyleGAN2-ADA, `ema_kimg` and `ema_rampup`).

    Args:
        half_life: images after which an old weight counts half.
        ramp: the half-life is at most this share of the images seen.
    """

    def __init__(self, half_life: int, ramp: float) -> None:
        self.half_life, self.ramp = half_life, ramp
        self._average: dict[str, Tensor] = {}
        self._restored: dict[str, Tensor] | None = None
        self._pairs: list[tuple[Tensor, Tensor]] = []

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        live = _followed(cast(GenerativeModel, pl_module))
        self._average = {name: tensor.detach().clone() for name, tensor in live.items()}
        for name, tensor in (self._restored or {}).items():
            self._average[name].copy_(tensor)
        # looked up once: a state_dict a step is noticeable beside a small network
        self._pairs = [(self._average[name], tensor.detach()) for name, tensor in live.items()]

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        clock = find(trainer, Clock)
        stride = EVERY * clock.batch_size
        due = clock.passed(stride)  # as often where another batch size came in between
        if not due and not clock.spent:
            return
        images = stride if due else clock.images_seen % stride  # seen since the last update
        half_life = max(1.0, min(self.half_life, self.ramp * clock.images_seen))
        keep = 0.5 ** (images / half_life)
        with torch.no_grad():
            averages, weights = zip(*(pair for pair in self._pairs if pair[0].is_floating_point()), strict=True)
            torch._foreach_lerp_(averages, weights, 1 - keep)  # pyright: ignore[reportPrivateImportUsage]
            for average, counter in self._pairs:
                if not average.is_floating_point():
                    average.copy_(counter)

    @contextmanager
    def applied(self, model: GenerativeModel) -> Iterator[None]:
        """The model with the average in the place of its weights, in eval mode and without gradients.

        All processes have to enter it; then each of them can use the model alone.
        """
        live = _followed(model)
        kept = {name: tensor.detach().clone() for name, tensor in live.items()}
        was_training = model.training
        model.eval()
        with torch.no_grad():
            try:
                for name, tensor in live.items():
                    tensor.copy_(self._average[name])
                yield
            finally:
                for name, tensor in live.items():
                    tensor.copy_(kept[name])
                model.train(was_training)

    def state_dict(self) -> dict[str, Any]:
        return dict(self._average)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._restored = state_dict


def _followed(model: GenerativeModel) -> dict[str, Tensor]:
    """The model's own tensors that the average follows, by name."""
    return {
        name: tensor for name, tensor in model.state_dict(keep_vars=True).items() if name.startswith(model.ema_prefixes)
    }
