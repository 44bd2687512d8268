"""A prior that is fitted to the encoder's latents, and the smooth map from N(0, I) to it.

    p(z) = sum_k w_k N(z; m_k, U_k diag(v_k) U_k^T)

Samples from N(0, I) may fall into regions to which no training image is encoded. A mixture of Gaussians that is fitted
to the aggregate posterior avoids them (Ghosh et al. 2020, section 4: ex-post density estimation). The map makes every
latent a function of standard normal noise, so interpolation and truncation keep their meaning.
"""

import math
from itertools import pairwise
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

#: Minimum variance of a component in any direction.
MIN_VARIANCE = 1e-3

#: Minimum variance in any direction, as a share of the total variance; float32 cannot represent less.
MIN_SHARE = 1e-6

#: Larger latents come from a diverged run; their squares may overflow.
LARGEST = 1e15

#: Steps of the map from N(0, I); the error of the mean log-density is below 0.01 nats per dimension (tests).
STEPS = 24


class Components(NamedTuple):
    """The components of a mixture, shared by all latents (M = 1) or one mixture per latent (M = N)."""

    log_weights: Tensor  # (K, M)
    means: Tensor  # (K, M, dim)
    axes: Tensor  # (K, dim, dim), or (K, N, dim, dim)
    variances: Tensor  # (K, M, dim)

    def transport(self, noise: Tensor) -> Tensor:
        """Maps standard normal noise (N, dim) to latents of the mixture, smoothly and one to one.

        It integrates the probability flow of z_a = sin(a) x + cos(a) noise from a = 0 to pi/2 with x from the mixture.
        The velocity E[dz_a / da | z_a] has a closed form for a mixture of Gaussians (Albergo & Vanden-Eijnden 2023,
        stochastic interpolants, trigonometric path). Heun's method takes shorter steps towards the end, where the
        components are narrow. A path crosses the gap between distant components quickly. For N(0, I) it is the
        identity.
        """
        grid = [0.5 * math.pi * (1 - (1 - i / STEPS) ** 2) for i in range(STEPS + 1)]
        z = noise.float()
        with torch.autocast(z.device.type, enabled=False):
            for here, there in pairwise(grid):
                first = self._velocity(z, here)
                second = self._velocity(z + (there - here) * first, there)
                z = z + 0.5 * (there - here) * (first + second)
        return z

    def _velocity(self, z: Tensor, angle: float) -> Tensor:
        """E[cos(a) x - sin(a) noise | z_a = z], shape (N, dim)."""
        sin, cos = math.sin(angle), math.cos(angle)
        variances = sin**2 * self.variances + cos**2  # of z_a in each component, along its axes
        along = _rotate(z - sin * self.means, self.axes)  # (K, N, dim)
        squares = (along.square() / variances).sum(2)
        joint = self.log_weights - 0.5 * variances.log().sum(2) - 0.5 * squares
        shares = joint.softmax(0)  # (K, N): posterior of the component
        slopes = sin * cos * (self.variances - 1) / variances
        velocities = cos * self.means + _rotate(along * slopes, self.axes.mT)  # (K, N, dim)
        return (shares[..., None] * velocities).sum(0)


def _rotate(vectors: Tensor, axes: Tensor) -> Tensor:
    """Multiplies vectors (K, N, dim) by matrices (K, dim, dim), or each by its own matrix (K, N, dim, dim)."""
    return vectors @ axes if axes.ndim == 3 else (vectors.unsqueeze(2) @ axes).squeeze(2)


