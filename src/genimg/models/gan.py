"""The GAN: a generator from noise to an image, trained against a discriminator from an image to a logit."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from genimg.common.errors import UserError
from genimg.common.noise import Noise
from genimg.common.ranks import world_size
from genimg.models.base import Batch, LatentModel, OptimizerFactory, check_unused
from genimg.models.frozen import constant_statistics, frozen
from genimg.models.judged import default_places, judge, per_image
from genimg.models.networks.augmentation import Augmentation
from genimg.models.networks.capabilities import ComparesGroups, JudgesPlaces, Penalised, Periodic, Styled
from genimg.models.networks.periodic import roll_randomly
from genimg.models.networks.weight_norm import normalise_weights
from genimg.models.objectives.adversarial import OBJECTIVES, LossPair
from genimg.models.objectives.penalties import (
    off_centre,
    random_mixtures,
    squared_gradient,
    squared_gradient_estimate,
    unit_gradient,
    unit_gradient_estimate,
)
from genimg.models.outputs import OUTPUTS, clipped
from genimg.models.parts import mean_metrics, split_batch
from genimg.models.schedules import LR_SCHEDULES, Schedule

#: Ways to compute a gradient penalty, the names that `model.penalty` takes.
PENALTIES = ("exact", "first_order")
#: Halves of the images, real and fake, at which the discriminator is penalised.
PENALISED = {"both": (0, 1), "real": (0,), "fake": (1,)}


class StepKind(NamedTuple):
    """What a step computes besides the discriminator's loss."""

    penalty: bool
    generator: bool
    generator_penalty: bool


class Pass(NamedTuple):
    """What the discriminator's step leaves to the generator's: of a batch, or of one of its parts."""

    z: Tensor
    labels: Tensor | None
    fake: Tensor  # augmented, with their graph if the generator learns in this step
    logits: tuple[Tensor, Tensor]  # of real and fake images, detached
    metrics: dict[str, Tensor]


