"""Warns about typical failures of generators, with a setting to try, while the run can still be changed."""

import logging
import statistics
from dataclasses import dataclass
from typing import ClassVar

from pytorch_lightning import Trainer

from genimg.common.monitored import Monitored
from genimg.training.callbacks.base import RunCallback

log = logging.getLogger(__name__)

Row = dict[str, float]

_ROWS = 5  # rows that must all show a symptom
_LOOKS = 3  # measurements without a better value before progress has stopped: a short run has few measurements
_SSIM_MARGIN = 1.1  # of 1 - SSIM: a good model is hardly better than a copy where motion is unpredictable
_SETTLED = 0.05, 200  # share of a run and batches before which no warning is given


@dataclass(frozen=True)
class Standing:
    """The state of a run besides its latest rows."""

    progress: float  # share of the budget spent
    best: Monitored | None  # value of the best checkpoint
    best_at: float  # progress when it was written
    since_best: int  # measurements since then
    best_speed: float  # the best median of images per second so far


def symptoms(rows: list[Row], limits: "Health", run: Standing, has_logits: bool = True) -> dict[str, str]:
    """Returns the failures that the latest rows show, by name, each with a setting to try.

    has_logits: False for a Wasserstein critic, whose outputs are not logits.
    """
    found = {}
    first, latest = rows[0], rows[-1]
    gaps = [row.get("real_logits", 0.0) - row.get("fake_logits", 0.0) for row in rows]
    if min(gaps) > limits.max_logit_gap and has_logits:
        found["discriminator_won"] = (
            f"the discriminator has won: its logits are {gaps[-1]:.0f} apart, so the generator learns little from it. "
            "Try a larger model.gamma, or model.augmentation=[translation,cutout]."
        )
    if latest.get("val_variance_ratio", 1.0) < limits.min_variance_ratio:
        setting = "a smaller model.beta" if "kl" in latest else "a larger model.gamma"
        found["mode_collapse"] = (
            f"mode collapse: the variance of the samples is {latest['val_variance_ratio']:.0%} of the data's. "
            f"Try {setting}, or a lower model.lr."
        )
    found |= _class_symptoms(latest, limits)
    if run.progress > limits.min_progress:
        found |= _motion_symptoms(latest, limits)
    # while beta still rises, a small KL is normal
    if latest.get("beta") == first.get("beta") and all("kl" in row and row["kl"] < limits.min_kl for row in rows):
        found["posterior_collapse"] = (
            f"posterior collapse (kl {latest['kl']:.2g} nats): the decoder ignores z. "
            "Try a smaller model.beta or a longer model.kl_warmup."
        )
    if run.best is not None and run.since_best >= _LOOKS and run.progress - run.best_at > limits.max_stagnation:
        found["no_progress"] = (
            f"{run.best.name} has not improved on {run.best.value:.3g}, reached at {run.best_at:.0%} of the run, which "
            "best.pt keeps. A longer run will not help; a lower model.lr or a larger model.width may."
        )
    speed = median_speed(rows)
    if speed < limits.min_speed * run.best_speed:
        found["slow"] = (
            f"{speed:,.0f} images per second, after {run.best_speed:,.0f} at best: other work may share the machine. "
            "See trainer.threads."
        )
    return found


def _class_symptoms(latest: Row, limits: "Health") -> dict[str, str]:
    """Failures of a conditional generator."""
    found = {}
    if (ratio := latest.get("val_between_class_ratio", 1.0)) < limits.min_class_ratio:
        found["equal_classes"] = (
            f"the classes hardly differ: the variance between them is {max(0.0, ratio):.0%} of the data's. "
            "Try a longer run, a larger model.width, or classes with more images."
        )
    if (ratio := latest.get("val_within_class_ratio", 1.0)) < limits.min_class_ratio:
        found["ignored_latents"] = (
            f"the generator ignores z: the variance within a class is {ratio:.0%} of the data's. "
            "Try a lower model.lr, and for a GAN a larger model.gamma."
        )
    return found


