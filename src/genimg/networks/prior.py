"""A prior fitted to the latents that the encoder uses, where the model was trained towards N(0, I).

    p(z) = sum_k w_k N(z; m_k, L_k L_k^T)

Samples from N(0, I) fall into holes that no training image was encoded to; a mixture of Gaussians fitted to the
aggregate posterior after training avoids them (Ghosh et al. 2020, section 4: ex-post density estimation).
"""

import math

import torch
from torch import Tensor, nn

#: Added to every component's covariance: no direction narrower than this, whatever the data.
RIDGE = 1e-4


class GaussianMixture(nn.Module):
    """Full-covariance mixture over latents (N, dim), kept in buffers so that a checkpoint has it. Starts as N(0, I).

    Args:
        dim: length of a latent vector.
        components: the most Gaussians it may use.
    """

    log_weights: Tensor
    means: Tensor
    factors: Tensor

    def __init__(self, dim: int, components: int) -> None:
        super().__init__()
        self.register_buffer("log_weights", torch.full((components,), -math.log(components)))
        self.register_buffer("means", torch.zeros(components, dim))
        self.register_buffer("factors", torch.eye(dim).repeat(components, 1, 1))  # Cholesky: L L^T = covariance

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) in nats of latents (N, dim), shape (N,)."""
        return _log_joint(z, self.log_weights, self.means, self.factors).logsumexp(0)

    def sample(self, num: int, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """`num` latents (N, dim) and the means (N, dim) of the components that they came from."""
        chosen = torch.multinomial(self.log_weights.exp(), num, replacement=True, generator=generator)
        noise = torch.randn(num, self.means.shape[1], generator=generator, device=self.means.device)
        means = self.means[chosen]
        return means + torch.einsum("nij,nj->ni", self.factors[chosen], noise), means

    @torch.no_grad()
    def fit(self, latents: Tensor, *, generator: torch.Generator, iterations: int = 40) -> None:
        """Expectation-maximisation from k-means++ centres (Arthur & Vassilvitskii 2007), in float64.

        Uses fewer components where there are fewer than 2 dim latents for each.

        Args:
            latents: samples of q(z | x) over the training images, (N, dim): with their noise, not the means alone.
            generator: on the model's device.
        """
        z = latents.detach().to(self.means.device, torch.float64)
        num, dim = z.shape
        used = max(1, min(len(self.log_weights), num // (2 * dim)))
        ridge = RIDGE * torch.eye(dim, dtype=z.dtype, device=z.device)
        centres = _spread_centres(z, used, generator)
        responsibilities = nn.functional.one_hot(torch.cdist(z, centres).argmin(1), used).to(z.dtype).T  # (K, N)
        for _ in range(iterations):
            counts = responsibilities.sum(1).clamp(min=1e-6)
            means = responsibilities @ z / counts[:, None]
            centred = z - means[:, None]  # (K, N, dim)
            weighted = centred * (responsibilities / counts[:, None])[..., None]
            factors = torch.linalg.cholesky(weighted.mT @ centred + ridge)
            log_weights = (counts / counts.sum()).log()
            responsibilities = _log_joint(z, log_weights, means, factors).softmax(0)
        self.log_weights.fill_(-math.inf)
        self.log_weights[:used] = log_weights.to(self.log_weights.dtype)
        self.means[:used] = means.to(self.means.dtype)
        self.factors[:used] = factors.to(self.factors.dtype)


def _log_joint(z: Tensor, log_weights: Tensor, means: Tensor, factors: Tensor) -> Tensor:
    """log w_k + log N(z; m_k, L_k L_k^T), shape (K, N)."""
    centred = (z - means[:, None]).mT  # (K, dim, N)
    whitened = torch.linalg.solve_triangular(factors, centred, upper=False)
    log_det = factors.diagonal(dim1=1, dim2=2).log().sum(1)
    constants = log_weights - log_det - 0.5 * z.shape[1] * math.log(2 * math.pi)
    return constants[:, None] - 0.5 * whitened.square().sum(1)


def _spread_centres(z: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` of the points (N, dim), each drawn with a chance that grows with its squared distance to the rest."""
    chosen = [torch.randint(len(z), (1,), generator=generator, device=z.device)]
    nearest = torch.full((len(z),), math.inf, dtype=z.dtype, device=z.device)
    for _ in range(count - 1):
        nearest = torch.minimum(nearest, (z - z[chosen[-1]]).square().sum(1))
        chosen.append(torch.multinomial(nearest + 1e-12, 1, generator=generator))
    return z[torch.cat(chosen)]
