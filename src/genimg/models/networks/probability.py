"""The probability of the operations of adaptive discriminator augmentation (ADA)."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from genimg.distributed.data_parallel import all_reduce_mean
from genimg.models.schedules import Schedule

TARGET = 0.6  # of the overfitting r_t (Karras et al. 2020, section 3)
WINDOW = 4  # steps over which it is averaged
MOST = 0.8  # upper limit of an adaptive p: above about 0.8, operations leak into the samples (section 2.2)


class Probability(nn.Module):
    """The probability p with which an operation is applied to an image, as a tensor without axes on the device.

    It is a schedule, or adapts to the overfitting of the discriminator, r_t = E[sign(D(x))] over training images x
    (Karras et al. 2020, https://arxiv.org/abs/2006.06676, section 3): p rises while r_t is above 0.6, and falls while
    it is below. The boundary between real and fake is here not 0, but the middle of the mean logits of real and of
    fake images, because some objectives define only differences of logits.

    Args:
        p: "adaptive", one number, or the ends of a `Schedule`.
        ramp: images over which an adaptive p can change by 1.
    """

    p: Tensor
    overfitting: Tensor

    def __init__(self, p: float | Sequence[float] | Literal["adaptive"], ramp: float) -> None:
        super().__init__()
        self.given = None if p == "adaptive" else Schedule.of(p)
        self.ramp = ramp
        for name in ("p", "overfitting"):  # an adaptive p is part of the state of training
            self.register_buffer(name, torch.zeros(()), persistent=self.given is None)

    def schedule(self, progress: float) -> None:
        """Sets a p that follows a schedule; progress from 0 to 1."""
        if self.given is not None:
            self.p.fill_(self.given.at(progress))

    @torch.no_grad()
    def adapt(self, real_logits: Tensor, fake_logits: Tensor, images: int) -> dict[str, Tensor]:
        """Moves an adaptive p after the logits of a step. Returns the p of the step and, if adaptive, r_t.

        Args:
            real_logits, fake_logits: those of this process, (B,).
            images: training images of the step on all processes together.
        """
        metrics = {"augmentation_p": self.p.clone()}
        if self.given is not None:
            return metrics
        boundary = (real_logits.mean() + fake_logits.mean()) / 2
        sign = (real_logits - boundary).sign().mean()
        all_reduce_mean([sign])
        self.overfitting.lerp_(sign, 1 / WINDOW)
        self.p.add_((self.overfitting - TARGET).sign() * (images / self.ramp)).clamp_(0, MOST)
        return metrics | {"overfitting": self.overfitting.clone()}
