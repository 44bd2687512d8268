"""What goes wrong with generators, told in a sentence while there is time to do something about it."""

import logging
import statistics
from collections.abc import Callable
from typing import Any, cast

from pytorch_lightning import Callback, LightningModule, Trainer

from genimg.common.monitored import Monitored
from genimg.models.base import GenerativeModel
from genimg.training.callbacks.checkpoints import Checkpoints
from genimg.training.callbacks.clock import Clock
from genimg.training.callbacks.find import find
from genimg.training.callbacks.metrics import Metrics

log = logging.getLogger(__name__)

_ROWS = 5  # of training figures that must all show it
_LOOKS = 3  # without a better figure before there is no progress: a short run is looked at a few times
_SETTLED = 0.05, 200  # share of a run and batches before which nothing is said


class Health(Callback):
    """Warns once of each: a discriminator that has won, samples that are all alike, a posterior that says nothing, no
    progress, and training that has become slow. A figure that is not finite is `Metrics`' to stop for.

    Args:
        won: real_logits less fake_logits above this in every row is a discriminator that has won: both classes are
            told apart with certainty. Wasserstein's critic gives no logits, and is not asked.
        alike: `spread` under this is a collapse; 1 is the spread of the data.
        silent: `kl` in nats an image under this, at the whole beta, is a posterior that has collapsed.
        slow: share of the best speed so far under which training is slow.
        stale: share of the run without a better figure of the kind that chooses the best checkpoint.
    """

    def __init__(self, won: float, alike: float, silent: float, slow: float, stale: float) -> None:
        self.won, self.alike, self.silent, self.slow, self.stale = won, alike, silent, slow, stale
        self._told: set[str] = set()
        self._rows: list[dict[str, float]] = []
        self._best: Monitored | None = None  # figure of the best checkpoint, and the progress it was found at
        self._best_at = 0.0
        self._since_best = 0  # figures measured
        self._speed = 0.0  # the best median of so many rows

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        metrics, clock = find(trainer, Metrics), find(trainer, Clock)
        if metrics.pending:  # a row is written when nothing is pending
            return
        self._rows = [*self._rows, dict(metrics.latest)][-_ROWS:]
        checkpoints = find(trainer, Checkpoints)
        if checkpoints.best != self._best:
            self._best, self._best_at = checkpoints.best, clock.progress
        self._since_best = checkpoints.since_best
        share, batches = _SETTLED
        settled = clock.progress > share and clock.images_seen > batches * clock.batch_size
        if len(self._rows) == _ROWS and settled:
            for name, sentence in self.symptoms(cast(GenerativeModel, pl_module), clock.progress).items():
                if name not in self._told:
                    log.warning("health    at %s images: %s", f"{clock.images_seen:,}", sentence)
                    self._told.add(name)

    def symptoms(self, model: GenerativeModel, progress: float) -> dict[str, str]:
        """What the last rows show, each with what to try."""
        found = {}
        latest = self._rows[-1]
        gaps = [row.get("real_logits", 0.0) - row.get("fake_logits", 0.0) for row in self._rows]
        if min(gaps) > self.won and not getattr(model, "wasserstein", False):
            found["won"] = (
                f"the discriminator has won, its logits are {gaps[-1]:.0f} apart: little is to be learned from it. "
                "Try a larger model.gamma, or model.augmentation=[translation,cutout]."
            )
        if latest.get("val_variance_ratio", 1.0) < self.alike:
            setting = "a smaller model.beta" if "kl" in latest else "a larger model.gamma"
            found["alike"] = (
                f"the samples are alike: they spread {latest['val_variance_ratio']:.0%} as far as the data. "
                f"Try {setting}, or a lower model.lr."
            )
        # while beta still rises, a small KL is as it should be
        if latest.get("beta") == self._rows[0].get("beta") and self._always("kl", lambda value: value < self.silent):
            found["silent"] = (
                f"the posterior has collapsed (kl {latest['kl']:.2g} nats): the decoder ignores z. "
                "Try a smaller model.beta or a longer model.kl_warmup."
            )
        if self._best is not None and self._since_best >= _LOOKS and progress - self._best_at > self.stale:
            found["stale"] = (
                f"{self._best.name} is no better than {self._best.value:.3g}, at {self._best_at:.0%} of the run: "
                "best.pt is of then. A longer run will not help; a lower model.lr or a larger model.width may."
            )
        speed = statistics.median(row["images_per_second"] for row in self._rows)
        self._speed = max(self._speed, speed)
        if speed < self.slow * self._speed:
            found["slow"] = (
                f"{speed:,.0f} images a second, after {self._speed:,.0f} at best: is the machine busy with something "
                "else? See trainer.threads."
            )
        return found

    def _always(self, name: str, is_bad: Callable[[float], bool]) -> bool:
        return all(name in row and is_bad(row[name]) for row in self._rows)
