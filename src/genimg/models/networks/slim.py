"""Slim networks: a GAN for colour images that learns in minutes on a CPU (`model/network=slim`)."""

from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genimg.models.networks.conv import Backbone
from genimg.models.networks.layers import class_vectors, init_convolutions, layer_styles
from genimg.models.networks.periodic import Padding, enlarge_bilinear, is_circular
from genimg.models.networks.shape import NetworkShape


class Generator(nn.Module):
    """From a latent vector to an image.

    A mapping network turns z, beside the class embedding, into a style w (StyleGAN, Karras et al. 2019). Each stage
    doubles the resolution, applies a convolution and normalises; w scales and shifts the features of every stage, and
    adds learned maps to them. The stages end at half the resolution of the image. Two small convolutions follow at full
    resolution; the activation between them lets an edge be sharp without rings around it, which a single linear layer
    cannot.

    Args:
        shape: the image to draw and the size of the network.
        latent_dim: length of `z`.
        padding: of its maps, a name of `PADDINGS`.
    """

    def __init__(self, shape: NetworkShape, latent_dim: int, padding: Padding) -> None:
        super().__init__()
        self.periodic = is_circular(padding, shape)
        self.size = shape.height_width
        self.sizes = shape.resolutions()[:0:-1]  # coarse to half resolution
        widths = shape.widths(len(self.sizes) + 1)[:0:-1]
        self.embedding = nn.Embedding(shape.num_classes, latent_dim) if shape.num_classes else None
        self.mapping = nn.Sequential(
            nn.Linear(latent_dim * (2 if shape.num_classes else 1), shape.hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(shape.hidden, shape.hidden),
            nn.LeakyReLU(0.2),
        )
        self.first_shape = (widths[0], *self.sizes[0])
        self.fc = nn.Linear(shape.hidden, widths[0] * self.sizes[0][0] * self.sizes[0][1])
        channels = pairwise([widths[0], *widths])
        stages = [Stage(a, b, size, shape.hidden, padding) for size, (a, b) in zip(self.sizes, channels, strict=True)]
        self.stages = nn.ModuleList(stages)
        self.num_styles = 1 + len(stages)
        pixel_width = max(1, shape.width // 2)
        self.to_pixels = nn.Conv2d(widths[-1], pixel_width, 3, padding=1, padding_mode=padding)
        self.to_image = nn.Conv2d(pixel_width, shape.channels, 3, padding=1, padding_mode=padding)
        init_convolutions(self)
        for stage in stages:
            scale_and_shift = stage.style.weight[: -stage.maps.shape[1]]
            nn.init.normal_(scale_and_shift, std=0.3 / shape.hidden**0.5)  # scales start near 1
        if self.embedding is not None:
            nn.init.normal_(self.embedding.weight)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """`z` (B, latent_dim), `labels` int64 (B,) if conditional -> images (B, C, H, W), unbounded."""
        return self.draw(self.style(z, labels))

    def style(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """`z` (B, latent_dim), `labels` int64 (B,) if conditional -> styles w (B, hidden)."""
        if self.embedding is not None:
            z = torch.cat([z, class_vectors(self.embedding, labels)], dim=1)
        return self.mapping(z)

    def draw(self, w: Tensor) -> Tensor:
        """Styles `w` (B, hidden), or (B, num_styles, hidden) with one for each layer -> images, unbounded."""
        first, *others = layer_styles(w, self.num_styles)
        h = self.fc(first).view(-1, *self.first_shape)  # (B, widths[0] * h * w) -> (B, widths[0], h, w)
        for size, stage, style in zip(self.sizes, self.stages, others, strict=True):
            h = stage(enlarge_bilinear(h, size, self.periodic), style)
        h = self.to_pixels(enlarge_bilinear(h, self.size, self.periodic))
        return self.to_image(F.leaky_relu(h, 0.2))

    def style_weights(self) -> Tensor:
        """The weights (M, hidden) of all layers that read w."""
        return torch.cat([self.fc.weight, *(cast(Stage, stage).style.weight for stage in self.stages)])


class Stage(nn.Module):
    """A convolution, batch normalisation (Ioffe & Szegedy 2015), a scale and shift of each channel, and learned maps.

    The style determines the scale, the shift and the factor of the map of each channel. The maps tell places apart. The
    features that a stage enlarges are smooth; without maps it can draw nothing but their level lines, and images
    consist of rings (docs/results.md, Colour images). StyleGAN's constant input (Karras et al. 2019, section 2) is such
    a map of the coarsest resolution.

    Args:
        in_channels, out_channels: channels before and after the convolution.
        size: height and width of the features.
        style_dim: length of the style.
        padding: a name of `PADDINGS`.
    """

    def __init__(
        self, in_channels: int, out_channels: int, size: tuple[int, int], style_dim: int, padding: Padding
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False, padding_mode=padding)
        self.norm = nn.BatchNorm2d(out_channels, affine=False)
        self.maps = nn.Parameter(torch.randn(1, out_channels, *size))
        self.style = nn.Linear(style_dim, 3 * out_channels)

    def forward(self, h: Tensor, w: Tensor) -> Tensor:
        """Features (B, in_channels, H, W) and styles (B, style_dim) -> features (B, out_channels, H, W)."""
        scale, shift, factor = self.style(w)[:, :, None, None].chunk(3, dim=1)
        h = self.norm(self.conv(h)) * (1 + scale) + shift
        return F.leaky_relu(h + factor * self.maps.to(factor.dtype), 0.2)


class Discriminator(nn.Module):
    """From an image to a logit, high for real images, and to logits of its places (`JudgesPlaces`).

    A conditional discriminator adds the inner product of the features and a class embedding (Miyato & Koyama 2018,
    eq. 4). Places have no class.

    Args:
        shape: as in `Backbone`.
    """

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.backbone = Backbone(shape)
        self.to_logit = nn.Linear(shape.hidden, 1)
        nn.init.kaiming_normal_(self.to_logit.weight, a=0.2)
        nn.init.zeros_(self.to_logit.bias)
        self.embedding = nn.Embedding(shape.num_classes, shape.hidden) if shape.num_classes else None
        self.to_places = nn.Conv2d(self.backbone.map_channels(), 1, 1, bias=False)
        init_convolutions(self.to_places)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) in [-1, 1], `labels` int64 (B,) if conditional -> logits (B,)."""
        return self._logits(self.backbone(images), labels)

    def judge(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """As `forward` -> logits (B, 1 + N): of the image, then of its N places."""
        features, places = self.backbone.features_and_map(images)
        return torch.cat([self._logits(features, labels).unsqueeze(1), self.to_places(places).flatten(1)], dim=1)

    def _logits(self, features: Tensor, labels: Tensor | None) -> Tensor:
        """Features (B, hidden) -> logits (B,)."""
        logits = self.to_logit(features).squeeze(1)
        if self.embedding is not None:
            classes = class_vectors(self.embedding, labels)  # (B, hidden)
            logits = logits + (features * classes).sum(1) / features.shape[1] ** 0.5
        return logits
