"""The VAE: an encoder from an image to a Gaussian over latents, and a decoder from latents to an image.

loss = -E_q(z|x)[log p(x | z)] + beta KL(q(z | x) || N(0, I)). Kingma & Welling 2013; Higgins et al. 2017.
"""

import math
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor, nn

from genimg.common.errors import UserError
from genimg.common.noise import Noise
from genimg.distributed.data_parallel import all_reduce_mean
from genimg.models.base import Batch, LatentModel, OptimizerFactory, check_unused
from genimg.models.objectives.likelihoods import LIKELIHOODS, optimal_log_sigma
from genimg.models.objectives.variational import gaussian_kl, normal_like, reparameterise, soft_bound
from genimg.models.schedules import risen

PRIORS = ("normal", "fitted")

#: Soft bounds of the posterior's log-variance: standard deviations from 0.007 to 150.
LOG_VAR_RANGE = (-10.0, 10.0)

#: Rate at which the running sigma of the Gaussian follows the batch's optimal one, per step.
SIGMA_RATE = 0.02


class LatentPrior(Protocol):
    """A distribution over latents, per class if there are labels, that can be fitted and to which N(0, I) is mapped."""

    def transport(self, noise: Tensor, labels: Tensor | None) -> Tensor: ...
    def fit(self, latents: Tensor, labels: Tensor | None, *, generator: torch.Generator) -> None: ...


