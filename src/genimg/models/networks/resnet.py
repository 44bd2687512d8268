"""The generator and the discriminator of SNGAN: residual blocks, with spectral normalisation in the discriminator.

    generator:      linear, [block, up] for each finer stage, batch norm, ReLU, 3x3 to the image
    discriminator:  [block, down] for each stage, block, ReLU, sum over the map, linear

A conditional generator has conditional batch normalisation, and a conditional discriminator a projection. On request
both networks have self-attention (SAGAN).

References:
    Miyato et al. 2018, "Spectral normalization for generative adversarial networks", appendix B.4,
    https://arxiv.org/abs/1802.05957
    Miyato & Koyama 2018, "cGANs with projection discriminator", https://arxiv.org/abs/1802.05637
    Zhang et al. 2019, "Self-attention generative adversarial networks", https://arxiv.org/abs/1805.08318
"""

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt

import torch.nn.functional as F
from torch import Tensor, nn

from genimg.models.networks.attention import SelfAttention
from genimg.models.networks.layers import class_vectors
from genimg.models.networks.periodic import Padding, is_circular
from genimg.models.networks.shape import NetworkShape
from genimg.models.networks.spectral import convolution, linear, normalised

Size = tuple[int, int]


class ClassNorm(nn.Module):
    """Batch normalisation whose scale and shift depend on the class (Dumoulin et al. 2017; Miyato & Koyama 2018).

    Args:
        channels: C.
        num_classes: 0 for plain batch normalisation.
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=num_classes == 0)
        self.embedding = nn.Embedding(num_classes, 2 * channels) if num_classes else None
        if self.embedding is not None:
            nn.init.zeros_(self.embedding.weight)  # the scale is 1 + that of the class

    def forward(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """(B, C, H, W), shape kept."""
        h = self.norm(x)
        if self.embedding is None:
            return h
        scale, shift = class_vectors(self.embedding, labels).to(h.dtype)[:, :, None, None].chunk(2, dim=1)
        return h * (1 + scale) + shift


class GeneratorBlock(nn.Module):
    """Two of normalisation, ReLU and convolution, with an enlargement before the first; beside a 1x1 convolution.

    Args:
        inputs, outputs: channels.
        size: (height, width) of the output.
        num_classes: 0 for an unconditional network.
        spectral: whether the convolutions have spectral normalisation.
        attention: whether self-attention of the input comes first.
        padding: a name of `PADDINGS`.
    """

    def __init__(
        self, inputs: int, outputs: int, size: Size, num_classes: int, spectral: bool, attention: bool, padding: Padding
    ) -> None:
        super().__init__()
        self.size = size
        self.attention = SelfAttention(inputs, spectral) if attention else nn.Identity()
        self.norm1 = ClassNorm(inputs, num_classes)
        self.conv1 = convolution(inputs, outputs, 3, spectral, gain=sqrt(2), padding=padding)
        self.norm2 = ClassNorm(outputs, num_classes)
        self.conv2 = convolution(outputs, outputs, 3, spectral, gain=sqrt(2), padding=padding)
        self.shortcut = convolution(inputs, outputs, 1, spectral)

    def forward(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """(B, inputs, h, w) -> (B, outputs, *size)."""
        x = self.attention(x)
        h = F.relu(self.norm1(x, labels))
        h = self.conv1(F.interpolate(h, size=self.size))  # nearest
        h = self.conv2(F.relu(self.norm2(h, labels)))
        return h + F.interpolate(self.shortcut(x), size=self.size)


class Generator(nn.Module):
    """From a latent vector to an image.

    Args:
        shape: the image to draw and the size of the network; `hidden` is not used.
        latent_dim: length of `z`.
        attention: self-attention at the finest resolution, below that of the image, whose shorter side is at most this
            many pixels, or at the coarsest if there is none; None = no attention.
        spectral: spectral normalisation of all convolutions and of the linear layer, as in SAGAN.
        padding: of its maps, a name of `PADDINGS`.
    """

    def __init__(
        self, shape: NetworkShape, latent_dim: int, attention: int | None, spectral: bool, padding: Padding
    ) -> None:
        super().__init__()
        self.periodic = is_circular(padding, shape)
        sizes = shape.resolutions()[::-1]  # coarse to fine
        widths = shape.widths(len(sizes))[::-1]
        attended = _attended_size(shape, attention)
        self.first_shape = (widths[0], *sizes[0])
        self.fc = linear(latent_dim, widths[0] * sizes[0][0] * sizes[0][1], spectral)
        self.blocks = nn.ModuleList(
            GeneratorBlock(a, b, fine, shape.num_classes, spectral, coarse == attended, padding)
            for (a, b), (coarse, fine) in zip(pairwise(widths), pairwise(sizes), strict=True)
        )
        self.norm = nn.BatchNorm2d(widths[-1])
        self.to_image = convolution(widths[-1], shape.channels, 3, spectral, padding=padding)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """`z` (B, latent_dim), `labels` int64 (B,) if conditional -> images (B, C, H, W), unbounded."""
        h = self.fc(z).view(-1, *self.first_shape)  # (B, widths[0] * h * w) -> (B, widths[0], h, w)
        for block in self.blocks:
            h = block(h, labels)
        return self.to_image(F.relu(self.norm(h)))


class DiscriminatorBlock(nn.Module):
    """Two convolutions and average pooling, beside average pooling and a 1x1 convolution.

    Args:
        inputs, outputs: channels.
        first: the input is an image, so no ReLU precedes the first convolution.
        down: whether the resolution is halved.
        attention: whether self-attention of the output follows.
    """

    def __init__(
        self, inputs: int, outputs: int, first: bool = False, down: bool = True, attention: bool = False
    ) -> None:
        super().__init__()
        hidden = outputs if first else inputs
        self.first, self.down = first, down
        self.conv1 = convolution(inputs, hidden, 3, spectral=True, gain=sqrt(2))
        self.conv2 = convolution(hidden, outputs, 3, spectral=True, gain=sqrt(2))
        learned = down or inputs != outputs
        self.shortcut = convolution(inputs, outputs, 1, spectral=True) if learned else nn.Identity()
        self.attention = SelfAttention(outputs, spectral=True) if attention else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, outputs, h', w'), where h' is h, or h / 2 rounded up."""
        h = self.conv1(x if self.first else F.relu(x))
        h = self.conv2(F.relu(h))
        if self.down:
            h, x = _halved(h), _halved(x)  # pooling and the 1x1 convolution commute
        return self.attention(h + self.shortcut(x))


