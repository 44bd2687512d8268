"""The discriminator: an image in, a real-or-fake logit out."""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from genimg.networks.blocks import ImageSize, ResidualBlock, init_convolutions, pyramid, stage_widths


class Discriminator(nn.Module):
    """Residual stages that halve the image down to a small map, then fully connected layers to one logit.

    No normalisation: batch statistics would couple the images of a batch, and the gradient penalties are defined
    image by image.

    Args:
        image_size: height and width of the image in pixels, 8 to 256 each.
        channels: channels of the image.
        width: channels at the finest size; doubled at every halving.
        max_width: the most channels any stage has.
        num_classes: 0 for an unconditional discriminator; else the class is compared with the features by an inner
            product (Miyato & Koyama 2018, eq. 4).
    """

    def __init__(
        self, image_size: ImageSize, channels: int, width: int, max_width: int = 128, num_classes: int = 0
    ) -> None:
        super().__init__()
        sizes = pyramid(image_size)
        widths = stage_widths(len(sizes), width, max_width)
        self.from_image = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.blocks = nn.ModuleList(ResidualBlock(w) for w in widths)
        self.widen = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in pairwise(widths))
        height, width_ = sizes[-1]
        self.to_features = nn.Linear(widths[-1] * height * width_, widths[-1])
        self.to_logit = nn.Linear(widths[-1], 1)
        self.embedding = nn.Embedding(num_classes, widths[-1]) if num_classes else None
        init_convolutions(self)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, C, H, W) in [-1, 1], `labels` int64 (B,) when conditional -> logits (B,)."""
        first, *others = self.blocks
        h = first(self.from_image(images))
        for widen, block in zip(self.widen, others, strict=True):
            h = block(widen(F.avg_pool2d(h, 2, ceil_mode=True)))
        h = F.leaky_relu(h, 0.2).flatten(1)  # (B, C, h, w) -> (B, C*h*w)
        features = F.leaky_relu(self.to_features(h), 0.2)
        logits = self.to_logit(features).squeeze(1)
        if self.embedding is not None:
            if labels is None:
                raise ValueError("this discriminator was built with classes: pass labels of shape (B,)")
            logits = logits + (features * self.embedding(labels)).sum(1) / features.shape[1] ** 0.5
        return logits
