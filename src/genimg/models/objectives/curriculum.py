"""Schedules of a sequence model, as functions of `progress`, the share of the run that is done."""

from dataclasses import dataclass

from genimg.models.schedules import risen


@dataclass(frozen=True)
class Curriculum:
    """Training starts with short clips and the latent of the clip, and ends with full clips under the bound.

    first_frames: initial length of the clips, the given frame included. In short clips a moving layer is still close to
        its start, where the gradient of its position has the right direction.
    growing: share of the run after which clips have their full length.
    gate_opening: share of the run in which newly drawn pixels are introduced beside moved pixels.
    clip_kl_warmup: share of the run in which the weight of the KL of w rises from 0 to 1 (Sønderby et al. 2016).
    frame_kl_excess: initial weight of the KL of z_t. A high weight makes w encode what is constant in a clip, direction
        and speed, instead of every z_t.
    frame_kl_until: share of the run at which that weight reaches 1.
    tracking: initial weight of the loss between predicted and measured positions of the layers.
    tracking_until: share of the run at which that weight reaches 0.
    """

    first_frames: int = 4
    growing: float = 0.5
    gate_opening: float = 0.5
    clip_kl_warmup: float = 0.5
    frame_kl_excess: float = 10.0
    frame_kl_until: float = 0.7
    tracking: float = 10.0
    tracking_until: float = 0.8

    def frames(self, progress: float, longest: int) -> int:
        """Length of the clips, at most `longest`."""
        grown = self.first_frames + int(risen(progress, self.growing) * max(0, longest - self.first_frames))
        return min(longest, grown)

    def opening(self, progress: float) -> float:
        """Factor on the gate of drawn pixels, 0 to 1."""
        return risen(progress, self.gate_opening)

    def clip_kl_weight(self, progress: float) -> float:
        return risen(progress, self.clip_kl_warmup)

    def frame_kl_weight(self, progress: float) -> float:
        return self.frame_kl_excess ** (1 - risen(progress, self.frame_kl_until))

    def tracking_weight(self, progress: float) -> float:
        return self.tracking * (1 - risen(progress, self.tracking_until))
