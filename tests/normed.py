"""User-defined networks with batch normalisation, of more kinds than the packaged ones have."""

from torch import nn

from genimg.models.networks.conv import Decoder
from genimg.models.networks.shape import NetworkShape
from genimg.models.networks.slim import Discriminator


class NormedGenerator(Decoder):
    def __init__(self, shape: NetworkShape, latent_dim: int, padding: str) -> None:
        assert padding == "zeros"
        super().__init__(shape, latent_dim)
        self.convs = nn.ModuleList(nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels)) for conv in self.convs)


class NormedDiscriminator(Discriminator):
    def __init__(self, shape: NetworkShape) -> None:
        super().__init__(shape)
        self.backbone = nn.Sequential(self.backbone, nn.BatchNorm1d(shape.hidden, momentum=None))
