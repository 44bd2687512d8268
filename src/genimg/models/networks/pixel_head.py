"""From the features of a pixel to the parameters of the distributions of its channels."""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genimg.models.objectives.pixel_distributions import PIXEL_DISTRIBUTIONS


class PixelHead(nn.Module):
    """A small network for each channel, which also reads the pixel's channels before it: red, green, then blue.

    Van den Oord et al. 2016, eq. 2, p(x_R | before) p(x_G | x_R, before) p(x_B | x_R, x_G, before), here without
    masks: each channel has weights of its own.

    Args:
        features: channels of the features.
        channels: of the images.
        hidden: units of each network.
        distribution: a name of `PIXEL_DISTRIBUTIONS`.

    Raises:
        ValueError: if `distribution` is unknown.
    """

    def __init__(self, features: int, channels: int, hidden: int, distribution: str) -> None:
        super().__init__()
        if distribution not in PIXEL_DISTRIBUTIONS:
            raise ValueError(f"distribution must be one of {', '.join(PIXEL_DISTRIBUTIONS)}, got {distribution!r}")
        self.distribution, self.channels = PIXEL_DISTRIBUTIONS[distribution], channels
        self.to_hidden = nn.ModuleList(nn.Conv2d(features + known, hidden, 1) for known in range(channels))
        self.to_params = nn.ModuleList(nn.Conv2d(hidden, self.distribution.size, 1) for _ in range(channels))
        for layer in self.to_params:
            nn.init.normal_(cast(nn.Conv2d, layer).weight, std=0.01)

    def channel(self, features: Tensor, images: Tensor, index: int) -> Tensor:
        """Parameters of one channel (N, size, H, W).

        Args:
            features: (N, features, H, W).
            images: (N, C, H, W), of which only the channels before `index` are read.
        """
        known = torch.cat([features, images[:, :index].to(features.dtype)], dim=1) if index else features
        return self.to_params[index](F.relu(self.to_hidden[index](known)))

    def log_prob(self, features: Tensor, images: Tensor) -> Tensor:
        """Log-probabilities in nats of the values of images (N, C, H, W), of the same shape."""
        parts = [
            self.distribution.log_prob(self.channel(features, images, index), images[:, index])
            for index in range(self.channels)
        ]
        return torch.stack(parts, dim=1)
