"""Laws of the adversarial objectives."""

import pytest
import torch
import torch.nn.functional as F

from genimg.models.objectives.adversarial import OBJECTIVES

LOGITS = torch.linspace(-4, 4, 9)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_loss_has_one_value_per_image(name: str) -> None:
    game = OBJECTIVES[name]
    assert game.discriminator(LOGITS, LOGITS.flip(0)).shape == LOGITS.shape
    assert game.generator(LOGITS, LOGITS.flip(0)).shape == LOGITS.shape


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_gradients_of_the_losses_have_the_right_signs(name: str) -> None:
    real, fake = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    grad_real, grad_fake = torch.autograd.grad(OBJECTIVES[name].discriminator(real, fake).sum(), (real, fake))
    assert grad_real < 0 < grad_fake or (name == "least_squares" and grad_real < 0 == grad_fake)
    (grad_fooled,) = torch.autograd.grad(OBJECTIVES[name].generator(real, fake).sum(), fake)
    assert grad_fooled < 0


def test_cross_entropy_equals_torchs() -> None:
    fake = LOGITS.flip(0)
    expected = F.binary_cross_entropy_with_logits(LOGITS, torch.ones(9), reduction="none")
    expected += F.binary_cross_entropy_with_logits(fake, torch.zeros(9), reduction="none")
    torch.testing.assert_close(OBJECTIVES["minimax"].discriminator(LOGITS, fake), expected)


def test_minimax_is_a_zero_sum_game_in_the_fake_logits() -> None:
    game = OBJECTIVES["minimax"]
    total = game.discriminator(LOGITS, LOGITS) + game.generator(LOGITS, LOGITS)
    torch.testing.assert_close(total, F.softplus(-LOGITS))  # only the real part is left
