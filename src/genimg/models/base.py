"""What every model promises to the trainer's callbacks, the samplers and the checkpoints."""

import math
from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Literal, Protocol, cast, runtime_checkable

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer

OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]
Batch = dict[str, Any]


class GenerativeModel(LightningModule):
    """A LightningModule that keeps its clock in images, and samples.

    `images_seen` and `progress` (0 at the start, 1 when the budget is spent) are set before every step; schedules
    are functions of them, so a resumed run finds itself where it was.
    """

    images_seen: int = 0
    progress: float = 0.0
    #: How often the run went back to a checkpoint after it diverged; each halves the learning rates.
    rollbacks: int = 0

    #: What a sample is: an image (C, H, W), or a sequence of images (T, C, H, W).
    produces: ClassVar[Literal["images", "sequences"]]
    #: Classes of a conditional model; 0 for an unconditional one.
    num_classes: int = 0
    #: The validation figure that chooses the best checkpoint, and which way it improves.
    monitor: ClassVar[tuple[str, Literal["min", "max"]]]
    #: Prefixes of the parameters and buffers that the weight average follows; "" is the whole model.
    ema_prefixes: ClassVar[tuple[str, ...]] = ("",)
    #: Prefixes of the parameters and buffers that `decode`, or `animate` of a sequence model, needs: what is exported.
    export_prefixes: ClassVar[tuple[str, ...]] = ("",)
    #: Each optimizer's learning rate falls on a cosine to this fraction of itself at progress 1.
    final_lr: float = 0.1

    def set_clock(self, images_seen: int, progress: float) -> None:
        """Called before each step: the clock, and with it the learning rates."""
        self.images_seen, self.progress = images_seen, progress
        for optimizer in self.optimizer_list():
            for group in optimizer.param_groups:
                base = group.setdefault("initial_lr", group["lr"])
                group["lr"] = base * cosine(progress, 1.0, self.final_lr) * 0.5**self.rollbacks

    def optimizer_list(self) -> list[Optimizer]:
        """The optimizers as a list, whether Lightning holds one or several."""
        optimizers = self.optimizers(use_pl_optimizer=False)
        return cast(list[Optimizer], optimizers if isinstance(optimizers, list) else [optimizers])

    def learning_rates(self) -> dict[str, float]:
        """`lr` where all optimizers have the same; else `lr_NETWORK` of each, after the network of its first weight."""
        rates = [optimizer.param_groups[0]["lr"] for optimizer in self.optimizer_list()]
        if len(set(rates)) == 1:
            return {"lr": rates[0]}
        owners = {id(weight): name for name, network in self.networks().items() for weight in network.parameters()}
        names: list[str] = []
        for index, optimizer in enumerate(self.optimizer_list()):
            name = f"lr_{owners.get(id(optimizer.param_groups[0]['params'][0]), index)}"
            names.append(f"{name}_{index}" if name in names else name)
        return dict(zip(names, rates, strict=True))

    @abstractmethod
    def networks(self) -> dict[str, nn.Module]:
        """The networks by name, for parameter counts."""

    def parameter_counts(self) -> dict[str, int]:
        """Parameters of each network."""
        return {name: sum(p.numel() for p in network.parameters()) for name, network in self.networks().items()}

    @abstractmethod
    def evaluate(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Validation figures of a normalised batch, each of shape (B,): the caller averages over items."""

    @abstractmethod
    def sample(
        self,
        num_images: int,
        *,
        generator: torch.Generator,
        labels: Tensor | None = None,
        temperature: float = 1.0,
    ) -> Tensor:
        """New images in [-1, 1]: (N, C, H, W), or (N, T, C, H, W) from a sequence model.

        Args:
            generator: on the model's device; the same state gives the same images.
            labels: classes, int64 (N,); only for a conditional model, which needs them.
            temperature: scales the latents' spread; under 1, more typical and less varied.
        """


def cosine(progress: float, start: float, end: float) -> float:
    """Half a cosine from `start` at progress 0 to `end` at progress 1 (Loshchilov & Hutter 2017, eq. 5)."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))


# Optional capabilities. Code outside the models asks `isinstance(model, Decodes)`, never `hasattr`.


@runtime_checkable
class Decodes(Protocol):
    """A model whose images are a function of latents z ~ N(0, I), shape (N, latent_dim)."""

    def sample_latents(self, num_images: int, *, generator: torch.Generator) -> Tensor: ...
    def decode(self, z: Tensor, labels: Tensor | None) -> Tensor: ...


@runtime_checkable
class Encodes(Protocol):
    """A model that gives a latent vector for an image."""

    def encode(self, images: Tensor, labels: Tensor | None, *, generator: torch.Generator) -> Tensor: ...


@runtime_checkable
class Reconstructs(Protocol):
    """A model that encodes images, or sequences, and decodes them again."""

    def reconstruct(self, images: Tensor, labels: Tensor | None) -> Tensor: ...


@runtime_checkable
class FitsPrior(Encodes, Protocol):
    """A model with a prior that is fitted to the latents of training images."""

    def fit_prior(self, latents: Tensor, labels: Tensor | None, generator: torch.Generator) -> None: ...


@runtime_checkable
class HasLikelihood(Protocol):
    """A model with a likelihood, or with a reason why its value is not one."""

    def no_likelihood(self) -> str | None: ...
    def log_likelihood(
        self, images: Tensor, labels: Tensor | None, *, samples: int, generator: torch.Generator
    ) -> Tensor: ...


@runtime_checkable
class Animates(Protocol):
    """A sequence model as a function of a start image (N, C, H, W) and standard normal noise (N, T, latent_dim)."""

    latent_dim: int

    def animate(self, start: Tensor, noise: Tensor, labels: Tensor | None) -> Tensor: ...


@runtime_checkable
class KeepsStarts(Protocol):
    """A sequence model that keeps start images, so that its checkpoint is enough to animate."""

    def keep_starts(self, images: Tensor, labels: Tensor | None) -> None: ...
