"""The VAE: an encoder from an image to a Gaussian over latents, and a decoder from latents to an image.

loss = -E_q(z|x)[log p(x | z)] + beta KL(q(z | x) || N(0, I)). Kingma & Welling 2013; Higgins et al. 2017.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor, nn

from genimg.common.errors import UserError
from genimg.models.base import OptimizerFactory, check_unused
from genimg.models.objectives.variational import normal_like, reparameterise, soft_bound
from genimg.models.variational import LOG_VAR_RANGE, Inferred, VariationalModel

PRIORS = ("normal", "fitted")


class LatentPrior(Protocol):
    """A distribution over latents, per class if there are labels, that can be fitted and to which N(0, I) is mapped."""

    def transport(self, noise: Tensor, labels: Tensor | None) -> Tensor: ...
    def fit(self, latents: Tensor, labels: Tensor | None, *, generator: torch.Generator) -> None: ...


class VAE(VariationalModel):
    """A VAE, sampled from N(0, I) or a fitted prior.

    Latents have two forms. `noise` is standard normal: `decode` takes it, so interpolation and
    truncation mean the same under both priors. z is the encoder's output and the decoder's input.

    Args:
        encoder: images [, labels] -> mean and log-variance (B, latent_dim).
        decoder: z (B, latent_dim) [, labels] -> (B, C, H, W), unbounded: logits or means by `likelihood`.
        mixture: the prior that `fit_prior` fits.
        prior: "normal" for N(0, I), or "fitted" for the mixture, which equals N(0, I) until it is fitted.
        optimizer, latent_dim, likelihood, beta, kl_warmup, num_classes, final_lr: see `VariationalModel`.
        _shared: keys of the YAML that the networks and the optimizer read by interpolation.

    Raises:
        UserError: for an unknown likelihood or prior, or a network of another model.
    """

    produces: ClassVar[Literal["images", "sequences"]] = "images"
    network_nodes: ClassVar[tuple[str, ...]] = ("encoder", "decoder")
    ema_prefixes: ClassVar[tuple[str, ...]] = ("encoder.", "decoder.", "log_scale")
    export_prefixes: ClassVar[tuple[str, ...]] = ("decoder.", "mixture.")

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        mixture: LatentPrior,
        optimizer: OptimizerFactory,
        latent_dim: int,
        likelihood: str,
        beta: float,
        kl_warmup: float,
        prior: str,
        num_classes: int,
        final_lr: float,
        **_shared: Any,
    ) -> None:
        super().__init__(optimizer, latent_dim, likelihood, beta, kl_warmup, num_classes, final_lr)
        check_unused(_shared)
        if prior not in PRIORS:
            raise UserError("model.prior", prior, f"one of {', '.join(PRIORS)}")
        self.encoder, self.decoder, self.mixture, self.prior = encoder, decoder, mixture, prior

    def networks(self) -> dict[str, nn.Module]:
        return {"encoder": self.encoder, "decoder": self.decoder}

    def inference(self, images: Tensor, labels: Tensor | None) -> Callable[[Tensor], Inferred]:
        """See the base class."""
        mean, log_var = self.posterior(images, labels)

        def infer(noise: Tensor) -> Inferred:
            z = reparameterise(mean, log_var, noise)
            return Inferred(mean, log_var, z, self.decoder(z, labels))

        return infer

    def posterior(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z | x), (B, latent_dim) each, float32."""
        mean, log_var = self.encoder(images, labels)
        return mean.float(), soft_bound(log_var, *LOG_VAR_RANGE)

    def encode(self, images: Tensor, labels: Tensor | None = None, *, generator: torch.Generator) -> Tensor:
        """A sample of q(z | x) for each image, (B, latent_dim), for `fit_prior`."""
        mean, log_var = self.posterior(images, labels)
        return reparameterise(mean, log_var, normal_like(mean, generator))

    def fit_prior(self, latents: Tensor, labels: Tensor | None, generator: torch.Generator) -> None:
        """Fits the prior to latents (N, latent_dim) of training images, from `encode`, with int64 labels (N,).

        Does nothing if the model is sampled from N(0, I).
        """
        if self.prior == "fitted":
            self.mixture.fit(latents, labels if self.num_classes else None, generator=generator)

    def decode(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Standard normal noise (N, latent_dim) -> mean images (N, C, H, W) in [-1, 1]."""
        labels = self._requested(labels)
        return self.images_of(self.mixture.transport(noise, labels) if self.prior == "fitted" else noise, labels)

    def images_of(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """See the base class. They are not the noise that `decode` takes."""
        return self.likelihood.mean(self.decoder(latents, self._requested(labels)).float())