class GaussianMixture(nn.Module):
    """A full-covariance mixture over latents (N, dim), in buffers, initialised to N(0, I).

    Args:
        dim: length of a latent vector.
        components: maximum number of Gaussians.
    """

    log_weights: Tensor  # (K,)
    means: Tensor  # (K, dim)
    axes: Tensor  # (K, dim, dim): the columns are the eigenvectors of the covariance
    variances: Tensor  # (K, dim): its eigenvalues

    def __init__(self, dim: int, components: int) -> None:
        super().__init__()
        self.register_buffer("log_weights", torch.full((components,), -math.log(components)))
        self.register_buffer("means", torch.zeros(components, dim))
        self.register_buffer("axes", torch.eye(dim).repeat(components, 1, 1))
        self.register_buffer("variances", torch.ones(components, dim))

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) in nats of latents (N, dim), shape (N,)."""
        along = (z - self.means[:, None]) @ self.axes  # (K, N, dim): coordinates in each component's own axes
        normaliser = 0.5 * z.shape[1] * math.log(2 * math.pi)
        return _log_joint(along, self.log_weights, self.variances).logsumexp(0) - normaliser

    def transport(self, noise: Tensor) -> Tensor:
        """Maps standard normal noise (N, dim) to latents of the mixture: see `Components.transport`."""
        return self.components().transport(noise)

    def components(self) -> "Components":
        """The components, shared by all latents."""
        return Components(self.log_weights[:, None], self.means[:, None], self.axes, self.variances[:, None])

    @torch.no_grad()
    def fit(self, latents: Tensor, *, generator: torch.Generator, iterations: int = 30) -> None:
        """Expectation-maximisation from k-means++ centres (Arthur & Vassilvitskii 2007).

        Uses fewer components if there are fewer than 4 dim latents per component.

        Args:
            latents: samples of q(z | x) over training images, (N, dim), not posterior means.
            generator: on the latents' device.
        """
        z = latents.detach().float()
        if not (z.abs() < LARGEST).all():  # also false for NaN
            return  # the run diverged, which its loss reports better than a failed decomposition
        with torch.autocast(z.device.type, enabled=False):  # covariances in half precision are not positive definite
            log_weights, means, axes, variances = self._expectation_maximisation(z, generator, iterations)
        used = len(log_weights)
        self.log_weights.fill_(-math.inf)
        for buffer, value in (
            (self.log_weights, log_weights),
            (self.means, means),
            (self.axes, axes),
            (self.variances, variances),
        ):
            buffer[:used] = value.to(buffer)

    def _expectation_maximisation(
        self, z: Tensor, generator: torch.Generator, iterations: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Log-weights (K,), means (K, dim), axes (K, dim, dim) and variances (K, dim) of as many components as fit."""
        num, dim = z.shape
        used = max(1, min(len(self.log_weights), num // (4 * dim)))
        centres = _initial_centres(z, used, generator)
        shares = nn.functional.one_hot(torch.cdist(z, centres).argmin(1), used).float().T  # (K, N)
        identity = torch.eye(dim, device=z.device)
        for _ in range(iterations if used > 1 else 1):
            counts = shares.sum(1).clamp(min=1e-6)
            log_weights = (counts / counts.sum()).log()
            means = shares @ z / counts[:, None]
            scaled = (z - means[:, None]) * (shares / counts[:, None]).sqrt()[..., None]  # (K, N, dim)
            narrowest = (MIN_SHARE * scaled.square().sum((1, 2))).clamp(min=MIN_VARIANCE)
            covariances = scaled.mT @ scaled + narrowest[:, None, None] * identity
            # Cholesky, because a batch of small eigh takes 1,000 times longer on busy cores
            factors = torch.linalg.cholesky(covariances)
            whiten = torch.linalg.solve_triangular(factors, identity.expand_as(factors), upper=False)
            log_scales = whiten.diagonal(dim1=1, dim2=2).log().sum(1)
            along = (z - means[:, None]) @ whiten.mT  # has variance 1 along the axes of the component
            shares = _log_joint(along, log_weights + log_scales, torch.ones_like(means)).softmax(0)
        variances, axes = torch.linalg.eigh(covariances)
        return log_weights, means, axes, variances.clamp(min=MIN_VARIANCE)


class ClassMixtures(nn.Module):
    """A `GaussianMixture` per class, p(z | y), or a single one without classes.

    Classes have different latents: a decoder that receives the latent of a 3 and the class 7 draws the 3.

    Args:
        dim: length of a latent vector.
        components: maximum number of Gaussians per mixture.
        num_classes: 0 for a single mixture.
    """

    def __init__(self, dim: int, components: int, num_classes: int = 0) -> None:
        super().__init__()
        self.mixtures = nn.ModuleList(GaussianMixture(dim, components) for _ in range(max(1, num_classes)))

    def _of_class(self, label: int) -> GaussianMixture:
        return cast(GaussianMixture, self.mixtures[label])

    def transport(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """As `GaussianMixture.transport`, with the mixture of each row's class in `labels`, int64 (N,).

        For float weights (N, K) it gives the weighted mean of the latents of the classes.
        """
        if labels is None:
            return self._of_class(0).transport(noise)
        if labels.is_floating_point():
            used = labels.any(0).nonzero().flatten().tolist()
            return sum(labels[:, [k]] * self._of_class(k).transport(noise) for k in used)  # pyright: ignore
        if torch.jit.is_tracing() or torch.compiler.is_compiling():  # pyright: ignore[reportPrivateImportUsage]
            return self._transport_each(noise, labels)
        z = torch.empty_like(noise, dtype=torch.float32)
        for label in labels.unique().tolist():
            z[labels == label] = self._of_class(label).transport(noise[labels == label])
        return z

    def _transport_each(self, noise: Tensor, labels: Tensor) -> Tensor:
        """As `transport`, without control flow on labels, so that it can be traced.

        It needs K dim^2 numbers per latent and is 15 times slower for large batches.
        """
        names = ("log_weights", "means", "axes", "variances")
        of_class = (torch.stack([getattr(one, name) for one in self.mixtures]) for name in names)
        return Components(*(values[labels].transpose(0, 1) for values in of_class)).transport(noise)

    def fit(self, latents: Tensor, labels: Tensor | None = None, *, generator: torch.Generator) -> None:
        """As `GaussianMixture.fit`, per class. A class with fewer than two latents is not fitted."""
        for label in range(len(self.mixtures)):
            own = latents if labels is None else latents[labels == label]
            if len(own) > 1:
                self._of_class(label).fit(own, generator=generator)


def _log_joint(along: Tensor, log_weights: Tensor, variances: Tensor) -> Tensor:
    """log w_k + log N(z; m_k, C_k) without the constant of 2 pi, (K, N), from coordinates (K, N, dim)."""
    squares = (along.square() / variances[:, None]).sum(2)
    return (log_weights - 0.5 * variances.log().sum(1))[:, None] - 0.5 * squares


def _initial_centres(z: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """k-means++: `count` of the points (N, dim), each drawn by its squared distance to the nearest drawn point."""
    chosen = [torch.randint(len(z), (1,), generator=generator, device=z.device)]
    nearest = torch.full((len(z),), math.inf, device=z.device)
    for _ in range(count - 1):
        nearest = torch.minimum(nearest, (z - z[chosen[-1]]).square().sum(1))
        chosen.append(torch.multinomial(nearest + 1e-12, 1, generator=generator))
    return z[torch.cat(chosen)]
