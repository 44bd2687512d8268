"""The interface of networks that predict the next frame of a clip from the frames before."""

from typing import Any, NamedTuple, Protocol

from torch import Tensor


class Predicted(NamedTuple):
    """One step of a recurrence.

    Attributes:
        outputs: raw outputs for the next frame, (B, C, H, W), as the likelihood of the model takes them.
        state: passes to the next step.
        penalty: what the step adds to the loss, weighted, shape (); None = nothing.
    """

    outputs: Tensor
    state: Any
    penalty: Tensor | None


class Recurrence(Protocol):
    """A network over one frame at a time, which keeps nothing between calls."""

    def __call__(self, frame: Tensor, state: Any) -> Predicted:
        """A frame (B, C, H, W) in [-1, 1] and the state of the step before, None at first -> the next frame."""
        ...
