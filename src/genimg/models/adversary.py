"""A discriminator beside the likelihood of a sequence model, which keeps predicted frames sharp.

The most likely frame under independent pixels is the mean of all that may come, which is blurred. A discriminator that
sees it beside the start image, and knows the actions between them, asks for one frame that is possible. It sees frames
as they are sampled, with latents from the priors.

Lee et al. 2018, "Stochastic adversarial video prediction", https://arxiv.org/abs/1804.01523
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genimg.models.frozen import frozen
from genimg.models.judged import default_places, judge, per_image
from genimg.models.objectives.adversarial import OBJECTIVES
from genimg.models.objectives.penalties import squared_gradient
from genimg.models.schedules import Schedule, risen

LOSSES = OBJECTIVES["relativistic"]
PENALTY_EVERY = 4  # steps from one penalty to the next
PENALTY_SHARE = 0.25  # of the pairs, whose gradients enter it
RISE = 0.2  # share of the run in which the weight of the loss rises from 0


class Adversary(nn.Module):
    """Pairs of a start image and a later frame of its clip, real or predicted, and what they are worth.

    Args:
        discriminator: pairs (N, 2 C, H, W) -> logits (N,). It may be `JudgesPlaces`.
        weight: of `loss`: the norm of its gradient in the frames, relative to that of the other loss (Esser et al.
            2021, "Taming transformers", eq. 7, where it is the gradient in the last layer).
        gamma: weight of (R1 + R2) / 2, as for the GAN, from start to end.
    """

    def __init__(self, discriminator: nn.Module, weight: float, gamma: Schedule) -> None:
        super().__init__()
        self.discriminator, self.weight, self.gamma = discriminator, weight, gamma
        self.places = default_places(discriminator)

    def critic_loss(
        self, real: Tensor, fake: Tensor, step: int, progress: float, shares: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The loss of the discriminator on as many real as fake pairs, and the logits (N, 1 + M) of the real ones.

        shares: of the actions between the images of a pair, (N, A), if there are actions.
        """
        fake = fake.detach()
        real_logits, fake_logits = self._logits(torch.cat([real, fake]), _twice(shares)).chunk(2)
        loss = per_image(LOSSES.discriminator(real_logits, fake_logits), self.places).mean()
        if step % PENALTY_EVERY == 0:
            count = max(1, round(len(real) * PENALTY_SHARE))
            chosen = torch.cat([real[:count], fake[:count]])
            of_chosen = None if shares is None else _twice(shares[:count])
            squares = squared_gradient(lambda x: per_image(self._logits(x, of_chosen), self.places), chosen)
            penalty = 2 * squares.mean()  # R1 + R2, each a mean over its half
            loss = loss + 0.5 * PENALTY_EVERY * self.gamma.at(progress) * penalty
        return loss, real_logits.detach()

    def loss(
        self,
        fake: Tensor,
        real_logits: Tensor,
        other: Tensor,
        frames: Tensor,
        progress: float,
        shares: Tensor | None = None,
    ) -> Tensor:
        """The loss of the model beside its `other` loss, weighted.

        Args:
            fake: pairs (N, 2 C, H, W).
            real_logits: those of the real pairs, (N, 1 + M).
            frames: predicted frames of N clips, of which `other` is a function.
            shares: of the actions, as for `critic_loss`.
        """
        with frozen(self.discriminator):
            loss = per_image(LOSSES.generator(real_logits, self._logits(fake, shares)), self.places).mean()
        (ours,) = torch.autograd.grad(loss, fake, retain_graph=True)
        ours = ours.chunk(2, dim=1)[1]  # in the later frame
        (theirs,) = torch.autograd.grad(other, frames, retain_graph=True)
        return self.weight * risen(progress, RISE) * theirs.norm() / ours.norm().clamp_min(1e-12) * loss

    def _logits(self, pairs: Tensor, shares: Tensor | None) -> Tensor:
        return judge(self.discriminator, pairs, shares, self.places)


def _twice(shares: Tensor | None) -> Tensor | None:
    """For real pairs and for fake ones."""
    return None if shares is None else torch.cat([shares, shares])


def action_shares(actions: Tensor, times: Tensor, num_actions: int) -> Tensor:
    """How often each action occurs among the first `times` (N,) of actions (N, T): shares (N, num_actions)."""
    taken = torch.arange(actions.shape[1], device=actions.device) < times.unsqueeze(1)
    counts = (F.one_hot(actions, num_actions) * taken.unsqueeze(2)).sum(1)
    return counts / times.unsqueeze(1)


def pairs(clips: Tensor, drawn: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
    """Real and fake pairs of the start image and a frame of each clip: (B, 2 C, H, W) each.

    Args:
        clips: (B, T, C, H, W), the start image first.
        drawn: one frame of each clip as the model draws it, (B, C, H, W).
        times: int64 (B,), from 1 to T - 1: which frame that is.
    """
    start, true = clips[:, 0], clips[torch.arange(len(clips), device=clips.device), times]
    return torch.cat([start, true], dim=1), torch.cat([start, drawn], dim=1)
