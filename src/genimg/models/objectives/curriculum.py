"""What a sequence model learns first: schedules as functions of `progress`, the share of the run that is over."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Curriculum:
    """From short clips and the one latent that lasts, to whole clips under the plain bound.

    first_frames: length of the clips at the start, the given frame counted. Short ones first: what moves is still near
        where it was, where the gradient of its position points the right way.
    growing: share of the run after which clips have their full length.
    gate_opening: share of the run over which newly drawn pixels come in beside the moved ones.
    clip_kl_warmup: share of the run over which the weight of w's KL rises from 0 to 1 (Sønderby et al. 2016).
    frame_kl_excess: weight of the z_t's KL at the start. Dear at first, so that what lasts, direction and speed, is
        told once, by w, and not again in every frame.
    frame_kl_until: share of the run by which that weight has fallen to 1.
    tracking: weight at the start of the term that pulls what is foreseen to where the layers were measured to be.
    tracking_until: share of the run by which that weight has fallen to 0.
    """

    first_frames: int = 4
    growing: float = 0.5
    gate_opening: float = 0.5
    clip_kl_warmup: float = 0.5
    frame_kl_excess: float = 10.0
    frame_kl_until: float = 0.7
    tracking: float = 5.0
    tracking_until: float = 0.8

    def frames(self, progress: float, longest: int) -> int:
        """Frames of the clips, at most `longest`."""
        grown = self.first_frames + int(_ramp(progress, self.growing) * max(0, longest - self.first_frames))
        return min(longest, grown)

    def opening(self, progress: float) -> float:
        """Factor on the gate of the drawn pixels, 0 to 1."""
        return _ramp(progress, self.gate_opening)

    def clip_kl_weight(self, progress: float) -> float:
        return _ramp(progress, self.clip_kl_warmup)

    def frame_kl_weight(self, progress: float) -> float:
        return self.frame_kl_excess ** (1 - _ramp(progress, self.frame_kl_until))

    def tracking_weight(self, progress: float) -> float:
        return self.tracking * (1 - _ramp(progress, self.tracking_until))


def _ramp(progress: float, until: float) -> float:
    """0 at the start, 1 from `until` on."""
    return min(1.0, progress / until) if until > 0 else 1.0
