"""User-defined networks with batch normalisation, of more kinds than the packaged ones have."""

from torch import Tensor, nn

from genimg.models.networks.conv import Backbone, Decoder
from genimg.models.networks.shape import NetworkShape


class NormedGenerator(Decoder):
    def __init__(self, shape: NetworkShape, latent_dim: int, padding: str) -> None:
        assert padding == "zeros"
        super().__init__(shape, latent_dim)
        self.convs = nn.ModuleList(nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels)) for conv in self.convs)


class NormedDiscriminator(nn.Module):
    """One that does not judge places."""

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        norm = nn.BatchNorm1d(shape.hidden, momentum=None)
        self.layers = nn.Sequential(Backbone(shape), norm, nn.Linear(shape.hidden, 1))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.layers(images).squeeze(1)
