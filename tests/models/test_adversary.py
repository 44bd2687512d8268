"""The adversary of a sequence model: what it asks of frames, and how much."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from genimg.models.adversary import Adversary, action_shares, pairs
from genimg.models.networks.frames import PairDiscriminator
from genimg.models.networks.shape import NetworkShape
from genimg.models.schedules import Schedule


def adversary(weight: float = 0.5) -> Adversary:
    torch.manual_seed(0)
    return Adversary(PairDiscriminator(NetworkShape(16, 1, 4, 16, 16, 4)), weight, Schedule.of(0.01))


def scenes(count: int) -> tuple[Tensor, Tensor]:
    """Clips (N, 3, 1, 16, 16) of sharp noise, and the same frames 1 and 2 blurred."""
    clips = 2 * torch.rand(count, 3, 1, 16, 16, generator=torch.Generator().manual_seed(1)) - 1
    return clips, F.avg_pool2d(clips[:, 1:].flatten(0, 1), 3, 1, 1).unflatten(0, (count, 2))


def paired(clips: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
    """Pairs at random times, of clips (N, 3, ...) and of frames 1 and 2 (N, 2, ...)."""
    times = torch.randint(1, 3, (len(clips),))
    return pairs(clips, frames[torch.arange(len(clips)), times - 1], times)


def test_the_gradient_in_the_frames_has_the_weight_relative_to_that_of_the_other_loss() -> None:
    clips, blurred = scenes(8)
    blurred.requires_grad_()
    other = 7 * (blurred - clips[:, 1:]).square().mean()
    (theirs,) = torch.autograd.grad(other, blurred, retain_graph=True)
    for progress, expected in ((0.0, 0.0), (0.1, 0.25), (1.0, 0.5)):
        torch.manual_seed(0)
        real, fake = paired(clips, blurred)
        one = adversary()
        _, real_logits = one.critic_loss(real, fake, 1, progress)
        loss = one.loss(fake, real_logits, other, blurred, progress)
        (ours,) = torch.autograd.grad(loss, blurred, retain_graph=True)
        assert float(ours.norm()) == pytest.approx(expected * float(theirs.norm()), rel=1e-4)


def test_a_pair_is_the_start_image_and_a_frame_of_the_same_time() -> None:
    clips, blurred = scenes(2)
    real, fake = pairs(clips, blurred[:, 0], torch.tensor([1, 2]))
    assert torch.equal(real, torch.stack([clips[0, [0, 1], 0], clips[1, [0, 2], 0]]))
    assert torch.equal(fake, torch.cat([clips[:, 0], blurred[:, 0]], dim=1))


def test_it_learns_that_blurred_frames_are_not_real_and_asks_for_others() -> None:
    one, (clips, blurred) = adversary(), scenes(64)
    optimizer = torch.optim.Adam(one.parameters(), 3e-3, betas=(0.0, 0.95))
    for step in range(60):
        real, fake = paired(clips, blurred)
        optimizer.zero_grad()
        loss, _ = one.critic_loss(real, fake, step, 1.0)
        loss.backward()
        optimizer.step()
    real, fake = paired(clips, blurred)
    real_logits, before = one.discriminator(real), one.discriminator(fake)
    _, judged = one.critic_loss(real, fake, 1, 1.0)
    assert real_logits.mean() > before.mean() + 1
    blurred.requires_grad_()
    _, fake = paired(clips, blurred)
    (uphill,) = torch.autograd.grad(one.loss(fake, judged, blurred.square().sum(), blurred, 1.0), blurred)
    _, fake = paired(clips, blurred - 0.1 * uphill / uphill.norm() * blurred.norm())
    assert one.discriminator(fake).mean() > before.mean()


def test_the_model_s_loss_gives_the_discriminator_no_gradient() -> None:
    one, (clips, blurred) = adversary(), scenes(4)
    blurred.requires_grad_()
    real, fake = paired(clips, blurred)
    _, real_logits = one.critic_loss(real, fake, 1, 1.0)
    one.loss(fake, real_logits, blurred.square().sum(), blurred, 1.0).backward()
    assert all(weight.grad is None and weight.requires_grad for weight in one.parameters())


def test_shares_are_of_the_actions_up_to_a_frame() -> None:
    actions = torch.tensor([[0, 2, 2, 1], [1, 1, 0, 0]])
    shares = action_shares(actions, torch.tensor([3, 1]), 3)
    torch.testing.assert_close(shares, torch.tensor([[1 / 3, 0, 2 / 3], [0, 1, 0]]))


def test_the_discriminator_of_a_model_with_actions_judges_whether_they_fit() -> None:
    shape = NetworkShape(16, 1, 4, 16, 16, 4, num_classes=3)
    torch.manual_seed(0)
    one = Adversary(PairDiscriminator(shape), 1.0, Schedule.of(0.01))
    real, fake = paired(*scenes(4))
    left, right = (one.critic_loss(real, fake, 1, 1.0, torch.eye(3)[[action] * 4])[1] for action in (0, 1))
    assert not torch.allclose(left, right)
