"""Adversarial objectives: losses of logits, one value per image, that the named network minimises.

`real_logits` and `fake_logits` have shape (B,). `OBJECTIVES` lists every loss pair by the name that `model.objective`
takes.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]


class LossPair(NamedTuple):
    """The losses of both networks, each `(real_logits, fake_logits) -> loss per image, shape (B,)`."""

    discriminator: Loss
    generator: Loss


def cross_entropy_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-log D(x) - log(1 - D(G(z))) with D = sigmoid(logit). Goodfellow et al. 2014, eq. 1."""
    return F.softplus(-real_logits) + F.softplus(fake_logits)


def non_saturating_generator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-log D(G(z)), which has strong gradients while D is better. Goodfellow et al. 2014, section 3."""
    return F.softplus(-fake_logits)


def minimax_generator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """log(1 - D(G(z))), which saturates where D is certain. Goodfellow et al. 2014, eq. 1."""
    return -F.softplus(fake_logits)


def relativistic_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Cross-entropy of "the real image is more realistic than the fake image".

    Jolicoeur-Martineau 2018; R3GAN 2024, eq. 2.
    """
    return F.softplus(fake_logits - real_logits)


def relativistic_generator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """`relativistic_discriminator` with the roles exchanged. Jolicoeur-Martineau 2018."""
    return F.softplus(real_logits - fake_logits)


def hinge_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """max(0, 1 - D(x)) + max(0, 1 + D(G(z))). Lim & Ye 2017."""
    return F.relu(1 - real_logits) + F.relu(1 + fake_logits)


def least_squares_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """((D(x) - 1)^2 + D(G(z))^2) / 2. Mao et al. 2017, eq. 9."""
    return 0.5 * ((real_logits - 1).square() + fake_logits.square())


def least_squares_generator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """(D(G(z)) - 1)^2 / 2. Mao et al. 2017, eq. 9."""
    return 0.5 * (fake_logits - 1).square()


def wasserstein_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """D(G(z)) - D(x), the negative Wasserstein estimate; requires the gradient penalty. Arjovsky et al. 2017."""
    return fake_logits - real_logits


def critic_generator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-D(G(z)), for the hinge and Wasserstein objectives. Lim & Ye 2017; Arjovsky et al. 2017."""
    return -fake_logits


OBJECTIVES: dict[str, LossPair] = {
    "non_saturating": LossPair(cross_entropy_discriminator, non_saturating_generator),
    "minimax": LossPair(cross_entropy_discriminator, minimax_generator),
    "relativistic": LossPair(relativistic_discriminator, relativistic_generator),
    "hinge": LossPair(hinge_discriminator, critic_generator),
    "least_squares": LossPair(least_squares_discriminator, least_squares_generator),
    "wasserstein": LossPair(wasserstein_discriminator, critic_generator),
}
