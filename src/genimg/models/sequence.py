"""The interface of models that continue given frames, and what they share: starts and roll-outs."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from genimg.common.noise import Noise
from genimg.models.actions import DrawnActions
from genimg.models.base import GenerativeModel
from genimg.models.starts import KeptStarts

CHUNK = 16  # frames drawn at once, which bounds the memory of long animations


class SequenceModel(GenerativeModel):
    """A model that continues k given frames, in a roll-out from state to state.

    A state is a nest of tuples, lists, tensors and None. Its size does not depend on the length of the roll-out.

    Args:
        image_size, channels: of a frame.
        num_frames: frames of a training clip, and the default length of a sample.
        given_frames: the first frames of a clip, from which the others are predicted, k.
        num_actions: actions of which one leads to each frame; 0 = none.
    """

    produces: ClassVar[Literal["images", "sequences"]] = "sequences"
    #: Random numbers of a clip, and of each predicted frame; 0 for a model whose futures are all equal.
    latent_dim: int

    def __init__(
        self,
        image_size: int | tuple[int, int],
        channels: int,
        num_frames: int,
        given_frames: int,
        num_actions: int = 0,
    ) -> None:
        super().__init__()
        self.num_frames, self.given_frames, self.num_actions = num_frames, given_frames, num_actions
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.starts = KeptStarts((given_frames, channels, height, width))
        self.actions = DrawnActions(num_actions) if num_actions else None

    @abstractmethod
    def begin(self, start: Tensor, noise: Tensor, labels: Tensor | None = None) -> Any:
        """The state at the last given frame.

        Args:
            start: the given frames (N, k, C, H, W) in [-1, 1].
            noise: standard normal (N, latent_dim), of the clip.
            labels: classes, int64 (N,), of a conditional model.
        """

    @abstractmethod
    def advance(self, state: Any, noise: Tensor, actions: Tensor | None = None) -> tuple[Tensor, Any]:
        """The next t frames (N, t, C, H, W) in [-1, 1], and the state at the last of them.

        Args:
            noise: standard normal (N, t, latent_dim), of the frames.
            actions: those that lead to the frames, int64 (N, t), of a model with actions.
        """

    def last_frame(self, state: Any, noise: Tensor, actions: Tensor | None = None) -> Tensor:
        """The last (N, C, H, W) of the frames that `advance` gives."""
        return self.advance(state, noise, actions)[0][:, -1]

    def random_actions(self, noise: Noise, count: int, skip: int = 0) -> Tensor | None:
        """Actions (N, count), after the first `skip` ones, as often as in training; None of a model without actions."""
        return None if self.actions is None else self.actions.draw(noise, count, skip)

    def sample(
        self,
        noise: Noise,
        *,
        labels: Tensor | None = None,
        temperature: float = 1.0,
        start: Tensor | None = None,
        num_frames: int | None = None,
        actions: Tensor | None = None,
    ) -> Tensor:
        """Clips (N, T, C, H, W) in [-1, 1], which begin with the given frames.

        Args:
            temperature: scale of the latents' noise.
            start: the given frames (N, k, C, H, W) in [-1, 1]; None draws from the stored ones, by the classes
                `labels`.
            num_frames: T, of any length; None is the length of training clips.
            actions: those that lead to the predicted frames, int64 (N, T - k), of a model with actions; None draws them
                at random, as often as in the training data.
        """
        if start is None:
            start, labels = self.starts.draw(noise.of_start(), labels if self.num_classes else None)
        labels = self._requested(labels)
        if start.shape[0] != len(noise):
            raise ValueError(f"{len(noise)} animations need {len(noise)} starts, got shape {tuple(start.shape)}")
        length = self.num_frames if num_frames is None else num_frames
        return torch.cat(list(self.stream(start, length, noise, labels, temperature, actions)), dim=1)

    @torch.no_grad()
    def stream(
        self,
        start: Tensor,
        num_frames: int,
        noise: Noise,
        labels: Tensor | None = None,
        temperature: float = 1.0,
        actions: Tensor | None = None,
    ) -> Iterator[Tensor]:
        """Yields `sample` in pieces (N, t, C, H, W): the given frames, then at most `CHUNK`, in bounded memory."""

        def drawn(times: range) -> Tensor:
            return temperature * noise.normal(len(times), self.latent_dim, skip=times.start * self.latent_dim)

        count = num_frames - self.given_frames
        if actions is None:
            actions = self.random_actions(noise, count)
        yield from self.roll_out(start, count, drawn, labels, actions)

    def roll_out(
        self,
        start: Tensor,
        count: int,
        noise: Callable[[range], Tensor],
        labels: Tensor | None,
        actions: Tensor | None,
    ) -> Iterator[Tensor]:
        """Yields the given frames, then `count` others, at most `CHUNK` at a time.

        Args:
            noise: times -> standard normal (N, len(times), latent_dim): time 0 is of the clip, t of predicted frame t.
        """
        yield start
        state = self.begin(start, noise(range(1)).squeeze(1), labels)
        for first in range(1, count + 1, CHUNK):
            times = range(first, min(first + CHUNK, count + 1))
            led = None if actions is None else actions[:, times.start - 1 : times.stop - 1]
            frames, state = self.advance(state, noise(times), led)
            yield frames

    def keep_starts(self, starts: Tensor, labels: Tensor | None = None) -> None:
        """Stores up to 32 starts (N, k, C, H, W), uint8 or in [-1, 1], with their classes in the checkpoint."""
        self.starts.keep(starts, labels)

    def keep_actions(self, shares: Tensor) -> None:
        """Stores how often each action occurs, float32 (num_actions,), in the checkpoint."""
        assert self.actions is not None
        self.actions.keep(shares)
