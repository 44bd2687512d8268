"""The VAE: an encoder from an image to a Gaussian over latents, and a decoder back.

loss = -E_q(z|x)[log p(x | z)] + beta KL(q(z | x) || N(0, I)). Kingma & Welling 2013; Higgins et al. 2017.
"""

import math
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor, nn

from genimg.common.errors import UserError
from genimg.distributed.data_parallel import all_reduce_mean
from genimg.models.base import Batch, GenerativeModel, OptimizerFactory
from genimg.models.objectives import likelihoods
from genimg.models.objectives.variational import gaussian_kl, reparameterise, soft_bound

PRIORS = ("normal", "fitted")

#: Softly kept range of the posterior's log-variance: standard deviations from 0.007 to 150.
LOG_VAR_RANGE = (-10.0, 10.0)

#: Share by which the Gaussian's running sigma follows the batch's optimal one, a step.
SIGMA_RATE = 0.02


#: The logistic's scale is kept softly above exp(-7), a quarter of half a level of 8 bits.
MIN_LOG_SCALE = -7.0


class LatentPrior(Protocol):
    """A distribution over latents, of each class where there are labels: it can be fitted, and N(0, I) maps to it."""

    def transport(self, noise: Tensor, labels: Tensor | None) -> Tensor: ...
    def fit(self, latents: Tensor, labels: Tensor | None, *, generator: torch.Generator) -> None: ...