class GAN(LatentModel):
    """Alternating training: `n_critic` steps of the discriminator, each on other images, then one of the generator::

        L_D = mean discriminator_loss(D(x), D(G(z))) + gamma / 2 (R1 + R2) + centring mean (D(x) + D(G(z)))^2
        L_G = mean generator_loss(D(x), D(G(z)))
        R1 = mean |grad D(x)|^2,  R2 = mean |grad D(G(z))|^2

    The Wasserstein objective has `gradient_penalty mean (|grad D| - 1)^2` in place of R1 + R2, at points between real
    and fake images.

    References:
        Goodfellow et al. 2014, "Generative adversarial nets", algorithm 1, https://arxiv.org/abs/1406.2661
        Mescheder et al. 2018, "Which training methods for GANs do actually converge?", eq. 9 and 10 (R1 and R2),
        https://arxiv.org/abs/1801.04406

    Args:
        generator: z (B, latent_dim) [, labels] -> (B, C, H, W), unbounded. It may be `Styled`, `Penalised` and
            `Periodic`.
        discriminator: images [, labels] -> logits (B,). It may be `ComparesGroups` and `JudgesPlaces`.
        generator_optimizer, discriminator_optimizer: called with the parameters.
        latent_dim: length of z ~ N(0, I).
        objective: a name of `objectives`.
        output: a name of `OUTPUTS`, the map from the generator's outputs to images close to [-1, 1].
        batch_statistics: whether a logit depends on the other images of its batch, as with batch normalisation in D.
            Real and fake images then pass separately, each with their own statistics, without a gradient penalty,
            which is defined per image.
        n_critic: discriminator steps per generator step (Gulrajani et al. 2017, algorithm 1).
        gamma: weight of (R1 + R2) / 2, one number or the ends of a `Schedule`; 0 disables the penalty.
        penalty: a name of `PENALTIES`: by double backward, or a first-order estimate.
        penalty_on: a name of `PENALISED`: R1 + R2, or one of them (not Wasserstein).
        penalty_every: steps from one penalty to the next, which is weighted by this number (lazy regularisation,
            Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN", section 3.1).
        penalty_share: share of each batch whose gradients enter the penalty, rounded to complete groups of the
            discriminator; it does not change the expectation.
        penalty_step: step of the first-order estimate, in units of [-1, 1].
        penalty_directions: random directions per image of the first-order estimate.
        gradient_penalty: weight of the unit-gradient penalty (Wasserstein only).
        centring: weight of the squared sum of the logits of a real and a fake image; 0 = none.
        places: weight of the mean loss of an image's places beside that of the image, for a discriminator that is
            `JudgesPlaces`; "auto" = `default_places`.
        augment: differentiable augmentation of everything that the discriminator sees. Image i of the real and of the
            fake batch have the same draw. The penalties use gradients at the augmented images.
        num_classes: 0 for an unconditional model.
        lr_schedule: a name of `LR_SCHEDULES`.
        final_lr: fraction of the learning rates at the end of the run.
        lr_warmup: share of the run in which the learning rates rise from 0.
        beta2: decay of the mean squared gradients of both optimizers, in place of the second of their `betas`: one
            number or the ends of a `Schedule` (R3GAN, Huang et al. 2024); None keeps their own.
        weight_norm: whether `normalise_weights` applies to both networks. A key of networks with plain weights alone.
        _shared: keys of the YAML that the networks and optimizers read by interpolation.

    Raises:
        UserError: for an unknown objective, output, penalty or schedule, a network of another model, or a weight of
            places that the discriminator does not judge.
    """

    produces: ClassVar[Literal["images", "sequences"]] = "images"
    monitor: tuple[str, Literal["min", "max"]] = ("frechet_random", "min")
    network_nodes: ClassVar[tuple[str, ...]] = ("generator", "discriminator")
    ema_prefixes: ClassVar[tuple[str, ...]] = ("generator.",)
    export_prefixes: ClassVar[tuple[str, ...]] = ("generator.",)
    #: Loss pairs by name; a subclass may add to them.
    objectives: ClassVar[dict[str, LossPair]] = OBJECTIVES
    parts: int = 1
    _penalty_weight: Tensor  # a tensor, because it follows the clock

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        generator_optimizer: OptimizerFactory,
        discriminator_optimizer: OptimizerFactory,
        latent_dim: int,
        objective: str,
        output: str,
        batch_statistics: bool,
        n_critic: int,
        gamma: float | Sequence[float],
        penalty: str,
        penalty_on: str,
        penalty_every: int,
        penalty_share: float,
        penalty_step: float,
        penalty_directions: int,
        gradient_penalty: float,
        centring: float,
        places: float | Literal["auto"],
        augment: Augmentation,
        num_classes: int,
        lr_schedule: str,
        final_lr: float,
        lr_warmup: float,
        beta2: float | Sequence[float] | None,
        weight_norm: bool = False,
        **_shared: Any,
    ) -> None:
        super().__init__()
        check_unused(_shared)
        for name, value, known in (
            ("objective", objective, self.objectives),
            ("output", output, OUTPUTS),
            ("penalty", penalty, PENALTIES),
            ("penalty_on", penalty_on, PENALISED),
            ("lr_schedule", lr_schedule, LR_SCHEDULES),
        ):
            if value not in known:
                raise UserError(f"model.{name}", value, f"one of {', '.join(known)}")
        self.automatic_optimization = False
        self.generator, self.discriminator = generator, discriminator
        if weight_norm:
            normalise_weights(generator)
            normalise_weights(discriminator)
        self.generator_optimizer, self.discriminator_optimizer = generator_optimizer, discriminator_optimizer
        self.latent_dim, self.num_classes = latent_dim, num_classes
        self.losses, self.wasserstein = self.objectives[objective], objective == "wasserstein"
        self.has_logits = not self.wasserstein
        self.to_images, self.batch_statistics = OUTPUTS[output], batch_statistics
        self.group_size = discriminator.group_size if isinstance(discriminator, ComparesGroups) else 1
        self.places = _places(places, discriminator)
        self.n_critic, self.gamma, self.gradient_penalty = n_critic, Schedule.of(gamma), gradient_penalty
        self.penalty, self.penalty_every, self.penalty_share = penalty, penalty_every, penalty_share
        self.penalised = PENALISED[penalty_on]
        self.penalty_step, self.penalty_directions = penalty_step, penalty_directions
        self.lr_schedule, self.final_lr, self.lr_warmup = lr_schedule, final_lr, lr_warmup
        self.beta2 = None if beta2 is None else Schedule.of(beta2)
        self.centring, self.augment = centring, augment
        self.register_buffer("_penalty_weight", torch.tensor(self._penalty_weight_at(0.0)), persistent=False)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """The optimizers of D and of G. Raises UserError for `beta2` and an optimizer without `betas`."""
        optimizers = [
            self.discriminator_optimizer(self.discriminator.parameters()),
            self.generator_optimizer(self.generator.parameters()),
        ]
        without = [type(one).__name__ for one in optimizers if "betas" not in one.defaults]
        if self.beta2 is not None and without:
            raise UserError("model.beta2", self.beta2, f"null, because {without[0]} has no betas")
        return optimizers

    def set_clock(self, images_seen: int, progress: float) -> None:
        """Sets `beta2`, the weight of the penalty and the probability of the augmentation too."""
        super().set_clock(images_seen, progress)
        self._penalty_weight.fill_(self._penalty_weight_at(progress))
        self.augment.schedule(progress)
        if self.beta2 is not None:
            for group in (group for one in self.optimizer_list() for group in one.param_groups):
                group["betas"] = (group["betas"][0], self.beta2.at(progress))

    def step_kind(self, batch_size: int) -> StepKind:
        """What the next step computes. batch_size: images of this process."""
        step = self.images_seen // (batch_size * world_size())
        every = self.generator.penalty_every if isinstance(self.generator, Penalised) else 0
        generator = (step + 1) % self.n_critic == 0
        return StepKind(
            penalty=self._penalty_scale > 0 and step % self.penalty_every == 0,
            generator=generator,
            generator_penalty=generator and every > 0 and step // self.n_critic % every == 0,
        )

    @property
    def _penalty_scale(self) -> float:
        """The largest weight of the penalty during the run; 0 if there is none."""
        return self.gradient_penalty if self.wasserstein else max(self.gamma)

    def _penalty_weight_at(self, progress: float) -> float:
        return self.penalty_every * (self.gradient_penalty if self.wasserstein else 0.5 * self.gamma.at(progress))

    def networks(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "discriminator": self.discriminator}

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """One step of the discriminator; after every `n_critic`-th of them one of the generator on the same latents.

        The fake images, their augmentation and the logits of the real images are computed once for both steps. The
        generator step passes the fake images through the updated discriminator.
        """
        discriminator_optimizer, generator_optimizer = self.optimizers()  # pyright: ignore[reportGeneralTypeIssues]
        discriminator_optimizer.zero_grad()
        generator_optimizer.zero_grad()
        kind = self.step_kind(len(batch["images"]))
        z = self.draw_latents(len(batch["images"]))
        parts = split_batch({"images": batch["images"], "z": z, "labels": self._labels_of(batch)}, self.parts)
        passes = [self._train_discriminator(part["images"], part["z"], part["labels"], kind) for part in parts]
        discriminator_optimizer.step()
        metrics = mean_metrics([one.metrics for one in passes])
        if kind.generator:
            metrics |= mean_metrics([self._train_generator(one, kind) for one in passes])
            generator_optimizer.step()
        of_real, of_fake = (torch.cat(logits)[:, 0] for logits in zip(*(one.logits for one in passes), strict=True))
        return metrics | self.augment.adapt(of_real, of_fake, len(z) * world_size())

    def _train_discriminator(self, real: Tensor, z: Tensor, labels: Tensor | None, kind: StepKind) -> Pass:
        """Adds the gradients of the discriminator for one part of a batch.

        With several parts, the graph of the fake images is not kept, but computed again for the generator.
        """

        def draw(z: Tensor) -> tuple[Tensor, Tensor]:
            fake = self._generate(z, labels)
            return self.augment.pair(real, roll_randomly(fake) if self.periodic else fake)

        with torch.set_grad_enabled(kind.generator):
            again = kind.generator and self.parts > 1
            seen, fake = self._drawn_again(draw, z) if again else draw(z)
        metrics, logits = self.discriminator_loss(seen.detach(), fake.detach(), labels)
        self.manual_backward(self._of_step(metrics["loss_d"]))
        return Pass(z, labels, fake, (logits[0].detach(), logits[1].detach()), metrics)

    def _drawn_again(self, draw: Callable[[Tensor], tuple[Tensor, Tensor]], z: Tensor) -> tuple[Tensor, Tensor]:
        """`draw(z)`, computed again in the backward pass, where running statistics stay as they are."""

        def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
            return nullcontext(), constant_statistics(self.generator)

        return cast(tuple[Tensor, Tensor], checkpoint(draw, z, use_reentrant=False, context_fn=contexts))

    def _train_generator(self, drawn: Pass, kind: StepKind) -> dict[str, Tensor]:
        """Adds the gradients of the generator for one part of a batch. Returns its loss, the penalty included."""
        penalty = cast(Penalised, self.generator).penalty(drawn.z, drawn.labels) if kind.generator_penalty else None
        with frozen(self.discriminator):
            logits = self._logits(drawn.fake, drawn.labels)
            loss = self._per_image(self.losses.generator(drawn.logits[0], logits)).mean()
            if penalty is not None:
                loss = loss + penalty
            self.manual_backward(self._of_step(loss))
        return {"loss_g": loss} if penalty is None else {"loss_g": loss, "penalty_g": penalty}

    def _of_step(self, loss: Tensor) -> Tensor:
        """The share of a part's mean loss in that of its batch."""
        return loss / self.parts if self.parts > 1 else loss

    def draw_latents(self, count: int) -> Tensor:
        """z ~ N(0, I) for training, (count, latent_dim), from torch's generator."""
        return torch.randn(count, self.latent_dim, device=self.device)

    def discriminator_loss(
        self, real: Tensor, fake: Tensor, labels: Tensor | None
    ) -> tuple[dict[str, Tensor], tuple[Tensor, Tensor]]:
        """Metrics with the discriminator's loss, penalty included, as `loss_d`; and the logits of both halves.

        The images are augmented.
        """
        images = torch.cat([real, fake])
        logits, penalty = self._with_penalty(images, labels)
        real_logits, fake_logits = logits.chunk(2)
        loss = self._per_image(self.losses.discriminator(real_logits, fake_logits)).mean()
        if self.centring:
            loss = loss + self.centring * self._per_image(off_centre(real_logits, fake_logits)).mean()
        metrics = {"real_logits": real_logits[:, 0].mean(), "fake_logits": fake_logits[:, 0].mean()}
        if penalty is not None:
            metrics["penalty"] = penalty
            loss = loss + self._penalty_weight * penalty
        return metrics | {"loss_d": loss}, (real_logits, fake_logits)

    def _with_penalty(self, images: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Logits (2 B, 1 + N) of real and fake images, and the gradient penalty; None in a step without one."""
        if self.batch_statistics:
            return torch.cat([self._logits(half, labels) for half in images.chunk(2)]), None
        logits = self._logits(images, _twice(labels))
        part_size = len(images) // 2
        if not self.step_kind(self.parts * part_size).penalty:
            return logits, None
        count = max(1, round(part_size * self.penalty_share / self.group_size)) * self.group_size
        halves = [half[:count] for half in images.chunk(2)]
        labels = None if labels is None else labels[:count]
        if self.wasserstein:
            real, fake = halves
            return logits, self._penalties(random_mixtures(real, fake), labels).mean()
        each = len(self.penalised)
        chosen = torch.cat([halves[half] for half in self.penalised])
        mean = self._penalties(chosen, labels if each == 1 else _twice(labels)).mean()
        return logits, each * mean  # R1 and R2 are means over their halves

    def _penalties(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """The gradient penalty of each image (N, C, H, W), exact or estimated, (N,)."""
        if self.penalty == "exact":
            exact = unit_gradient if self.wasserstein else squared_gradient
            return exact(lambda x: self._per_image(self._logits(x, labels)), images)
        estimate, both = unit_gradient_estimate if self.wasserstein else squared_gradient_estimate, _twice(labels)
        return estimate(
            lambda x: self._per_image(self._logits(x, both)), images, self.penalty_step, self.penalty_directions
        )

    def _logits(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """Logits (B, 1 + N) in float32: of the images, then of their N places, if D judges places."""
        return judge(self.discriminator, images, labels, self.places)

    def _per_image(self, values: Tensor) -> Tensor:
        """The weighted values (B,) of logits (B, 1 + N)."""
        return per_image(values, self.places)

    @property
    def has_discriminator(self) -> bool:
        """Whether the model has its discriminator; that of an export has not."""
        return "discriminator" in dict(self.named_children())

    def logits(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits (N,) of images (N, C, H, W) in [-1, 1]; higher ones are more realistic."""
        return self.discriminator(images, labels).float()

    def evaluate(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """Logits of held-out images: values far below those of training images show memorisation."""
        labels = self._labels_of(batch)
        return {"real_logits": self.logits(batch["images"], labels)}

    def augmented(self, images: Tensor) -> Tensor | None:
        """Images (B, C, H, W) as the discriminator sees them in training; None if it sees them unchanged."""
        return self.augment(images) if self.augment.active else None

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """z (N, latent_dim) -> images (N, C, H, W) in [-1, 1]."""
        return clipped(self._generate(z, labels))

    @property
    def periodic(self) -> bool:
        """Whether images continue each other without a seam, side by side."""
        return isinstance(self.generator, Periodic) and self.generator.periodic

    @property
    def num_styles(self) -> int:
        """Number of layers of the generator that take a style; 0 if it has no mapping network."""
        return self.generator.num_styles if isinstance(self.generator, Styled) else 0

    def style(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """z (N, latent_dim) -> styles w (N, W). For a generator that is `Styled`."""
        return cast(Styled, self.generator).style(z, labels)

    def draw(self, w: Tensor) -> Tensor:
        """Styles w (N, W) or (N, num_styles, W) -> images (N, C, H, W) in [-1, 1]: `decode(z)` = `draw(style(z))`."""
        return clipped(self.to_images(cast(Styled, self.generator).draw(w).float()))

    def style_weights(self) -> Tensor:
        """The weights (M, W) of all layers of the generator that read w."""
        return cast(Styled, self.generator).style_weights()

    def _generate(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """Fake images as the discriminator sees them in training, float32 and unclipped."""
        return self.to_images(self.generator(z, labels).float())


def _places(weight: float | Literal["auto"], discriminator: nn.Module) -> float:
    if weight == "auto":
        return default_places(discriminator)
    if weight and not isinstance(discriminator, JudgesPlaces):
        expected = "0 or auto; this discriminator judges an image as a whole"
        raise UserError("model.places", weight, expected, "model/network=slim judges places too")
    return weight


def _twice(labels: Tensor | None) -> Tensor | None:
    """The labels of real and fake images: a fake image has the label of the real one beside it."""
    return None if labels is None else torch.cat([labels, labels])