class Discriminator(nn.Module):
    """From an image to a logit, high for real images. Every weight has spectral normalisation.

    A conditional discriminator adds the inner product of the features and a class embedding (Miyato & Koyama 2018,
    eq. 4).

    Args:
        shape: the image to read and the size of the network; `hidden` is not used.
        attention: as for the generator.
    """

    def __init__(self, shape: NetworkShape, attention: int | None) -> None:
        super().__init__()
        sizes = shape.resolutions()
        widths = [shape.channels, *shape.widths(len(sizes))]
        attended = _attended_size(shape, attention)
        down = [
            DiscriminatorBlock(a, b, first=stage == 0, attention=size == attended)
            for stage, ((a, b), size) in enumerate(zip(pairwise(widths[:-1]), sizes[1:], strict=True))
        ]
        self.blocks = nn.Sequential(*down, DiscriminatorBlock(widths[-2], widths[-1], down=False))
        self.to_logit = linear(widths[-1], 1, spectral=True)
        self.embedding = None
        if shape.num_classes:
            self.embedding = nn.Embedding(shape.num_classes, widths[-1])
            nn.init.xavier_uniform_(self.embedding.weight)
            normalised(self.embedding)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) in [-1, 1], `labels` int64 (B,) if conditional -> logits (B,)."""
        features = F.relu(self.blocks(images)).sum((2, 3))  # (B, C, h, w) -> (B, C)
        logits = self.to_logit(features).squeeze(1)
        if self.embedding is not None:
            logits = logits + (features * class_vectors(self.embedding, labels)).sum(1)
        return logits


def _halved(x: Tensor) -> Tensor:
    """Average pooling by 2; an odd last line is kept."""
    return F.avg_pool2d(x, 2, ceil_mode=True)


def _attended_size(shape: NetworkShape, attention: int | None) -> Size | None:
    """The map with self-attention, see `Generator`."""
    if attention is None:
        return None
    inner: Sequence[Size] = shape.resolutions()[1:]
    return next((size for size in inner if min(size) <= attention), inner[-1])
