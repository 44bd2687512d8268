"""The encoder of the VAE: an image in, a Gaussian over latent vectors out."""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from genimg.networks.blocks import ImageSize, init_convolutions, join_class, pyramid, stage_widths


class Encoder(nn.Module):
    """One convolution at full size, one of stride 2 to each smaller size, then fully connected layers.

    Args:
        image_size: height and width of the image in pixels, 8 to 256 each.
        channels: channels of the image.
        latent_dim: length of the latent vector.
        width: channels at the finest size; doubled at every halving.
        max_width: the most channels any stage has.
        hidden: width of the fully connected layer.
        num_classes: 0 for an unconditional encoder; else a learned embedding of the class joins the features.
    """

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        latent_dim: int,
        width: int,
        max_width: int = 128,
        hidden: int = 256,
        num_classes: int = 0,
    ) -> None:
        super().__init__()
        sizes = pyramid(image_size, smallest=7)
        widths = stage_widths(len(sizes), width, max_width)
        self.from_image = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.halve = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(widths))
        height, width_ = sizes[-1]
        self.fc1 = nn.Linear(widths[-1] * height * width_, hidden)
        self.embedding = nn.Embedding(num_classes, hidden) if num_classes else None
        self.fc2 = nn.Linear(hidden * (2 if num_classes else 1), 2 * latent_dim)
        init_convolutions(self)
        nn.init.normal_(self.fc2.weight, std=0.01)  # posteriors start near the prior: the KL starts near 0

    def forward(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) in [-1, 1], `labels` int64 (B,) when conditional -> mean, log-variance (B, dim)."""
        h = F.leaky_relu(self.from_image(images), 0.2)
        for halve in self.halve:
            h = F.leaky_relu(halve(h), 0.2)
        features = F.leaky_relu(self.fc1(h.flatten(1)), 0.2)  # (B, C, h, w) -> (B, C*h*w) -> (B, hidden)
        features = join_class(features, self.embedding, labels)
        mean, log_var = self.fc2(features).chunk(2, dim=1)
        return mean, log_var
