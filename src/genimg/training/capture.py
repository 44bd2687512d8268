"""Captures training steps: the operations of a step are recorded once, and repeated with a single call.

On a GPU, starting the operations of a small network takes longer than computing them. A CUDA graph starts all of them
at once. It repeats what was recorded: a number of the host, as a learning rate that is a float, keeps its value. What
changes from step to step has to be a tensor.
"""

import logging
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor

from genimg.models.base import Batch, CompleteSteps, GenerativeModel

log = logging.getLogger(__name__)

WARM_UP = 3  # steps of each kind before it is recorded: the first ones allocate memory and choose kernels
TOLERANCE = 0.02  # of a repeated step, relative to the change of the weights: kernels add in any order

Metrics = dict[str, Tensor]


@dataclass(frozen=True)
class Recording:
    """A step that `repeat` repeats on the tensors it was recorded with; its results are then in `metrics`."""

    repeat: Callable[[], None]
    metrics: Metrics


class Recorder(Protocol):
    """Records a step, which may be run meanwhile or not."""

    def __call__(self, step: Callable[[], Metrics]) -> Recording: ...


class CudaGraphs:
    """Records steps as CUDA graphs. They share their memory, because only one of them runs at a time."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, step: Callable[[], Metrics]) -> Recording:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            metrics = step()
        return Recording(graph.replay, metrics)


class CapturedSteps:
    """Stands for `training_step` of a model with `CompleteSteps`. Each kind of step is recorded and then repeated.

    A recording is compared with a step as it is before it is used: recorded at another time of the schedules, so that
    a value which does not follow the clock shows. If one fails or differs, all further steps are run as they are.

    Args:
        model: its optimizers are ready to be captured.
        record: records a step.
    """

    def __init__(self, model: GenerativeModel, record: Recorder) -> None:
        assert isinstance(model, CompleteSteps)
        self.model, self.record = model, record
        self.kind_of: Callable[[int], Hashable] = model.step_kind
        self.failure: str | None = None
        self.repeated = 0  # steps
        self._step = cast(Callable[[Batch, int], Metrics], model.training_step)
        self._seen: Counter[Hashable] = Counter()
        self._recordings: dict[Hashable, Recording] = {}
        self._inputs: Batch = {}

    def __call__(self, batch: Batch, batch_idx: int) -> Metrics:
        """A training step. Returns its metrics."""
        kind = self.kind_of(len(batch["images"]))
        if recording := self._recordings.get(kind):
            self._load(batch)
            recording.repeat()
            self.repeated += 1
            return _copies(recording.metrics)
        self._seen[kind] += 1
        if self.failure is not None or self._seen[kind] <= WARM_UP:
            return self._step(batch, batch_idx)
        return self._capture(kind, batch)

    def _capture(self, kind: Hashable, batch: Batch) -> Metrics:
        """Takes a step as it is, and keeps a recording of its kind if the recording does the same."""
        self._load(batch)
        before = State.of(self.model)
        try:
            recording = self._record()
            before.restore()
            recording.repeat()
            repeated = State.of(self.model)
        except RuntimeError as error:  # an operation that cannot be captured
            return self._give_up(str(error).splitlines()[0], before, batch)
        before.restore()
        metrics = self._step(batch, 0)
        error = State.of(self.model).relative_error(repeated, before)
        if error <= TOLERANCE:
            self._recordings[kind] = recording
            return metrics
        return self._give_up(f"a repeated step differs from a step by {error:.0%}", before, batch)

    def _record(self) -> Recording:
        seen, progress = self.model.images_seen, self.model.progress
        self.model.set_clock(seen, 1.0 if progress < 0.5 else 0.0)
        try:
            return self.record(lambda: self._step(self._inputs, 0))
        finally:
            self.model.set_clock(seen, progress)

    def _give_up(self, reason: str, before: "State", batch: Batch) -> Metrics:
        self.failure = reason
        self._recordings.clear()
        log.warning("graph     steps are not captured any more, which is slower: %s", reason)
        before.restore()
        return self._step(batch, 0)

    def _load(self, batch: Batch) -> None:
        """Copies a batch to the tensors that the recordings read."""
        tensors = {name: value for name, value in batch.items() if isinstance(value, Tensor)}
        if not self._inputs:
            self._inputs = {**batch, **{name: value.clone() for name, value in tensors.items()}}
        for name, value in tensors.items():
            self._inputs[name].copy_(value)


@dataclass(frozen=True)
class State:
    """What a step changes: weights, buffers and optimizer states, as copies, and torch's random generators."""

    live: Sequence[Tensor]
    values: Sequence[Tensor]
    weights: int  # of `live`, which begins with the weights
    random: Tensor
    device_random: Tensor | None

    @classmethod
    def of(cls, model: GenerativeModel) -> "State":
        weights: list[Tensor] = [weight.detach() for weight in model.parameters()]
        states = [entry for one in model.optimizer_list() for state in one.state.values() for entry in state.values()]
        live = [*weights, *model.buffers(), *(entry for entry in states if isinstance(entry, Tensor))]
        cuda = torch.cuda.get_rng_state(model.device) if model.device.type == "cuda" else None
        return cls(live, [one.clone() for one in live], len(weights), torch.get_rng_state(), cuda)

    @torch.no_grad()
    def restore(self) -> None:
        """Writes the values back in place."""
        for tensor, value in zip(self.live, self.values, strict=True):
            tensor.copy_(value)
        torch.set_rng_state(self.random)
        if self.device_random is not None:
            torch.cuda.set_rng_state(self.device_random, self.live[0].device)

    def relative_error(self, other: "State", before: "State") -> float:
        """The distance of the other's weights, relative to the change of these since `before`."""
        ours, theirs, old = (torch.cat([v.flatten() for v in s.values[: s.weights]]) for s in (self, other, before))
        return float((theirs - ours).norm() / (ours - old).norm().clamp(min=1e-30))


def _copies(metrics: Metrics) -> Metrics:
    """The values of scalar metrics, which the next step overwrites, in one operation."""
    return dict(zip(metrics, torch.stack([value.float() for value in metrics.values()]).unbind(), strict=True))
