"""The logits of images and of their places, for models with a discriminator that may be `JudgesPlaces`."""

from torch import Tensor, nn

from genimg.models.networks.capabilities import JudgesPlaces

PLACES = 1.0  # weight of the places beside the image, by measurement (docs/results.md, Colour images)


def default_places(discriminator: nn.Module) -> float:
    """The weight of the places of a discriminator that judges them; else 0."""
    return PLACES if isinstance(discriminator, JudgesPlaces) else 0.0


def judge(discriminator: nn.Module, images: Tensor, labels: Tensor | None, places: float) -> Tensor:
    """Logits (B, 1 + N) in float32: of the images, and of their N places if these have a weight."""
    if places and isinstance(discriminator, JudgesPlaces):
        return discriminator.judge(images, labels).float()
    return discriminator(images, labels).float().unsqueeze(1)


def per_image(values: Tensor, places: float) -> Tensor:
    """Values of logits (B, 1 + N): that of each image, and the weighted mean of those of its places, (B,)."""
    return values[:, 0] + places * values[:, 1:].mean(1) if places else values[:, 0]
