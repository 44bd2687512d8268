"""The discriminator: an image in, a real-or-fake logit out."""

from torch import Tensor, nn

from genimg.models.networks.blocks import ImageSize, class_vectors
from genimg.models.networks.trunk import Trunk


class Discriminator(nn.Module):
    """A `Trunk` and a linear layer to one logit.

    Args:
        image_size, channels, width, max_width, hidden, smallest: as in `Trunk`.
        num_classes: 0 for an unconditional discriminator; else the class is compared with the features by an inner
            product (Miyato & Koyama 2018, eq. 4).
    """

    def __init__(
        self,
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
        self.to_logit = nn.Linear(hidden, 1)
        nn.init.kaiming_normal_(self.to_logit.weight, a=0.2)
        nn.init.zeros_(self.to_logit.bias)
        self.embedding = nn.Embedding(num_classes, hidden) if num_classes else None

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, C, H, W) in [-1, 1], `labels` int64 (B,) when conditional -> logits (B,)."""
        features = self.trunk(images)
        logits = self.to_logit(features).squeeze(1)
        if self.embedding is not None:
            classes = class_vectors(self.embedding, labels)  # (B, hidden)
            logits = logits + (features * classes).sum(1) / features.shape[1] ** 0.5
        return logits
