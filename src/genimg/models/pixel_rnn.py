"""The pixel RNN: an exact likelihood of images, as a product over their pixels in raster order.

log p(x) = sum_i log p(x_i | x_1, ..., x_{i-1}). Van den Oord et al. 2016, "Pixel recurrent neural networks", eq. 1 and
2, https://arxiv.org/abs/1601.06759
"""

import math
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from genimg.common.noise import Noise
from genimg.models.base import Batch, GenerativeModel, OptimizerFactory, check_unused
from genimg.models.categorical import draw_categorical
from genimg.models.networks.pixel_cursor import cursor
from genimg.models.networks.pixel_head import PixelHead
from genimg.models.objectives.pixel_distributions import from_levels


class PixelRNN(GenerativeModel):
    """A model of one value after the other: pixels in raster order, and the channels of a pixel in theirs.

    A conditional model is also trained without the class, for a share of the images, so that samples can be guided
    (Ho & Salimans 2022, "Classifier-free diffusion guidance", here for log-probabilities).

    Args:
        pixels: images (B, C, H, W) in [-1, 1] [, labels] -> features (B, F, H, W), each a function of the pixels
            before alone. The label `num_classes` stands for an unknown class. It may be `Drawn`.
        head: features -> the distributions of the channels.
        optimizer: called with the parameters.
        image_size: height and width of the images, or one number for both.
        channels: of the images.
        num_classes: 0 for an unconditional model.
        label_dropout: share of the images whose class is unknown in training.
        grad_clip: maximum norm of the gradient.
        final_lr: fraction of the learning rate at the end of the run.
        _shared: keys of the YAML that the networks and the optimizer read by interpolation.

    Raises:
        UserError: for a network of another model.
    """

    produces: ClassVar[Literal["images", "sequences"]] = "images"
    monitor: tuple[str, Literal["min", "max"]] = ("bits_per_dim", "min")
    network_nodes: ClassVar[tuple[str, ...]] = ("pixels", "head")
    exact_likelihood: ClassVar[bool] = True
    importance_sampled: ClassVar[bool] = False

    def __init__(
        self,
        pixels: nn.Module,
        head: PixelHead,
        optimizer: OptimizerFactory,
        image_size: int | tuple[int, int],
        channels: int,
        num_classes: int,
        label_dropout: float,
        grad_clip: float,
        final_lr: float,
        **_shared: Any,
    ) -> None:
        super().__init__()
        check_unused(_shared)
        self.pixels, self.head = pixels, head
        self.optimizer = optimizer
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.image_shape = (channels, int(height), int(width))
        self.num_classes, self.label_dropout = num_classes, label_dropout
        self.grad_clip, self.final_lr = grad_clip, final_lr

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimizer(self.parameters())

    def networks(self) -> dict[str, nn.Module]:
        return {"pixels": self.pixels, "head": self.head}

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """The negative log-likelihood in nats per value as `loss`, and in bits."""
        images, labels = batch["images"], self._labels_of(batch)
        if labels is not None:
            unknown = torch.rand(len(labels), device=labels.device) < self.label_dropout
            labels = torch.where(unknown, self.num_classes, labels)
        loss = -self._log_prob(images, labels).mean()
        return {"loss": loss, "bits_per_dim": loss.detach() / math.log(2)}

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clips the gradient: products over rows can explode."""
        nn.utils.clip_grad_norm_(self.parameters(), self.grad_clip)

    def evaluate(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """The exact bits per dimension and log-likelihood in nats of each image, (B,)."""
        nats = self.log_likelihood(batch["images"], self._labels_of(batch))
        return {"bits_per_dim": -nats / (math.prod(self.image_shape) * math.log(2)), "log_likelihood": nats}

    def no_likelihood(self) -> str | None:
        """None: it has one."""
        return None

    def log_likelihood(
        self, images: Tensor, labels: Tensor | None, *, samples: int = 1, generator: torch.Generator | None = None
    ) -> Tensor:
        """log p(x), or log p(x | class), in nats, (B,). It is exact, so `samples` and `generator` have no effect."""
        return self._log_prob(images, labels).flatten(1).sum(1)

    def bits(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """Bits of each pixel, all channels together, (B, H, W)."""
        return -self._log_prob(images, labels).sum(1) / math.log(2)

    def _log_prob(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """Nats of each value, (B, C, H, W), float32."""
        return self.head.log_prob(self.pixels(images, labels), images)

    def sample(self, noise: Noise, *, labels: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        """See the base class. The log-probabilities of levels are divided by `temperature`; 0 takes the likeliest."""
        return self.draw(noise, labels, temperature)

    def sample_guided(self, noise: Noise, labels: Tensor, temperature: float, guidance: float) -> Tensor:
        """See `Guided`."""
        return self.draw(noise, labels, temperature, guidance)

    @torch.no_grad()
    def draw(
        self,
        noise: Noise,
        labels: Tensor | None,
        temperature: float,
        guidance: float = 1.0,
        given: Tensor | None = None,
        known: int = 0,
    ) -> Tensor:
        """`sample`, guided by the class, or with the first pixels of given images; see `DrawsPixels`.

        With guidance g, log-probabilities are log p(x) + g (log p(x | class) - log p(x)), up to a constant.
        """
        labels = self._requested(labels)
        channels, height, width = self.image_shape
        uniform = noise.uniform(height, width, channels)
        images = torch.zeros(len(noise), *self.image_shape, device=noise.device)
        if given is not None:
            images.flatten(2)[:, :, :known] = given.flatten(2)[:, :, :known]
        draws = _Draws(self, images, labels, temperature, guidance)
        for row in range(height):
            for column in range(width):
                draws.pixel(row, column, uniform[:, row, column], row * width + column >= known)
        return images


class _Draws:
    """Draws pixels into images (N, C, H, W), with and without their classes if they are guided."""

    def __init__(
        self, model: PixelRNN, images: Tensor, labels: Tensor | None, temperature: float, guidance: float
    ) -> None:
        self.model, self.images = model, images
        self.temperature, self.guidance = temperature, guidance
        choices = [labels]
        if labels is not None and guidance != 1:
            choices.append(torch.full_like(labels, model.num_classes))
        self.cursors = [cursor(model.pixels, images, labels) for labels in choices]

    def pixel(self, row: int, column: int, uniform: Tensor, drawn: bool) -> None:
        """Draws a pixel with uniform numbers (N, C), unless it is known."""
        features = [one.features(row, column) for one in self.cursors]
        if not drawn:
            return
        place = self.images[:, :, row, column, None, None]
        for channel in range(self.images.shape[1]):
            masses = [self._log_masses(one, place, channel) for one in features]
            guided = masses[0] if len(masses) == 1 else torch.lerp(masses[1], masses[0], self.guidance)
            levels = draw_categorical(guided, uniform[:, channel], self.temperature)
            place[:, channel] = from_levels(levels)[:, None, None]

    def _log_masses(self, features: Tensor, place: Tensor, channel: int) -> Tensor:
        head = self.model.head
        return head.distribution.log_masses(head.channel(features, place, channel)[:, :, 0, 0])
