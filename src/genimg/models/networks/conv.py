"""Plain convolutional networks: one narrow convolution per resolution, sized for minutes on a CPU.

They are the encoder and the decoder of a VAE (`model/network=conv`).
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genimg.models.networks.layers import class_vectors, init_convolutions
from genimg.models.networks.shape import NetworkShape


class Decoder(nn.Module):
    """From a latent vector to an image.

    Fully connected layers lead to a small map. Each stage applies a convolution and then doubles the resolution. The
    convolution comes *before* the enlargement, at a quarter of the operations, and the enlargement is bilinear, which
    avoids the checkerboards of transposed convolutions and pixel shuffles (Odena et al. 2016).

    A conditional decoder scales and shifts the features of `z` by class (FiLM, Perez et al. 2018).

    Args:
        shape: the image to draw and the size of the network.
        latent_dim: length of `z`.
    """

    def __init__(self, shape: NetworkShape, latent_dim: int) -> None:
        super().__init__()
        self.sizes = shape.resolutions()[::-1]  # coarse to fine
        widths = shape.widths(len(self.sizes))[::-1]
        self.embedding = nn.Embedding(shape.num_classes, 2 * shape.hidden) if shape.num_classes else None
        self.first_shape = (widths[0], *self.sizes[0])
        height, width = self.sizes[0]
        self.fc1 = nn.Linear(latent_dim, shape.hidden)
        self.fc2 = nn.Linear(shape.hidden, widths[0] * height * width)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths))
        self.to_image = nn.Conv2d(widths[-1], shape.channels, 3, padding=1)
        init_convolutions(self)
        if self.embedding is not None:
            nn.init.normal_(self.embedding.weight, std=0.5)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """`z` (B, latent_dim), `labels` int64 (B,) if conditional -> images (B, C, H, W), unbounded."""
        h = self.fc1(z)
        if self.embedding is not None:
            scale, shift = class_vectors(self.embedding, labels).chunk(2, dim=1)  # (B, hidden) each
            h = h * (1 + scale) + shift
        # the activation precedes the view, so that its gradient has one memory format
        h = F.leaky_relu(self.fc2(F.leaky_relu(h, 0.2)), 0.2)
        h = h.view(-1, *self.first_shape)  # (B, widths[0] * h * w) -> (B, widths[0], h, w)
        for size, conv in zip(self.sizes[1:], self.convs, strict=True):
            h = F.leaky_relu(F.interpolate(conv(h), size=size, mode="bilinear", align_corners=False), 0.2)
        return self.to_image(h)


class Backbone(nn.Module):
    """From an image to a feature vector: the part that an encoder and a discriminator share.

    The first convolution has stride 2 and a kernel of 4, so that all pixels but the border's count equally;
    convolutions at full resolution would cost most and add little. There is no normalisation, so no image depends on
    its batch.

    Args:
        shape: the image to read and the size of the network. `width` counts channels at full resolution, as in the
            mirroring decoder, so the first stage here has twice as many.
    """

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        sizes = shape.resolutions()
        widths = shape.widths(len(sizes))[1:]
        self.from_image = nn.Conv2d(shape.channels, widths[0], 4, stride=2, padding=1)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths))
        height, width = sizes[-1]
        self.fc = nn.Linear(widths[-1] * height * width, shape.hidden)
        init_convolutions(self)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) in [-1, 1] -> features (B, hidden)."""
        return self.features_and_map(images)[0]

    def features_and_map(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The features (B, hidden), and the map (B, C', h, w) before the last one, whose places see parts of the image.

        Images of 8 pixels have one map, which it is.
        """
        height, width = images.shape[2:]
        if height % 2 or width % 2:  # the stride would drop the last line of an odd size
            images = F.pad(images, (0, width % 2, 0, height % 2), mode="replicate")
        maps = [F.leaky_relu(self.from_image(images), 0.2)]
        for conv in self.convs:
            maps.append(F.leaky_relu(conv(F.avg_pool2d(maps[-1], 2, ceil_mode=True)), 0.2))
        features = F.leaky_relu(self.fc(maps[-1].flatten(1)), 0.2)  # (B, C, h, w) -> (B, C*h*w) -> (B, hidden)
        return features, maps[-2:][0]

    def map_channels(self) -> int:
        """Channels of the map of `features_and_map`."""
        return self.convs[-1].in_channels if self.convs else self.from_image.out_channels  # pyright: ignore


class Encoder(nn.Module):
    """From an image to the mean and log-variance of a diagonal Gaussian over latent vectors.

    A conditional encoder concatenates a class embedding to the features.

    Args:
        shape: as in `Backbone`.
        latent_dim: length of the latent vector.
    """

    def __init__(self, shape: NetworkShape, latent_dim: int) -> None:
        super().__init__()
        self.backbone = Backbone(shape)
        self.embedding = nn.Embedding(shape.num_classes, shape.hidden) if shape.num_classes else None
        self.to_gaussian = nn.Linear(shape.hidden * (2 if shape.num_classes else 1), 2 * latent_dim)
        nn.init.normal_(self.to_gaussian.weight, std=0.01)  # posteriors start near the prior: the KL starts near 0
        nn.init.zeros_(self.to_gaussian.bias)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Images (B, C, H, W) in [-1, 1], `labels` int64 (B,) if conditional -> mean, log-variance (B, latent_dim)."""
        features = self.backbone(images)
        if self.embedding is not None:
            features = torch.cat([features, class_vectors(self.embedding, labels)], dim=1)
        mean, log_var = self.to_gaussian(features).chunk(2, dim=1)
        return mean, log_var