def _motion_symptoms(latest: Row, limits: "Health") -> dict[str, str]:
    """Failures of a sequence model."""
    found = {}
    copy = latest.get("val_mse_copy", 0.0)
    if latest.get("val_motion", copy) < limits.min_motion * copy:
        found["no_motion"] = (
            f"the animations stand still: they change by {latest['val_motion'] / copy:.0%} of what the data change. "
            "Try a longer run, or more or longer clips."
        )
    worse = []
    if latest.get("val_mse_best", copy) > copy:
        worse.append(f"squared errors of {latest['val_mse_best']:.3g} and {copy:.3g}")
    best, still = latest.get("val_ssim_best", 1.0), latest.get("val_ssim_copy", -1.0)
    if 1 - best > _SSIM_MARGIN * (1 - still):
        worse.append(f"SSIM of {best:.3g} and {still:.3g}")
    if worse:
        found["worse_than_copy"] = (
            f"the best predicted clip is worse than repeating its start image: {', '.join(worse)}. "
            "Try a longer run, more clips, or a lower model.lr."
        )
    return found


def median_speed(rows: list[Row]) -> float:
    """Returns the median of images per second."""
    return statistics.median(row["images_per_second"] for row in rows)


class Health(RunCallback):
    """Warns once about each symptom. A value that is not finite stops the run instead: see `Metrics`.

    Args:
        max_logit_gap: if real_logits exceed fake_logits by more than this in every row, the discriminator has won: it
            separates both classes with certainty.
        min_variance_ratio: `variance_ratio` below this is mode collapse; 1 is the variance of the data.
        min_class_ratio: `between_class_ratio` or `within_class_ratio` below this: the classes of a conditional model do
            not differ, or its generator ignores z.
        min_motion: `motion` below this share of `mse_copy`: the animations stand still.
        min_progress: share of a run before which animations are not judged: a sequence model learns to move late.
        min_kl: `kl` below this, in nats per image at the full beta, is posterior collapse.
        min_speed: training is slow below this share of the best speed so far.
        max_stagnation: progress has stopped after this share of the run without a better value of the monitored metric.
    """

    passive: ClassVar[bool] = True

    def __init__(
        self,
        max_logit_gap: float,
        min_variance_ratio: float,
        min_class_ratio: float,
        min_motion: float,
        min_progress: float,
        min_kl: float,
        min_speed: float,
        max_stagnation: float,
    ) -> None:
        self.max_logit_gap, self.min_variance_ratio, self.min_kl = max_logit_gap, min_variance_ratio, min_kl
        self.min_class_ratio, self.min_motion, self.min_progress = min_class_ratio, min_motion, min_progress
        self.min_speed, self.max_stagnation = min_speed, max_stagnation
        self._warned: set[str] = set()
        self._rows: list[Row] = []
        self._best: Monitored | None = None
        self._best_at = self._best_speed = 0.0

    def after_step(self, trainer: Trainer) -> None:
        run, clock = self.context, self.context.clock
        if run.metrics.pending:  # a row is complete when no step is pending
            return
        self._rows = [*self._rows, dict(run.metrics.latest)][-_ROWS:]
        if run.checkpoints.best != self._best:
            self._best, self._best_at = run.checkpoints.best, clock.progress
        share, batches = _SETTLED
        if len(self._rows) < _ROWS or clock.progress <= share or clock.images_seen <= batches * clock.step_size:
            return
        self._best_speed = max(self._best_speed, median_speed(self._rows))
        standing = Standing(clock.progress, self._best, self._best_at, run.checkpoints.since_best, self._best_speed)
        for name, sentence in symptoms(self._rows, self, standing, run.model.has_logits).items():
            if name not in self._warned:
                log.warning("health    at %s images: %s", f"{clock.images_seen:,}", sentence)
                self._warned.add(name)
