"""Exponential moving averages (EMA) of the weights, which samples and metrics are computed from."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from genimg.models.base import GenerativeModel
from genimg.training.callbacks.clock import Clock
from genimg.training.callbacks.decays import Decay, HalfLife, PowerFunction
from genimg.training.settings import EMASettings

#: Steps between two updates, because each reads and writes every weight. The last step of a run updates too.
EVERY = 4
#: The name of an average by half-life.
_HALF_LIFE = "half_life"

Weights = dict[str, Tensor]


class EMA(Callback):
    """Averages the tensors that the model names in `ema_prefixes`; integers are copied.

    There is one average by half-life, or one power function for each width in `settings.sigma_rel`. Of several, the
    chosen one is sampled and is the EMA of a checkpoint; `Measurement` chooses the best by the model's metric. A
    checkpoint has the others too, so that a resumed run continues all of them.
    """

    passive: ClassVar[bool] = False

    def __init__(self, model: GenerativeModel, clock: Clock, settings: EMASettings) -> None:
        self.model, self.clock = model, clock
        self._decays: dict[str, Decay] = {str(width): PowerFunction(width) for width in settings.sigma_rel or ()}
        if not self._decays:
            self._decays = {_HALF_LIFE: HalfLife.of(settings.half_life, settings.ramp)}
        self.chosen = next(iter(self._decays))
        self._averages: dict[str, Weights] = {}
        self._restored: dict[str, Weights] = {}
        self._begin: Weights = {}
        self._live: Weights = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the averages: their widths, or `half_life` alone."""
        return tuple(self._decays)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        live = self._live_weights()
        self._averages = {name: {key: one.detach().clone() for key, one in live.items()} for name in self._decays}
        for name, average in self._averages.items():
            for key, tensor in self._restored.get(name, self._begin).items():
                average[key].copy_(tensor)
        # looked up once: calling state_dict at each step is noticeable for a small network
        self._live = {key: tensor.detach() for key, tensor in live.items()}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.update()

    @torch.no_grad()
    def update(self) -> None:
        """Updates the averages after a step, if it is the last step or the stride is complete."""
        clock = self.clock
        stride = EVERY * clock.step_size
        due = clock.passed(stride)  # by images, so that the interval holds after a change of the batch size
        if not due and not clock.spent:
            return
        images = stride if due else clock.images_seen % stride  # seen since the last update
        for name, decay in self._decays.items():
            pairs = [(average, self._live[key]) for key, average in self._averages[name].items()]
            averages, weights = zip(*(pair for pair in pairs if pair[0].is_floating_point()), strict=True)
            share = 1 - decay.over(images, clock.images_seen, clock.progress)
            torch._foreach_lerp_(averages, weights, share)  # pyright: ignore[reportPrivateImportUsage]
            for average, counter in pairs:
                if not average.is_floating_point():
                    average.copy_(counter)

    @contextmanager
    def applied(self, name: str | None = None) -> Iterator[None]:
        """Puts an average into the model, in eval mode and without gradients, and restores the weights afterwards.

        All processes must enter the context; inside it each of them can use the model alone.

        Args:
            name: one of `names`; None is the chosen one.
        """
        live, average = self._live_weights(), self._averages[name or self.chosen]
        kept = {key: tensor.detach().clone() for key, tensor in live.items()}
        was_training = self.model.training
        self.model.eval()
        with torch.no_grad():
            try:
                for key, tensor in live.items():
                    tensor.copy_(average[key])
                yield
            finally:
                for key, tensor in live.items():
                    tensor.copy_(kept[key])
                self.model.train(was_training)

    def state_dict(self) -> dict[str, Any]:
        """The chosen average and its name, and the others by name."""
        others = {name: dict(one) for name, one in self._averages.items() if name != self.chosen}
        return {"weights": dict(self._averages[self.chosen]), "chosen": self.chosen, "others": others}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Stores the averages to continue from; `on_fit_start` copies them to the device.

        One that the state does not have begins as the chosen one of the state.
        """
        chosen = state_dict["chosen"]
        self.begin_with(state_dict["weights"])
        self._restored = {**state_dict["others"], chosen: state_dict["weights"]}
        if chosen in self._decays:
            self.chosen = chosen

    def begin_with(self, weights: Weights) -> None:
        """Sets what the averages begin with, in place of the model's weights; some may be missing."""
        self._begin = weights

    def _live_weights(self) -> Weights:
        """Returns the model's tensors that are averaged, by name."""
        state = self.model.state_dict(keep_vars=True)
        return {name: tensor for name, tensor in state.items() if name.startswith(self.model.ema_prefixes)}
