"""The clock of a run: images seen, how far the budget is spent, and when to stop."""

import logging
import time
from dataclasses import dataclass
from typing import Any, cast

from pytorch_lightning import Callback, LightningModule, Trainer

from genimg.distributed.data_parallel import highest
from genimg.models.base import GenerativeModel

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Budget:
    """How long to train: whichever of the two ends first; None is no limit."""

    images: int | None
    minutes: float | None

    def __post_init__(self) -> None:
        if self.images is None and self.minutes is None:
            raise ValueError("a budget needs images or minutes, got neither")

    @classmethod
    def of(cls, images: int | None, epochs: float | None, minutes: float | None, num_items: int) -> "Budget":
        """From the `budget` settings and the number of training images."""
        limits = [limit for limit in (images, None if epochs is None else round(epochs * num_items)) if limit]
        return cls(min(limits, default=None), minutes)


class Clock(Callback):
    """Counts images and seconds, tells the model, and stops the run. Alike on all of a run's processes: the seconds
    are the first one's, and a stop that one of them is asked for is agreed on at the end of the step.

    Progress is a function of the images seen where the budget is in images, so that a run repeats bit for bit; then
    `minutes` only cuts it short. With `minutes` alone, progress follows the time trained.
    """

    def __init__(self, budget: Budget, batch_size: int) -> None:
        self.budget, self.batch_size = budget, batch_size
        self.images_seen = 0
        self.exit_code = 0  # what the run ends with: 0, or the reason it was stopped for
        self.seconds = 0.0  # trained up to the last step, earlier sessions of a resumed run included
        self.asked_to_stop = 0  # an exit code to stop with after the step at hand; 0: nobody has asked
        self._progress_before = self._progress_now = 0.0
        self._started = 0.0  # of time.monotonic
        self._expected_images: int | None = None  # of the whole run, as told when it was first asked for

    @property
    def progress(self) -> float:
        """0 at the start, 1 when the budget is spent."""
        if self.budget.images is not None:
            return min(1.0, self.images_seen / self.budget.images)
        return min(1.0, self.seconds / 60 / cast(float, self.budget.minutes))

    @property
    def spent(self) -> bool:
        """Whether either limit is reached."""
        out_of_time = self.budget.minutes is not None and self.seconds >= self.budget.minutes * 60
        return self.progress >= 1 or out_of_time

    @property
    def seconds_left(self) -> float:
        """An estimate from the speed so far; 0 when there is none yet."""
        estimates = []
        if self.budget.images is not None and self.images_seen:
            estimates.append(self.seconds * (self.budget.images / self.images_seen - 1))
        if self.budget.minutes is not None:
            estimates.append(self.budget.minutes * 60 - self.seconds)
        return max(0.0, min(estimates, default=0.0))

    def due(self, times: int, chosen: int | None = None) -> bool:
        """Whether this step crossed a multiple of 1/`times` of the run: true `times` times, the last one at its end.

        chosen: true for so many of them only, equally far apart, the last one included.
        """
        before, now = (int(progress * times) for progress in (self._progress_before, self._progress_now))
        return now > before if chosen is None else now * chosen // times > before * chosen // times

    def passed(self, every_images: int) -> bool:
        """Whether this step crossed a multiple of `every_images`."""
        return self.images_seen // every_images > (self.images_seen - self.batch_size) // every_images

    def due_items(self, times: int, most: int, share: float, fewest: int = 8) -> int:
        """How many items to look at after this step, 0 where none: `affordable` at each of `times` moments, or at fewer
        of them where `fewest` are too many or the run has become slower than was expected. A run that cannot afford
        them once is looked at once it has ended, at as many as it affords: a power of two, so that figures of runs of
        about one length compare.
        """
        if not self.due(times):
            return 0
        items = self.affordable(most, share, times, fewest)
        all_together = int(share * self._estimated())
        if all_together < min(fewest, most):
            return min(items, max(8, 1 << max(0, all_together.bit_length() - 1))) if self._progress_now == 1 else 0
        return items if self.due(times, min(times, max(1, all_together // items))) else 0

    def affordable(self, most: int, share: float, times: int, fewest: int = 8) -> int:
        """How many items to look at, at each of `times` moments: at most `share` of the images trained between two of
        them, so that a slow model or a short run is not spent on being measured; but no fewer than `fewest`.

        The same all along, so that figures compare: the length of the run is estimated once, and kept on resume.
        """
        if self._expected_images is None:
            self._expected_images = self._estimated()
        return min(most, max(fewest, int(share * self._expected_images / times)))

    def _estimated(self) -> int:
        """Images of the whole run; in one by the clock by its speed so far."""
        return round(self.images_seen / max(self.progress, 1e-6))

    def stop(self, trainer: Trainer, exit_code: int) -> None:
        """End the run after this step."""
        self.exit_code = exit_code
        trainer.should_stop = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._started = time.monotonic() - self.seconds
        self._progress_now = self.progress

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        cast(GenerativeModel, pl_module).set_clock(self.images_seen, self._progress_now)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.images_seen += self.batch_size
        # read once a step, so that everything that asks in this step gets one answer
        measured = time.monotonic() - self._started if trainer.is_global_zero else 0.0
        self.seconds, asked = highest(trainer, [measured, self.asked_to_stop])
        if asked:
            self.stop(trainer, int(asked))
        self._progress_before, self._progress_now = self._progress_now, self.progress
        if self.spent:
            if self._progress_now < 1:
                log.warning("stopped by budget.minutes at %.0f%% of budget.images", 100 * self._progress_now)
            self._progress_now = 1.0  # cut short or not, this is the end: what is due at the end is due now
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return {
            "images_seen": self.images_seen,
            "seconds": self.seconds,
            "progress": self._progress_now,
            "expected_images": self._expected_images,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.images_seen, self.seconds = state_dict["images_seen"], state_dict["seconds"]
        self._expected_images = state_dict.get("expected_images")  # older checkpoints have none
