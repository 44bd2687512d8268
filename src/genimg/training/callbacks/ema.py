"""The exponential moving average (EMA) of the weights, which samples and metrics are computed from."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from genimg.models.base import GenerativeModel
from genimg.models.schedules import Schedule
from genimg.training.callbacks.clock import Clock
from genimg.training.settings import EMASettings

#: Steps between two updates, because each reads and writes every weight. The last step of a run updates too.
EVERY = 4


class EMA(Callback):
    """Averages the tensors that the model names in `ema_prefixes`; integers are copied.

    The half-life is counted in images and may follow a `Schedule` (R3GAN, Huang et al. 2024). It is limited to a share
    of the images seen, so that the average of a short run forgets the initial weights (Karras et al. 2020,
    StyleGAN2-ADA, `ema_kimg` and `ema_rampup`).
    """

    passive: ClassVar[bool] = False

    def __init__(self, model: GenerativeModel, clock: Clock, settings: EMASettings) -> None:
        self.model, self.clock = model, clock
        self.half_life, self.ramp = Schedule.of(settings.half_life), settings.ramp
        self._ema: dict[str, Tensor] = {}
        self._restored: dict[str, Tensor] = {}
        self._pairs: list[tuple[Tensor, Tensor]] = []

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        live = self._live_weights()
        self._ema = {name: tensor.detach().clone() for name, tensor in live.items()}
        for name, tensor in self._restored.items():
            self._ema[name].copy_(tensor)
        # looked up once: calling state_dict at each step is noticeable for a small network
        self._pairs = [(self._ema[name], tensor.detach()) for name, tensor in live.items()]

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.update()

    @torch.no_grad()
    def update(self) -> None:
        """Updates the average after a step, if it is the last step or the stride is complete."""
        clock = self.clock
        stride = EVERY * clock.batch_size
        due = clock.passed(stride)  # by images, so that the interval holds after a change of the batch size
        if not due and not clock.spent:
            return
        images = stride if due else clock.images_seen % stride  # seen since the last update
        half_life = max(1.0, min(self.half_life.at(clock.progress), self.ramp * clock.images_seen))
        decay = 0.5 ** (images / half_life)
        averages, weights = zip(*(pair for pair in self._pairs if pair[0].is_floating_point()), strict=True)
        torch._foreach_lerp_(averages, weights, 1 - decay)  # pyright: ignore[reportPrivateImportUsage]
        for average, counter in self._pairs:
            if not average.is_floating_point():
                average.copy_(counter)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Puts the EMA weights into the model, in eval mode and without gradients, and restores it afterwards.

        All processes must enter the context; inside it each of them can use the model alone.
        """
        live = self._live_weights()
        kept = {name: tensor.detach().clone() for name, tensor in live.items()}
        was_training = self.model.training
        self.model.eval()
        with torch.no_grad():
            try:
                for name, tensor in live.items():
                    tensor.copy_(self._ema[name])
                yield
            finally:
                for name, tensor in live.items():
                    tensor.copy_(kept[name])
                self.model.train(was_training)

    def state_dict(self) -> dict[str, Any]:
        return dict(self._ema)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Stores the weights to continue from; `on_fit_start` copies them to the device."""
        self._restored = state_dict

    def _live_weights(self) -> dict[str, Tensor]:
        """Returns the model's tensors that are averaged, by name."""
        state = self.model.state_dict(keep_vars=True)
        return {name: tensor for name, tensor in state.items() if name.startswith(self.model.ema_prefixes)}
