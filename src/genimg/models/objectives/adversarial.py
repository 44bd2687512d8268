"""Adversarial objectives: losses of logits, a value per image, to be minimised by the one they are named after.

`real_logits` and `fake_logits` have shape (B,). Every pair is registered in `OBJECTIVES` under the name that
`model.objective` takes.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]


class Objective(NamedTuple):
    """The two sides of the game, each `(real_logits, fake_logits) -> loss per image, shape (B,)`."""

    discriminator: Loss
    generator: Loss


def cross_entropy_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-log D(x) - log(1 - D(G(z))) with D = sigmoid(logit). Goodfellow et al. 2014, eq. 1."""
    return F.softplus(-real_logits) + F.softplus(fake_logits)


def non_saturating_generator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-log D(G(z)): strong gradients while D is winning. Goodfellow et al. 2014, section 3."""
    return F.softplus(-fake_logits)


def minimax_generator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """log(1 - D(G(z))): the game of the paper's eq. 1 as it stands, which saturates where D is sure."""
    return -F.softplus(fake_logits)


def relativistic_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Cross-entropy of "this real one is more real than this fake". Jolicoeur-Martineau 2018; R3GAN 2024, eq. 2."""
    return F.softplus(fake_logits - real_logits)


def relativistic_generator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The same pairing with the roles exchanged."""
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
    """D(G(z)) - D(x): minus the Wasserstein estimate; needs the gradient penalty. Arjovsky et al. 2017."""
    return fake_logits - real_logits


def critic_generator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-D(G(z)): raise the critic's value; shared by the hinge and Wasserstein games."""
    return -fake_logits


OBJECTIVES: dict[str, Objective] = {
    "non_saturating": Objective(cross_entropy_discriminator, non_saturating_generator),
    "minimax": Objective(cross_entropy_discriminator, minimax_generator),
    "relativistic": Objective(relativistic_discriminator, relativistic_generator),
    "hinge": Objective(hinge_discriminator, critic_generator),
    "least_squares": Objective(least_squares_discriminator, least_squares_generator),
    "wasserstein": Objective(wasserstein_discriminator, critic_generator),
}
