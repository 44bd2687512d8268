"""User-defined networks: the slim ones with batch normalisation."""

from torch import nn

from genimg.models.networks.shape import NetworkShape
from genimg.models.networks.slim import Discriminator, Generator


class NormedGenerator(Generator):
    def __init__(self, shape: NetworkShape, latent_dim: int) -> None:
        super().__init__(shape, latent_dim)
        self.convs = nn.ModuleList(nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels)) for conv in self.convs)


class NormedDiscriminator(Discriminator):
    def __init__(self, shape: NetworkShape) -> None:
        super().__init__(shape)
        self.backbone = nn.Sequential(self.backbone, nn.BatchNorm1d(shape.hidden, momentum=None))
