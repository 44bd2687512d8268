"""The GAN: a generator from noise to an image against a discriminator from an image to a logit."""

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from genimg.common.errors import UserError
from genimg.models.base import Batch, GenerativeModel, OptimizerFactory, cosine
from genimg.models.objectives.adversarial import OBJECTIVES, Objective
from genimg.models.objectives.penalties import nearby, squared_gradient_estimate, unit_gradient_penalty


class GAN(GenerativeModel):
    """Alternating training, one discriminator step to one generator step, both on `objective`'s losses.

    Args:
        generator: z (B, latent_dim) [, labels] -> (B, C, H, W), unbounded; `leaky_tanh` puts it near [-1, 1].
        discriminator: images [, labels] -> logits (B,), without batch statistics.
        generator_optimizer, discriminator_optimizer: called with the parameters.
        latent_dim: length of z ~ N(0, I).
        objective: a name of `objectives`.
        gamma: weight of (R1 + R2) / 2 at the start and at the end of the run, on a cosine; 0 for none.
            The Wasserstein objective has the unit-gradient penalty in its place.
        penalty_step: the step of the first-order estimate of R1 and R2, in units of [-1, 1].
        penalty_share: share of each batch the penalty is estimated on; its expectation is the same.
        gradient_penalty: weight of the unit-gradient penalty (Wasserstein only).
        augment: differentiable augmentation of everything the discriminator sees; the penalties' gradients are
            those at the augmented images, which one pass gives.
        num_classes: 0 for an unconditional model.
        final_lr: fraction of the learning rates at the end of the run.
        _shared: keys of the YAML that the networks and optimizers read by interpolation.
    """

    produces: ClassVar[Literal["images", "sequences"]] = "images"
    monitor: ClassVar[tuple[str, Literal["min", "max"]]] = ("frechet_random", "min")
    ema_prefixes: ClassVar[tuple[str, ...]] = ("generator.",)
    export_prefixes: ClassVar[tuple[str, ...]] = ("generator.",)
    #: The games by name; a subclass may have others.
    objectives: ClassVar[dict[str, Objective]] = OBJECTIVES

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        generator_optimizer: OptimizerFactory,
        discriminator_optimizer: OptimizerFactory,
        latent_dim: int,
        objective: str,
        gamma: tuple[float, float],
        penalty_step: float,
        penalty_share: float,
        gradient_penalty: float,
        augment: nn.Module,
        num_classes: int,
        final_lr: float,
        **_shared: Any,
    ) -> None:
        super().__init__()
        if objective not in self.objectives:
            raise UserError("model.objective", objective, f"one of {', '.join(self.objectives)}")
        self.automatic_optimization = False
        self.generator, self.discriminator = generator, discriminator
        self.generator_optimizer, self.discriminator_optimizer = generator_optimizer, discriminator_optimizer
        self.latent_dim, self.num_classes = latent_dim, num_classes
        self.game, self.wasserstein = self.objectives[objective], objective == "wasserstein"
        self.gamma, self.gradient_penalty = gamma, gradient_penalty
        self.penalty_step, self.penalty_share = penalty_step, penalty_share
        self.final_lr = final_lr
        self.augment = augment

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        return [
            self.discriminator_optimizer(self.discriminator.parameters()),
            self.generator_optimizer(self.generator.parameters()),
        ]

    def networks(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "discriminator": self.discriminator}

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """One step of the discriminator, then one of the generator, which answers on the same noise.

        The images and the discriminator's view of the real ones are made once for both steps; only the fake ones are
        seen again, by the discriminator as its step left it.
        """
        real = batch["images"]
        labels = batch["labels"] if self.num_classes else None
        discriminator_optimizer, generator_optimizer = self.optimizers()  # pyright: ignore[reportGeneralTypeIssues]

        discriminator_optimizer.zero_grad()
        generator_optimizer.zero_grad()
        fake = self._generate(self.sample_latents(len(real)), labels)
        metrics, real_logits = self._discriminator_loss(real, fake.detach(), labels)
        self.manual_backward(metrics["loss_d"])
        discriminator_optimizer.step()

        # the generator's step needs no gradient of the discriminator's weights: a third of the pass is saved
        self.discriminator.requires_grad_(False)
        fake_logits = self._logits(self.augment(fake), labels)
        metrics["loss_g"] = self.game.generator(real_logits.detach(), fake_logits).mean()
        self.manual_backward(metrics["loss_g"])
        generator_optimizer.step()
        self.discriminator.requires_grad_(True)
        return {name: value.detach() for name, value in metrics.items()}

    def _discriminator_loss(
        self, real: Tensor, fake: Tensor, labels: Tensor | None
    ) -> tuple[dict[str, Tensor], Tensor]:
        """The discriminator's loss, its penalty included as `loss_d`, with what it is made of; and the real logits."""
        both = self.augment(torch.cat([real, fake]))
        both_labels = None if labels is None else torch.cat([labels, labels])
        count = len(real)
        part = max(1, round(count * self.penalty_share)) if max(self.gamma) > 0 and not self.wasserstein else 0
        probed = torch.arange(2 * count, device=real.device).view(2, count)[:, :part].flatten()  # as many of each kind
        # one pass over all of them: without batch statistics it equals three, and it is faster
        logits = self._logits(
            torch.cat([both, nearby(both[probed], self.penalty_step)]),
            None if both_labels is None else torch.cat([both_labels, both_labels[probed]]),
        )
        real_logits, fake_logits, nearby_logits = logits.split((count, count, 2 * part))
        loss = self.game.discriminator(real_logits, fake_logits).mean()
        metrics = {"real_logits": real_logits.mean(), "fake_logits": fake_logits.mean()}
        if self.wasserstein:
            penalty = unit_gradient_penalty(lambda x: self._logits(x, labels), *both.chunk(2)).mean()
            metrics |= {"penalty": penalty, "loss_d": loss + self.gradient_penalty * penalty}
        elif part:
            penalty = squared_gradient_estimate(logits[probed], nearby_logits, self.penalty_step)
            weight = cosine(self.progress, *self.gamma)
            penalty = 2 * penalty.mean()  # R1 + R2, each a mean over its own half
            metrics |= {"penalty": penalty, "loss_d": loss + 0.5 * weight * penalty}
        else:
            metrics["loss_d"] = loss
        return metrics, real_logits

    def _logits(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """Logits (B,) in float32."""
        return self.discriminator(images, labels).float()

    def evaluate(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """What the discriminator says of held-out images: far above the training ones', it has memorised those."""
        labels = batch["labels"] if self.num_classes else None
        return {"real_logits": self.discriminator(batch["images"], labels).float()}

    def sample_latents(self, num_images: int, *, generator: torch.Generator | None = None) -> Tensor:
        """z ~ N(0, I), shape (N, latent_dim)."""
        return torch.randn(num_images, self.latent_dim, generator=generator, device=self.device)

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """z (N, latent_dim) -> images (N, C, H, W) in [-1, 1]."""
        return self._generate(z, labels).clamp(-1, 1)

    def _generate(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """As the discriminator sees them in training: `leaky_tanh` of the generator's outputs."""
        return leaky_tanh(self.generator(z, labels).float())

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


def leaky_tanh(x: Tensor) -> Tensor:
    """tanh(x) + 0.001 x: a gradient is left where tanh alone has none.

    The first hundreds of steps often push every pixel far to one side, to black images. Under tanh such a generator
    needed ten thousand images to come back, or never did.
    """
    return torch.tanh(x) + 0.001 * x
