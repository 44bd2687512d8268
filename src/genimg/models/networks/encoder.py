"""The encoder of the VAE: an image in, a Gaussian over latent vectors out."""

import torch
from torch import Tensor, nn

from genimg.models.networks.blocks import ImageSize, class_vectors
from genimg.models.networks.trunk import Trunk


class Encoder(nn.Module):
    """A `Trunk` and a linear layer to mean and log-variance.

    Args:
        latent_dim: length of the latent vector.
        image_size, channels, width, max_width, hidden, smallest: as in `Trunk`.
        num_classes: 0 for an unconditional encoder; else a learned embedding of the class joins the features.
    """

    def __init__(
        self,
        latent_dim: int,
        image_size: ImageSize,
        channels: int,
        width: int,
        max_width: int,
        hidden: int,
        smallest: int,
        num_classes: int = 0,
    ) -> None:
        super().__init__()
        self.trunk = Trunk(image_size, channels, width, max_width, hidden, smallest)
        self.embedding = nn.Embedding(num_classes, hidden) if num_classes else None
        self.to_gaussian = nn.Linear(hidden * (2 if num_classes else 1), 2 * latent_dim)
        nn.init.normal_(self.to_gaussian.weight, std=0.01)  # posteriors start near the prior: the KL starts near 0
        nn.init.zeros_(self.to_gaussian.bias)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) in [-1, 1], `labels` int64 (B,) when conditional -> mean, log-variance (B, latent_dim)."""
        features = self.trunk(images)
        if self.embedding is not None:
            features = torch.cat([features, class_vectors(self.embedding, labels)], dim=1)
        mean, log_var = self.to_gaussian(features).chunk(2, dim=1)
        return mean, log_var
