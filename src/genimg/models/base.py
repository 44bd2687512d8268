"""The interface of a model, which callbacks, samplers and checkpoints use, and its optional capabilities."""

from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, ClassVar, Literal, NoReturn, Protocol, cast, runtime_checkable

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer

from genimg.common.errors import UserError
from genimg.common.noise import Noise
from genimg.models.schedules import LR_SCHEDULES, risen

OptimizerFactory = Callable[[Iterable[nn.Parameter] | Iterable[dict[str, Any]]], Optimizer]
Batch = dict[str, Any]


class GenerativeModel(LightningModule):
    """A LightningModule that can be sampled and whose schedules depend on the number of images seen.

    `images_seen` and `progress` (0 at the start, 1 when the budget is spent) are set before every step. Schedules are
    functions of them, so a resumed run continues them.
    """

    images_seen: int = 0
    progress: float = 0.0
    #: Number of times the run returned to a checkpoint after it diverged; each halves the learning rates.
    rollbacks: int = 0

    #: A sample is an image (C, H, W), or a sequence of images (T, C, H, W).
    produces: ClassVar[Literal["images", "sequences"]]
    #: Frames from which a sequence model predicts the others.
    given_frames: int = 1
    #: Classes of a conditional model; 0 for an unconditional one.
    num_classes: int = 0
    #: Whether a conditional model reconstructs images from their classes besides.
    reconstructs_classes: ClassVar[bool] = True
    #: Actions of a sequence model, of which one leads to each frame; 0 for a model without actions.
    num_actions: int = 0
    #: The validation metric that selects the best checkpoint, and the direction in which it improves.
    monitor: tuple[str, Literal["min", "max"]]
    #: Configuration nodes that a `model/network` choice must provide for this model.
    network_nodes: ClassVar[tuple[str, ...]] = ()
    #: Prefixes of the parameters and buffers that the EMA follows; "" is the entire model.
    ema_prefixes: ClassVar[tuple[str, ...]] = ("",)
    #: Prefixes of the parameters and buffers that `decode` or `animate` needs, and that an export contains.
    export_prefixes: ClassVar[tuple[str, ...]] = ("",)
    #: Whether `real_logits` and `fake_logits` are log-odds; those of a Wasserstein critic are not.
    has_logits: bool = True
    #: A name of `LR_SCHEDULES`, by which every learning rate falls to the fraction `final_lr` at progress 1.
    lr_schedule: str = "cosine"
    final_lr: float = 0.1
    #: Share of the run in which the learning rates rise in proportion to progress.
    lr_warmup: float = 0.0

    def set_clock(self, images_seen: int, progress: float) -> None:
        """Sets the clock and the learning rates; called before each step."""
        self.images_seen, self.progress = images_seen, progress
        for optimizer in self.optimizer_list():
            for group in optimizer.param_groups:
                base = group.setdefault("initial_lr", group["lr"])
                until = group.get("until", 1.0)  # share of the run after which the group is not trained
                factor = LR_SCHEDULES[self.lr_schedule](min(progress / until, 1.0), 1.0, self.final_lr)
                rate = base * factor * risen(progress, self.lr_warmup) * 0.5**self.rollbacks
                # a captured step reads a tensor
                group["lr"] = group["lr"].fill_(rate) if isinstance(group["lr"], Tensor) else rate

    def optimizer_list(self) -> list[Optimizer]:
        """The optimizers as a list, also if there is only one."""
        optimizers = self.optimizers(use_pl_optimizer=False)
        return cast(list[Optimizer], optimizers if isinstance(optimizers, list) else [optimizers])

    def learning_rates(self) -> dict[str, float]:
        """`lr` if all optimizers share one value; else `lr_NETWORK` for each, by the network of its first parameter."""
        rates = [float(optimizer.param_groups[0]["lr"]) for optimizer in self.optimizer_list()]
        if len(set(rates)) == 1:
            return {"lr": rates[0]}
        owners = {id(weight): name for name, network in self.networks().items() for weight in network.parameters()}
        names: list[str] = []
        for index, optimizer in enumerate(self.optimizer_list()):
            name = f"lr_{owners.get(id(optimizer.param_groups[0]['params'][0]), index)}"
            names.append(f"{name}_{index}" if name in names else name)
        return dict(zip(names, rates, strict=True))

    def _labels_of(self, batch: Batch) -> Tensor | None:
        """The classes of a batch, for a conditional model; None for an unconditional one."""
        if not self.num_classes:
            return None
        if "labels" not in batch:
            raise UserError("model.conditional", True, "data with labels", "train with model.conditional=false")
        return batch["labels"]

    def _requested(self, labels: Tensor | None) -> Tensor | None:
        """The classes of samples, which a conditional model requires; None for an unconditional one."""
        if not self.num_classes:
            return None
        if labels is None:
            raise UserError("classes", None, "the class of every image, because this model is conditional")
        return labels

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: Any, *_: Any, **__: Any) -> NoReturn:
        """A checkpoint of a run holds more than Lightning's: `genimg.load(FILE).model` is the model, averaged."""
        raise UserError(
            "load_from_checkpoint", checkpoint_path, "genimg.load(FILE), whose `model` is the LightningModule"
        )

    @abstractmethod
    def networks(self) -> dict[str, nn.Module]:
        """The networks by name, for parameter counts."""

    def parameter_counts(self) -> dict[str, int]:
        """Number of parameters of each network."""
        return {name: sum(p.numel() for p in network.parameters()) for name, network in self.networks().items()}

    @abstractmethod
    def evaluate(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """Validation metrics of a normalised batch, each of shape (B,); the caller averages over items.

        Args:
            noise: the random numbers of the B items, on the model's device. Nothing else may be random.
        """

    @abstractmethod
    def sample(self, noise: Noise, *, labels: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        """New images (N, C, H, W) in [-1, 1], or sequences (N, T, C, H, W) from a sequence model.

        Args:
            noise: the random numbers of the N samples, on the model's device. Nothing else may be random.
            labels: classes, int64 (N,); required by a conditional model.
            temperature: scales the noise of the latents; below 1, samples are more typical and less varied.
        """


class LatentModel(GenerativeModel):
    """A model whose images are a function of latents z ~ N(0, I), shape (N, latent_dim)."""

    latent_dim: int

    @abstractmethod
    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """z (N, latent_dim) -> images (N, C, H, W) in [-1, 1]."""

    def sample(self, noise: Noise, *, labels: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        """See the base class."""
        return self.decode(temperature * noise.normal(self.latent_dim), labels)


def check_unused(arguments: Mapping[str, Any]) -> None:
    """Raises UserError for a network among the arguments that a model does not use: it belongs to another model."""
    for name, value in arguments.items():
        if isinstance(value, nn.Module):
            expected = f"a network for this model, which has no {name}"
            raise UserError("model/network", f"one with model.{name}", expected)


# Optional capabilities. Code outside the models asks `isinstance(model, Decodes)`, never `hasattr`.


@runtime_checkable
class Decodes(Protocol):
    """A model whose images are a function of latents z ~ N(0, I), shape (N, latent_dim).

    Labels are int64 (N,). A model may also take weights of its K classes, float32 (N, K), for mixtures of classes.
    """

    latent_dim: int

    def decode(self, z: Tensor, labels: Tensor | None) -> Tensor: ...


@runtime_checkable
class DecodesInSteps(Decodes, Protocol):
    """A model whose images appear in S steps."""

    def decode_steps(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """As `decode`, but the images before the first step and after each, (N, S + 1, C, H, W)."""
        ...


@runtime_checkable
class Augments(Protocol):
    """A model that augments its training images itself. `augmented` returns None if it does not change them."""

    def augmented(self, images: Tensor) -> Tensor | None: ...


@runtime_checkable
class CompleteSteps(Protocol):
    """A model whose `training_step` is the complete step, optimizers included, and can be captured as a graph.

    What changes from step to step are the values of tensors: the batch, the state, and what `set_clock` sets. Steps of
    the same `step_kind`, which is of the next step and a batch of that size, are the same operations.
    """

    def step_kind(self, batch_size: int) -> Hashable: ...


@runtime_checkable
class HasStyles(Protocol):
    """A model whose mapping network turns z into a style w, from which the image is drawn (Karras et al. 2019)."""

    latent_dim: int

    @property
    def num_styles(self) -> int:
        """Number L of layers that a style controls, coarse to fine; 0 if the model has no mapping network."""
        ...

    def style(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """z (N, latent_dim), labels as for `Decodes` -> w (N, W)."""
        ...

    def draw(self, w: Tensor) -> Tensor:
        """w (N, W), or (N, L, W) with a style for each layer -> images (N, C, H, W) in [-1, 1]."""
        ...

    def style_weights(self) -> Tensor:
        """The weights (M, W) of the layers that read w, one below the other."""
        ...


@runtime_checkable
class Repeats(Protocol):
    """A model whose images may be periodic, if `periodic`: side by side they continue each other without a seam."""

    @property
    def periodic(self) -> bool: ...


@runtime_checkable
class Discriminates(Protocol):
    """A model with a discriminator, which an export does not contain."""

    @property
    def has_discriminator(self) -> bool: ...
    def logits(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """Images (N, C, H, W) in [-1, 1], labels as for `Decodes` -> (N,); higher ones are more realistic."""
        ...


@runtime_checkable
class Encodes(Protocol):
    """A model that gives a latent vector for an image."""

    def encode(self, images: Tensor, labels: Tensor | None, *, generator: torch.Generator) -> Tensor: ...


@runtime_checkable
class Reconstructs(Protocol):
    """A model that encodes images, or sequences, and decodes them again."""

    #: Whether a conditional model needs the classes of the images for it.
    reconstructs_classes: ClassVar[bool]

    def reconstruct(self, images: Tensor, labels: Tensor | None) -> Tensor: ...


@runtime_checkable
class HasLatents(Protocol):
    """A model with an encoder to latents, which need not be the standard normal ones that `Decodes` takes."""

    latent_dim: int

    def latents_of(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """The most probable latents of images (N, C, H, W): (N, latent_dim)."""
        ...

    def images_of(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] of what `latents_of` returns."""
        ...


@runtime_checkable
class FitsPrior(Encodes, Protocol):
    """A model with a prior that is fitted to the latents of training images."""

    def fit_prior(self, latents: Tensor, labels: Tensor | None, generator: torch.Generator) -> None: ...


@runtime_checkable
class HasLikelihood(Protocol):
    """A model with a likelihood, or with a reason why its value is not one."""

    #: Whether `log_likelihood` is log p(x) itself, and not a lower bound.
    exact_likelihood: ClassVar[bool]
    #: Whether `log_likelihood` is a bound that tightens with `samples` draws of latents, whose prior is N(0, I).
    importance_sampled: ClassVar[bool]

    def no_likelihood(self) -> str | None: ...
    def log_likelihood(
        self, images: Tensor, labels: Tensor | None, *, samples: int, generator: torch.Generator
    ) -> Tensor: ...


@runtime_checkable
class Guided(Protocol):
    """A model that, if it is conditional, was also trained without the class, so that samples can be guided by it."""

    def sample_guided(self, noise: Noise, labels: Tensor, temperature: float, guidance: float) -> Tensor:
        """As `GenerativeModel.sample`. `guidance` is the weight of the class: 1 = as trained."""
        ...


@runtime_checkable
class DrawsPixels(Protocol):
    """A model that draws an image pixel by pixel, row by row, and knows the probability of each."""

    def draw(
        self,
        noise: Noise,
        labels: Tensor | None,
        temperature: float,
        guidance: float = 1.0,
        given: Tensor | None = None,
        known: int = 0,
    ) -> Tensor:
        """As `GenerativeModel.sample`, with `guidance` as for `Guided`.

        The first `known` pixels of the images `given` (N, C, H, W) are kept.
        """
        ...

    def bits(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """Bits of the pixels of images (N, C, H, W), all channels together, (N, H, W)."""
        ...


@runtime_checkable
class Animates(Protocol):
    """A sequence model as a function of its start and of standard normal noise."""

    latent_dim: int

    def animate(self, start: Tensor, noise: Tensor, labels: Tensor | None) -> Tensor:
        """Given frames (N, k, C, H, W), noise (N, 1 + frames to predict, latent_dim) -> clips (N, T, C, H, W).

        A model that takes actions (`TakesActions`) has them as its last argument, int64 (N, frames to predict).
        """
        ...


@runtime_checkable
class TakesActions(Protocol):
    """A sequence model that may take actions, if its `num_actions` is not 0.

    Its `sample` takes `actions`, int64 (N, frames to predict), and draws them if there are none; `animate` requires
    them. `keep_actions` stores how often each occurs in training, float32 (num_actions,).
    """

    num_actions: int

    def keep_actions(self, shares: Tensor) -> None: ...


@runtime_checkable
class KeepsStarts(Protocol):
    """A sequence model that keeps starts, as of `Animates`, so that its checkpoint is enough to animate."""

    def keep_starts(self, starts: Tensor, labels: Tensor | None) -> None: ...
