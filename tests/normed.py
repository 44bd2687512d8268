"""User-defined networks: those of the package, with batch normalisation."""

from typing import Any

from torch import nn

from genimg.models.networks.discriminator import Discriminator
from genimg.models.networks.generator import Generator


class NormedGenerator(Generator):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.convs = nn.ModuleList(nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels)) for conv in self.convs)


class NormedDiscriminator(Discriminator):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.trunk = nn.Sequential(self.trunk, nn.BatchNorm1d(settings["hidden"], momentum=None))
