"""The discriminator: an image in, a real-or-fake logit out."""

import torch.nn.functional as F
from torch import Tensor, nn

from genimg.networks.blocks import ImageSize, ResidualBlock, init_convolutions, pyramid, stage_widths


class Discriminator(nn.Module):
    """Residual stages that halve the image down to a small map, then fully connected layers to one logit.

    No normalisation: batch statistics would couple the images of a batch, and the gradient penalties are defined
    image by image.

    Args:
        image_size, channels, width, max_width: as in the generator.
        num_classes: 0 for an unconditional discriminator; else the class is compared with the features by an inner
            product (Miyato & Koyama 2018, eq. 4).
    """

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        width: int,
        max_width: int = 128,
        num_classes: int = 0,
    ) -> None:
        super().__init__()
        sizes = pyramid(image_size)
        widths = stage_widths(len(sizes), width, max_width)
        self.from_image = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.widen = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in zip(widths[:-1], widths[1:], strict=True))
        self.blocks = nn.ModuleList(ResidualBlock(w) for w in widths)
        height, width_ = sizes[-1]
        self.fc1 = nn.Linear(widths[-1] * height * width_, widths[-1])
        self.fc2 = nn.Linear(widths[-1], 1)
        self.embedding = nn.Embedding(num_classes, widths[-1]) if num_classes else None
        init_convolutions(self)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, C, H, W) in [-1, 1], `labels` int64 (B,) when conditional -> logits (B,)."""
        h = self.from_image(images)
        h = self.blocks[0](h)
        for widen, block in zip(self.widen, list(self.blocks)[1:], strict=True):
            h = block(widen(F.avg_pool2d(h, 2, ceil_mode=True)))
        features = F.leaky_relu(self.fc1(F.leaky_relu(h, 0.2).flatten(1)), 0.2)  # (B, C, h, w) -> (B, C*h*w)
        logits = self.fc2(features).squeeze(1)
        if self.embedding is not None:
            if labels is None:
                raise ValueError("this discriminator was built with classes: pass labels of shape (B,)")
            logits = logits + (features * self.embedding(labels)).sum(1) / features.shape[1] ** 0.5
        return logits
