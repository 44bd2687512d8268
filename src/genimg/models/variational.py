"""What models that are trained on the evidence lower bound share: the loss, its metrics, and bounds of log p(x).

loss = -E_q(z|x)[log p(x | z)] + beta KL(q(z | x) || N(0, I))        Kingma & Welling 2013; Higgins et al. 2017
"""

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from genimg.common.errors import UserError
from genimg.common.noise import Noise
from genimg.distributed.data_parallel import all_reduce_mean
from genimg.models.base import Batch, LatentModel, OptimizerFactory
from genimg.models.objectives.likelihoods import LIKELIHOODS, optimal_log_sigma
from genimg.models.objectives.variational import gaussian_kl
from genimg.models.schedules import risen

#: Soft bounds of the posterior's log-variance: standard deviations from 0.007 to 150.
LOG_VAR_RANGE = (-10.0, 10.0)

#: Rate at which the running sigma of the Gaussian follows the batch's optimal one, per step.
SIGMA_RATE = 0.02


class Inferred(NamedTuple):
    """Latents z of images, a draw from the posterior q, and what the decoder makes of them.

    q may be autoregressive, a product of q(z_t | z_1, ..., z_{t-1}, x): its means and log-variances are then those of
    this draw. The KL divergence is the mean of `gaussian_kl` over draws in both cases.
    """

    mean: Tensor  # of q, (B, latent_dim), float32
    log_var: Tensor  # of q, bounded
    z: Tensor
    outputs: Tensor  # (B, C, H, W), unbounded: logits or means by the likelihood


class VariationalModel(LatentModel):
    """A model of images with latents z ~ N(0, I) that is trained on the ELBO with a KL weight beta.

    Args:
        optimizer: called with the parameters.
        latent_dim: length of z.
        likelihood: a name of `LIKELIHOODS`. The sigma of the Gaussian is optimal for each batch (Rybkin et al. 2021);
            evaluation uses its running mean. The scale of the logistic is one learned parameter.
        beta: weight of the KL after the warm-up; 1 gives the ELBO.
        kl_warmup: share of the run in which that weight rises from 0 to beta (Sønderby et al. 2016).
        num_classes: 0 for an unconditional model.
        final_lr: fraction of the learning rate at the end of the run.

    Raises:
        UserError: for an unknown likelihood.
    """

    monitor: tuple[str, Literal["min", "max"]] = ("frechet_random", "min")
    exact_likelihood: ClassVar[bool] = False
    importance_sampled: ClassVar[bool] = True

    log_scale: Tensor

    def __init__(
        self,
        optimizer: OptimizerFactory,
        latent_dim: int,
        likelihood: str,
        beta: float,
        kl_warmup: float,
        num_classes: int,
        final_lr: float,
    ) -> None:
        super().__init__()
        if likelihood not in LIKELIHOODS:
            raise UserError("model.likelihood", likelihood, f"one of {', '.join(LIKELIHOODS)}")
        self.optimizer = optimizer
        self.latent_dim, self.num_classes = latent_dim, num_classes
        self.likelihood = LIKELIHOODS[likelihood]
        self.beta, self.kl_warmup, self.final_lr = beta, kl_warmup, final_lr
        log_scale = torch.tensor(-1.0)  # log of the likelihood's scale, in units of [-1, 1]
        if self.likelihood.scale == "learned":
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_scale", log_scale)

    @abstractmethod
    def inference(self, images: Tensor, labels: Tensor | None) -> Callable[[Tensor], Inferred]:
        """A function from standard normal noise (B, latent_dim) to latents of images (B, C, H, W).

        What does not depend on the noise is computed once.
        """

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimizer(self.parameters())

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        images, labels = batch["images"], self._labels_of(batch)
        noise = torch.randn(len(images), self.latent_dim, device=images.device)
        mean, log_var, _, outputs = self.inference(images, labels)(noise)
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
        mean, log_var, _, outputs = self.inference(images, labels)(noise.normal(self.latent_dim))
        reconstruction = self.likelihood.log_prob(outputs, self.log_scale, images)
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
        infer, weights = self.inference(images, labels), []
        for _ in range(samples):
            noise = torch.randn(len(images), self.latent_dim, generator=generator, device=images.device)
            _, log_var, z, outputs = infer(noise)
            prior_over_posterior = 0.5 * (noise.square() + log_var - z.square()).sum(1)
            weights.append(self.likelihood.log_prob(outputs, self.log_scale, images) + prior_over_posterior)
        return torch.stack(weights).logsumexp(0) - math.log(samples)

    @abstractmethod
    def images_of(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """The mean images (N, C, H, W) in [-1, 1] of latents of the encoder, (N, latent_dim)."""

    def latents_of(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """The posterior means of images (N, C, H, W), (N, latent_dim), float32."""
        infer = self.inference(images, self._requested(labels))
        return infer(torch.zeros(len(images), self.latent_dim, device=images.device)).z

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """The mean images (B, C, H, W) in [-1, 1] of the posterior means of `images`."""
        infer = self.inference(images, self._requested(labels))
        outputs = infer(torch.zeros(len(images), self.latent_dim, device=images.device)).outputs
        return self.likelihood.mean(outputs.float())
