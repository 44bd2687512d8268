"""The clock of a run: images seen, the share of the budget that is spent, and when to stop."""

import logging
import time
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from pytorch_lightning import Callback, LightningModule, Trainer

from genimg.distributed.data_parallel import all_reduce_max
from genimg.models.base import GenerativeModel
from genimg.training.settings import BudgetSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Budget:
    """Limits of a run in images and in minutes; the first one that is reached ends it. None is no limit."""

    images: int | None
    minutes: float | None

    def __post_init__(self) -> None:
        if self.images is None and self.minutes is None:
            raise ValueError("a budget needs images or minutes, got neither")

    @classmethod
    def from_settings(cls, settings: BudgetSettings, num_items: int, step_size: int) -> "Budget":
        """Returns the budget of a run on `num_items` training images, `step_size` of them in a step."""
        epochs = None if settings.epochs is None else round(settings.epochs * num_items)
        steps = None if settings.steps is None else settings.steps * step_size
        return cls(min([limit for limit in (settings.images, epochs, steps) if limit], default=None), settings.minutes)


class Clock(Callback):
    """Counts images and seconds, sets the model's schedules, and stops the run.

    All processes agree: the seconds are those of the first one, and a request to stop is shared at the end of the step.

    With a budget in images, progress is a function of the images seen, so that a run repeats bit for bit, and `minutes`
    only ends it early. With `minutes` alone, progress follows the time trained.
    """

    passive: ClassVar[bool] = False

    def __init__(self, budget: Budget, step_size: int) -> None:
        self.budget, self.step_size = budget, step_size
        self.images_seen = 0
        self.seconds = 0.0  # trained up to the last step, including earlier sessions of a resumed run
        self.exit_code = 0  # of the run: 0, or the reason why it was stopped
        self.stop_request = 0  # exit code to stop with after this step; 0 is no request
        self.expected_images: int | None = None  # of the complete run, as first estimated
        self._progress_before = self._progress_now = 0.0
        self._started = 0.0  # in time.monotonic()

    @property
    def progress(self) -> float:
        """0 at the start, 1 when the budget is spent."""
        if self.budget.images is not None:
            return min(1.0, self.images_seen / self.budget.images)
        return min(1.0, self.seconds / 60 / cast(float, self.budget.minutes))

    @property
    def spent(self) -> bool:
        """Whether a limit is reached."""
        out_of_time = self.budget.minutes is not None and self.seconds >= self.budget.minutes * 60
        return self.progress >= 1 or out_of_time

    @property
    def seconds_left(self) -> float:
        """Estimated from the speed so far; 0 before the first step."""
        estimates = []
        if self.budget.images is not None and self.images_seen:
            estimates.append(self.seconds * (self.budget.images / self.images_seen - 1))
        if self.budget.minutes is not None:
            estimates.append(self.budget.minutes * 60 - self.seconds)
        return max(0.0, min(estimates, default=0.0))

    def restore(self, images_seen: int, seconds: float, expected_images: int | None = None) -> None:
        """Continues from the state in a checkpoint."""
        self.images_seen, self.seconds, self.expected_images = images_seen, seconds, expected_images
        self._progress_now = self.progress

    def advance(self, images: int, seconds: float) -> None:
        """Counts the images of one step, which ended after `seconds` of training."""
        self.images_seen += images
        self.seconds = seconds
        # stored, so that every question during this step gets the same answer; whatever is due at the end is due now
        self._progress_before, self._progress_now = self._progress_now, 1.0 if self.spent else self.progress

    def due(self, times: int, chosen: int | None = None) -> bool:
        """Returns whether this step crossed a multiple of 1/`times` of the run, including its end.

        chosen: true for only this many of them, evenly spaced, including the last one.
        """
        before, now = (int(progress * times) for progress in (self._progress_before, self._progress_now))
        return now > before if chosen is None else now * chosen // times > before * chosen // times

    def passed(self, every_images: int) -> bool:
        """Returns whether this step crossed a multiple of `every_images`."""
        return self.images_seen // every_images > (self.images_seen - self.step_size) // every_images

    def due_items(self, times: int, most: int, share: float, fewest: int = 8) -> int:
        """Returns how many items to measure after this step; 0 for none.

        The answer is `affordable` at each of `times` moments. It is 0 at some of them if `fewest` exceeds the share, or
        if the run has become slower than estimated. A run that cannot afford one measurement is measured at its end,
        with a power of two that it can afford, so that values of runs of similar length compare.
        """
        if not self.due(times):
            return 0
        items = self.affordable(most, share, times, fewest)
        total = int(share * self._estimate_images())
        if total < min(fewest, most):
            return min(items, max(8, _power_of_two(total))) if self._progress_now == 1 else 0
        return items if self.due(times, min(times, max(1, total // items))) else 0

    def affordable(self, most: int, share: float, times: int, fewest: int = 8) -> int:
        """Returns how many items to measure at each of `times` moments.

        That is at most `share` of the images trained between two moments, so that a slow model or a short run does not
        spend its time on measurements, but at least `fewest`. The number is the same for the complete run, so that
        values compare: the length of the run is estimated once, and stored in checkpoints. Between the two limits it is
        a power of two, so that runs with a budget in minutes, whose speed varies, nearly always have the same number.
        """
        if self.expected_images is None:
            self.expected_images = self._estimate_images()
        return min(most, max(fewest, _power_of_two(share * self.expected_images / times)))

    def _estimate_images(self) -> int:
        """Returns the images of the complete run; with a budget in minutes, from the speed so far."""
        return round(self.images_seen / max(self.progress, 1e-6))

    def stop(self, trainer: Trainer, exit_code: int) -> None:
        """Ends the run after this step."""
        self.exit_code = exit_code
        trainer.should_stop = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._started = time.monotonic() - self.seconds

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        cast(GenerativeModel, pl_module).set_clock(self.images_seen, self._progress_now)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        measured = time.monotonic() - self._started if trainer.is_global_zero else 0.0
        seconds, stop_request = all_reduce_max(trainer, [measured, self.stop_request])
        self.advance(self.step_size, seconds)
        if stop_request:
            self.stop(trainer, int(stop_request))
        if self.spent:
            if self.progress < 1:
                log.warning("stopped by budget.minutes at %.0f%% of the budget in images", 100 * self.progress)
            trainer.should_stop = True


def _power_of_two(number: float) -> int:
    """The largest power of two that is not above `number`; 1 for numbers below 2."""
    return 1 << max(0, int(number).bit_length() - 1)
