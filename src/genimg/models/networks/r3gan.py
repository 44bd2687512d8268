"""The generator and the discriminator of R3GAN: residual blocks of convolutions, and nothing else.

    block:          x + W3 a(W2 a(W1 x))             1x1 to twice the channels, grouped 3x3, 1x1 back
    generator:      (basis * A z), block, [1x1, up, block] for each finer stage, 1x1 to the image
    discriminator:  1x1 from the image, [block, down, 1x1] for each stage, block, depthwise over the map, linear

with a(h) = leaky ReLU(h + bias, 0.2). There is no normalisation, attention or tanh, so `model.output` is `linear`.

References:
    Huang et al. 2024, "The GAN is dead; long live the GAN! A modern baseline GAN", section 4 and configuration E,
    https://arxiv.org/abs/2501.05441
    Zhang et al. 2019, "Fixup initialization", section 3, for the variance of the weights of a block,
    https://arxiv.org/abs/1901.09321
"""

import math
from itertools import pairwise
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genimg.models.networks.layers import class_vectors
from genimg.models.networks.periodic import Padding, is_circular
from genimg.models.networks.resampling import Downsample, Upsample
from genimg.models.networks.shape import NetworkShape

EXPANSION = 2  # channels inside a block per channel outside
GAIN = math.sqrt(2 / (1 + 0.2**2))  # of a leaky ReLU with slope 0.2 (He et al. 2015)

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


class Block(nn.Module):
    """x + W3 a(W2 a(W1 x)), (B, C, H, W) -> the same shape; at initialisation the identity, because W3 is 0.

    Args:
        channels: C.
        group_width: channels of one group of the 3x3 convolution, which has EXPANSION * C channels; at most that many.
        depth: L, the blocks of the whole network. The standard deviation of W1 and W2 has the factor L^(-1/4), so that
            the gradient of the network does not grow with L (Fixup).
        padding: a name of `PADDINGS`.
    """

    def __init__(self, channels: int, group_width: int, depth: int, padding: Padding = "zeros") -> None:
        super().__init__()
        inner = EXPANSION * channels
        gain = GAIN * depth**-0.25
        # the bias of an activation is that of the convolution before it
        self.expand = scaled(nn.Conv2d(channels, inner, 1), gain)
        groups = _groups(inner, group_width)
        self.mix = scaled(nn.Conv2d(inner, inner, 3, padding=1, groups=groups, padding_mode=padding), gain)
        self.reduce = scaled(nn.Conv2d(inner, channels, 1, bias=False), 0)

    def forward(self, x: Tensor) -> Tensor:
        h = F.leaky_relu(self.expand(x), 0.2)
        h = F.leaky_relu(self.mix(h), 0.2)
        return x + self.reduce(h)


class Generator(nn.Module):
    """From a latent vector to an image.

    A learned map of the coarsest resolution, whose channels are multiplied by a linear function of `z`, passes blocks
    and is enlarged. A conditional generator concatenates a class embedding, as long as `z`, to `z`.

    Args:
        shape: the image to draw and the size of the network.
        latent_dim: length of `z`.
        blocks: blocks of each stage.
        group_width: as in `Block`.
        padding: of its maps, a name of `PADDINGS`.
    """

    def __init__(self, shape: NetworkShape, latent_dim: int, blocks: int, group_width: int, padding: Padding) -> None:
        super().__init__()
        self.periodic = is_circular(padding, shape)
        sizes = shape.resolutions()[::-1]  # coarse to fine
        widths = shape.widths(len(sizes))[::-1]
        inputs = latent_dim
        self.embedding = None
        if shape.num_classes:
            self.embedding = _class_embedding(shape.num_classes, latent_dim, 1)
            inputs += latent_dim
        self.basis = nn.Parameter(torch.randn(widths[0], *sizes[0]))
        self.modulation = scaled(nn.Linear(inputs, widths[0], bias=False))
        depth = blocks * len(sizes)
        stages: list[nn.Module] = [_blocks(widths[0], blocks, group_width, depth, padding)]
        for size, (coarse, fine) in zip(sizes[1:], pairwise(widths), strict=True):
            stages += [
                nn.Sequential(_project(coarse, fine), Upsample(size, self.periodic)),
                _blocks(fine, blocks, group_width, depth, padding),
            ]
        self.stages = nn.Sequential(*stages)
        self.to_image = scaled(nn.Conv2d(widths[-1], shape.channels, 1, bias=False))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """`z` (B, latent_dim), `labels` int64 (B,) if conditional -> images (B, C, H, W), unbounded."""
        if self.embedding is not None:
            z = torch.cat([z, class_vectors(self.embedding, labels)], dim=1)
        h = self.basis * self.modulation(z)[:, :, None, None]  # (C, h, w) * (B, C, 1, 1) -> (B, C, h, w)
        return self.to_image(self.stages(h))