class VAE(GenerativeModel):
    """Trained on the ELBO, its KL weighted by beta; sampled from N(0, I) or a prior fitted to its latents.

    Latents have two forms. `noise` is standard normal: what `sample_latents` draws and `decode` takes, so
    that interpolation and truncation mean the same under both priors. z is what the encoder gives and the
    decoder sees.

    Args:
        encoder: images [, labels] -> mean and log-variance (B, latent_dim).
        decoder: z (B, latent_dim) [, labels] -> (B, C, H, W), unbounded: logits or means by `likelihood`.
        mixture: the prior that `fit_prior` fits.
        optimizer: called with the parameters.
        latent_dim: length of z.
        likelihood: a name of `likelihoods.LIKELIHOODS`. The Gaussian's sigma is the batch's optimal one (Rybkin et al.
            2021), and the running mean of it outside training; the logistic's scale is learned, one for all
            pixels.
        beta: weight of the KL after the warm-up; 1 is the ELBO.
        kl_warmup: share of the run over which that weight rises from 0 (Sønderby et al. 2016).
        prior: "normal", or "fitted" for the mixture, which is N(0, I) until it is fitted.
        num_classes: 0 for an unconditional model.
        final_lr: fraction of the learning rate at the end of the run.
        _shared: keys of the YAML that the networks and the optimizer read by interpolation.
    """

    produces: ClassVar[Literal["images", "sequences"]] = "images"
    monitor: ClassVar[tuple[str, Literal["min", "max"]]] = ("frechet_random", "min")
    ema_prefixes: ClassVar[tuple[str, ...]] = ("encoder.", "decoder.", "log_scale")
    export_prefixes: ClassVar[tuple[str, ...]] = ("decoder.", "mixture.")

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
        if likelihood not in likelihoods.LIKELIHOODS:
            raise UserError("model.likelihood", likelihood, f"one of {', '.join(likelihoods.LIKELIHOODS)}")
        if prior not in PRIORS:
            raise UserError("model.prior", prior, f"one of {', '.join(PRIORS)}")
        self.encoder, self.decoder, self.mixture = encoder, decoder, mixture
        self.optimizer = optimizer
        self.latent_dim, self.num_classes = latent_dim, num_classes
        self.likelihood, self.beta, self.kl_warmup, self.prior = likelihood, beta, kl_warmup, prior
        self.final_lr = final_lr
        # log of the Gaussian's sigma or of the logistic's scale, in units of [-1, 1]; the Bernoulli has none
        log_scale = torch.tensor(-1.0)
        if likelihood == "discretized_logistic":
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
        if self.likelihood == "gaussian":
            # detached: at its optimum the likelihood does not change with sigma: the same gradients
            mse = (images - outputs.detach().float()).square().mean()
            all_reduce_mean([mse])  # the batch is that of all processes
            log_sigma = likelihoods.optimal_log_sigma(mse)
            self.log_scale.lerp_(log_sigma, SIGMA_RATE)
        else:
            log_sigma = self.log_scale
        reconstruction = self._log_likelihood(outputs, log_sigma, images).mean()
        kl = gaussian_kl(mean, log_var).mean()
        metrics = {
            "elbo": reconstruction - kl,
            "kl": kl,
            "reconstruction": reconstruction,
            "beta": kl.new_full((), self.beta_now()),
            # Burda et al. 2016, section 5: latents whose posterior mean varies over images
            "active_units": (mean.var(0) > 0.01).sum().float(),
        }
        if self.likelihood != "bernoulli":
            name = "sigma" if self.likelihood == "gaussian" else "scale"
            metrics[name] = (log_sigma if name == "sigma" else soft_bound(log_sigma, MIN_LOG_SCALE)).exp()
        loss = self.beta_now() * kl - reconstruction
        return {"loss": loss} | {name: value.detach() for name, value in metrics.items()}

    def beta_now(self) -> float:
        """The KL's weight at this point of the run."""
        return self.beta * (min(1.0, self.progress / self.kl_warmup) if self.kl_warmup > 0 else 1.0)

    def evaluate(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """The ELBO (beta 1, whatever the training's) and its parts in nats; bits/dim of 8-bit pixels."""
        images, labels = batch["images"], self._labels_of(batch)
        mean, log_var = self.posterior(images, labels)
        z = reparameterise(mean, log_var, _normal_like(mean, generator))
        reconstruction = self._log_likelihood(self.decoder(z, labels), self.log_scale, images)
        kl = gaussian_kl(mean, log_var)
        figures = {"elbo": reconstruction - kl, "kl": kl, "reconstruction": reconstruction}
        if self.likelihood == "discretized_logistic":
            figures["bits_per_dim"] = (kl - reconstruction) / (images[0].numel() * math.log(2))
        return figures

    def no_likelihood(self) -> str | None:
        """Why `log_likelihood` is no log probability of the images; None where it is one."""
        if self.likelihood == "bernoulli":
            return "model.likelihood=bernoulli takes grey levels for probabilities: it is no distribution over images"
        if self.likelihood == "gaussian":
            return "model.likelihood=gaussian is a density of real numbers, no probability of 8-bit pixels"
        return None

    def log_likelihood(
        self, images: Tensor, labels: Tensor | None, *, samples: int, generator: torch.Generator
    ) -> Tensor:
        """A lower bound of log p(x) in nats, (B,), under the prior N(0, I) that the ELBO has.

        log 1/K sum_k p(x | z_k) p(z_k) / q(z_k | x), z_k ~ q(z | x): Burda et al. 2016, eq. 8. Tighter with each of the
        K = `samples`; one is the ELBO.
        """
        mean, log_var = self.posterior(images, labels)
        weights = []
        for _ in range(samples):
            noise = _normal_like(mean, generator)
            z = reparameterise(mean, log_var, noise)
            prior_over_posterior = 0.5 * (noise.square() + log_var - z.square()).sum(1)
            weights.append(self._log_likelihood(self.decoder(z, labels), self.log_scale, images) + prior_over_posterior)
        return torch.stack(weights).logsumexp(0) - math.log(samples)

    def posterior(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z | x), (B, latent_dim) each, float32."""
        mean, log_var = self.encoder(images, labels)
        return mean.float(), soft_bound(log_var, *LOG_VAR_RANGE)

    def encode(self, images: Tensor, labels: Tensor | None = None, *, generator: torch.Generator) -> Tensor:
        """A sample of q(z | x) for each image, (B, latent_dim): what `fit_prior` takes."""
        mean, log_var = self.posterior(images, labels)
        return reparameterise(mean, log_var, _normal_like(mean, generator))

    def fit_prior(self, latents: Tensor, labels: Tensor | None, generator: torch.Generator) -> None:
        """Fit the prior to latents (N, latent_dim) that `encode` gave for training images, and their int64 labels (N,).

        Does nothing when the model is sampled from N(0, I).
        """
        if self.prior == "fitted":
            self.mixture.fit(latents, labels if self.num_classes else None, generator=generator)

    def sample_latents(self, num_images: int, *, generator: torch.Generator) -> Tensor:
        """Standard normal noise, shape (N, latent_dim)."""
        return torch.randn(num_images, self.latent_dim, generator=generator, device=self.device)

    def decode(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Standard normal noise (N, latent_dim) -> mean images (N, C, H, W) in [-1, 1]."""
        labels = labels if self.num_classes else None
        z = self.mixture.transport(noise, labels) if self.prior == "fitted" else noise
        return self._image(z, labels)

    def sample(
        self,
        num_images: int,
        *,
        generator: torch.Generator,
        labels: Tensor | None = None,
        temperature: float = 1.0,
    ) -> Tensor:
        """See the base class."""
        return self.decode(temperature * self.sample_latents(num_images, generator=generator), labels)

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """The mean images (B, C, H, W) in [-1, 1] of the posterior means of `images`."""
        labels = labels if self.num_classes else None
        return self._image(self.posterior(images, labels)[0], labels)

    def _image(self, z: Tensor, labels: Tensor | None) -> Tensor:
        if self.num_classes and labels is None:
            raise UserError("classes", None, "the class of every image: this model is conditional")
        outputs = self.decoder(z, labels).float()
        return likelihoods.bernoulli_mean(outputs) if self.likelihood == "bernoulli" else outputs.clamp(-1, 1)

    def _log_likelihood(self, outputs: Tensor, log_scale: Tensor, images: Tensor) -> Tensor:
        """log p(x | z) in nats, shape (B,)."""
        if self.likelihood == "bernoulli":
            return likelihoods.bernoulli(outputs, images)
        if self.likelihood == "gaussian":
            return likelihoods.gaussian(outputs, log_scale, images)
        return likelihoods.discretized_logistic(outputs, soft_bound(log_scale, MIN_LOG_SCALE), images)

    def _labels_of(self, batch: Batch) -> Tensor | None:
        if not self.num_classes:
            return None
        if "labels" not in batch:
            raise UserError("model.conditional", True, "data with labels", "train with model.conditional=false")
        return batch["labels"]


def _normal_like(x: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(x.shape, generator=generator, device=x.device)