class VAE(LatentModel):
    """A VAE that is trained on the ELBO with a KL weight beta, and sampled from N(0, I) or a fitted prior.

    Latents have two forms. `noise` is standard normal: `decode` takes it, so interpolation and
    truncation mean the same under both priors. z is the encoder's output and the decoder's input.

    Args:
        encoder: images [, labels] -> mean and log-variance (B, latent_dim).
        decoder: z (B, latent_dim) [, labels] -> (B, C, H, W), unbounded: logits or means by `likelihood`.
        mixture: the prior that `fit_prior` fits.
        optimizer: called with the parameters.
        latent_dim: length of z.
        likelihood: a name of `LIKELIHOODS`. The sigma of the Gaussian is optimal for each batch (Rybkin et al. 2021);
            evaluation uses its running mean. The scale of the logistic is one learned parameter.
        beta: weight of the KL after the warm-up; 1 gives the ELBO.
        kl_warmup: share of the run in which that weight rises from 0 to beta (Sønderby et al. 2016).
        prior: "normal" for N(0, I), or "fitted" for the mixture, which equals N(0, I) until it is fitted.
        num_classes: 0 for an unconditional model.
        final_lr: fraction of the learning rate at the end of the run.
        _shared: keys of the YAML that the networks and the optimizer read by interpolation.

    Raises:
        UserError: for an unknown likelihood or prior, or a network of another model.
    """

    produces: ClassVar[Literal["images", "sequences"]] = "images"
    monitor: tuple[str, Literal["min", "max"]] = ("frechet_random", "min")
    network_nodes: ClassVar[tuple[str, ...]] = ("encoder", "decoder")
    ema_prefixes: ClassVar[tuple[str, ...]] = ("encoder.", "decoder.", "log_scale")
    export_prefixes: ClassVar[tuple[str, ...]] = ("decoder.", "mixture.")

    exact_likelihood: ClassVar[bool] = False
    importance_sampled: ClassVar[bool] = True

    log_scale: Tensor

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
        super().__init__()
        check_unused(_shared)
        if likelihood not in LIKELIHOODS:
            raise UserError("model.likelihood", likelihood, f"one of {', '.join(LIKELIHOODS)}")
        if prior not in PRIORS:
            raise UserError("model.prior", prior, f"one of {', '.join(PRIORS)}")
        self.encoder, self.decoder, self.mixture = encoder, decoder, mixture
        self.optimizer = optimizer
        self.latent_dim, self.num_classes = latent_dim, num_classes
        self.likelihood = LIKELIHOODS[likelihood]
        self.beta, self.kl_warmup, self.prior = beta, kl_warmup, prior
        self.final_lr = final_lr
        log_scale = torch.tensor(-1.0)  # log of the likelihood's scale, in units of [-1, 1]
        if self.likelihood.scale == "learned":
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_scale", log_scale)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimizer(self.parameters())

    def networks(self) -> dict[str, nn.Module]:
        return {"encoder": self.encoder, "decoder": self.decoder}

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        images, labels = batch["images"], self._labels_of(batch)
        mean, log_var = self.posterior(images, labels)
        outputs = self.decoder(reparameterise(mean, log_var, torch.randn_like(mean)), labels)
        log_scale = self._update_scale(outputs, images) if self.likelihood.scale == "optimal" else self.log_scale
        reconstruction = self.likelihood.log_prob(outputs, log_scale, images).mean()
        kl = gaussian_kl(mean, log_var).mean()
        metrics = {
            **self.likelihood.bound(reconstruction, kl),
            "kl": kl,
            "reconstruction": reconstruction,
            "beta": kl.new_full((), self.beta_now()),
            # Burda et al. 2016, section 5: latents whose posterior mean varies over images
            "active_units": (mean.var(0) > 0.01).sum().float(),
        }
        metrics |= self.likelihood.scale_metrics(log_scale)
        loss = self.beta_now() * kl - reconstruction
        return {"loss": loss} | {name: value.detach() for name, value in metrics.items()}

    def _update_scale(self, outputs: Tensor, images: Tensor) -> Tensor:
        """The optimal log-sigma of the batch over all processes; its running mean is kept for evaluation.

        It is detached: at the optimum the derivative of the likelihood with respect to sigma is 0.
        """
        mse = (images - outputs.detach().float()).square().mean()
        all_reduce_mean([mse])
        log_sigma = optimal_log_sigma(mse)
        self.log_scale.lerp_(log_sigma, SIGMA_RATE)
        return log_sigma

    def beta_now(self) -> float:
        """The weight of the KL at the present progress."""
        return self.beta * risen(self.progress, self.kl_warmup)

    def evaluate(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """The objective (with beta 1) and its terms in nats, and bits per dimension of 8-bit pixels, each (B,).

        The objective is `elbo`, or `variational_loss` if the likelihood is not a density.
        """
        images, labels = batch["images"], self._labels_of(batch)
        mean, log_var = self.posterior(images, labels)
        z = reparameterise(mean, log_var, noise.normal(self.latent_dim))
        reconstruction = self.likelihood.log_prob(self.decoder(z, labels), self.log_scale, images)
        kl = gaussian_kl(mean, log_var)
        metrics = {**self.likelihood.bound(reconstruction, kl), "kl": kl, "reconstruction": reconstruction}
        if self.likelihood.not_a_probability is None:
            metrics["bits_per_dim"] = (kl - reconstruction) / (images[0].numel() * math.log(2))
        return metrics

    def no_likelihood(self) -> str | None:
        """Why `log_likelihood` is not a log-probability of images; None if it is one."""
        return self.likelihood.not_a_probability

    def log_likelihood(
        self, images: Tensor, labels: Tensor | None, *, samples: int, generator: torch.Generator
    ) -> Tensor:
        """The importance-weighted lower bound of log p(x) in nats, (B,), under the prior N(0, I) of the ELBO.

        log 1/K sum_k p(x | z_k) p(z_k) / q(z_k | x), z_k ~ q(z | x): Burda et al. 2016, eq. 8. It tightens with
        K = `samples`; K = 1 gives the ELBO.
        """
        mean, log_var = self.posterior(images, labels)
        weights = []
        for _ in range(samples):
            noise = normal_like(mean, generator)
            z = reparameterise(mean, log_var, noise)
            prior_over_posterior = 0.5 * (noise.square() + log_var - z.square()).sum(1)
            weights.append(
                self.likelihood.log_prob(self.decoder(z, labels), self.log_scale, images) + prior_over_posterior
            )
        return torch.stack(weights).logsumexp(0) - math.log(samples)

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
        labels = labels if self.num_classes else None
        z = self.mixture.transport(noise, labels) if self.prior == "fitted" else noise
        return self._mean_image(z, labels)

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """The mean images (B, C, H, W) in [-1, 1] of the posterior means of `images`."""
        labels = labels if self.num_classes else None
        return self._mean_image(self.posterior(images, labels)[0], labels)

    def _mean_image(self, z: Tensor, labels: Tensor | None) -> Tensor:
        if self.num_classes and labels is None:
            raise UserError("classes", None, "the class of every image, because this model is conditional")
        return self.likelihood.mean(self.decoder(z, labels).float())