class Discriminator(nn.Module):
    """From an image to a logit, high for real images.

    A conditional discriminator is the inner product of `shape.hidden` features and a class embedding (Miyato & Koyama
    2018, without their unconditional term).

    Args:
        shape: the image to read and the size of the network.
        blocks: blocks of each stage.
        group_width: as in `Block`.
    """

    def __init__(self, shape: NetworkShape, blocks: int, group_width: int) -> None:
        super().__init__()
        sizes = shape.resolutions()  # fine to coarse
        widths = shape.widths(len(sizes))
        depth = blocks * len(sizes)
        self.from_image = scaled(nn.Conv2d(shape.channels, widths[0], 1, bias=False))
        stages: list[nn.Module] = []
        for fine, coarse in pairwise(widths):
            stages += [_blocks(fine, blocks, group_width, depth), nn.Sequential(Downsample(), _project(fine, coarse))]
        self.stages = nn.Sequential(*stages, _blocks(widths[-1], blocks, group_width, depth))
        self.collect = scaled(nn.Conv2d(widths[-1], widths[-1], sizes[-1], groups=widths[-1], bias=False))
        self.embedding = None
        if shape.num_classes:
            self.embedding = _class_embedding(shape.num_classes, shape.hidden, shape.hidden**-0.5)
        self.to_features = scaled(nn.Linear(widths[-1], shape.hidden if shape.num_classes else 1, bias=False))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) in [-1, 1], `labels` int64 (B,) if conditional -> logits (B,)."""
        h = self.collect(self.stages(self.from_image(images)))
        features = self.to_features(h.flatten(1))  # (B, C, 1, 1) -> (B, hidden), or (B, 1) without classes
        if self.embedding is not None:
            features = features * class_vectors(self.embedding, labels)
        return features.sum(1)


def scaled(layer: Layer, gain: float = 1) -> Layer:
    """The layer with weights of N(0, gain^2 / fan-in) and biases of 0 (He et al. 2015)."""
    nn.init.normal_(layer.weight, std=gain / math.sqrt(layer.weight[0].numel()))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _blocks(channels: int, count: int, group_width: int, depth: int, padding: Padding = "zeros") -> nn.Sequential:
    return nn.Sequential(*(Block(channels, group_width, depth, padding) for _ in range(count)))


def _project(inputs: int, outputs: int) -> nn.Module:
    """A 1x1 convolution to another number of channels, or nothing if the number stays."""
    return nn.Identity() if inputs == outputs else scaled(nn.Conv2d(inputs, outputs, 1, bias=False))


def _groups(channels: int, group_width: int) -> int:
    """Groups of `group_width` channels, or one group if there are fewer.

    Raises:
        ValueError: if `group_width` does not divide `channels`.
    """
    width = min(group_width, channels)
    if channels % width:
        raise ValueError(f"group_width must divide {channels}, {EXPANSION} times the channels of a stage, got {width}")
    return channels // width


def _class_embedding(num_classes: int, length: int, gain: float) -> nn.Embedding:
    """Vectors of N(0, gain^2 / num_classes): a linear layer of one-hot classes, initialised as the others."""
    embedding = nn.Embedding(num_classes, length)
    nn.init.normal_(embedding.weight, std=gain / math.sqrt(num_classes))
    return embedding
