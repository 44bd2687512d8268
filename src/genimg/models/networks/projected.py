"""Slim networks whose discriminator also judges features of ImageNet (`model/network=projected`)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genimg.models.networks import slim
from genimg.models.networks.efficientnet import Lite0Maps
from genimg.models.networks.layers import init_convolutions
from genimg.models.networks.shape import NetworkShape

_WIDTH = 64  # channels of a head


class Discriminator(slim.Discriminator):
    """The slim discriminator, and a head on each of four feature maps of EfficientNet-Lite0, which is not trained.

    A head gives logits of the places of its map. They count as much as the places of the slim discriminator: the mean
    over the places of an image is the mean over the five maps. The features are scaled to a length at each place as in
    LPIPS (Zhang et al. 2018, eq. 1), so that no depth outweighs another.

    References:
        Sauer et al. 2021, "Projected GANs converge faster", section 3, https://arxiv.org/abs/2111.01007. There
        the heads are the whole discriminator, they read random mixtures of the maps, and the loss is the hinge.

    Args:
        shape: as in `Backbone`.
    """

    #: As in `ReadsFeatures`.
    reads_features = "efficientnet_lite0"

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__(shape)
        self.maps = Lite0Maps("model/network")
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, _WIDTH, 1), nn.LeakyReLU(0.2), nn.Conv2d(_WIDTH, 1, 1, bias=False))
            for channels in self.maps.depths.values()
        )
        init_convolutions(self.heads)

    def judge(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """As `forward` -> logits (B, 1 + N): of the image, then of its N places."""
        features, own = self.backbone.features_and_map(images)
        maps = [self.to_places(own)]
        for head, found in zip(self.heads, self.maps(images), strict=True):
            maps.append(head(F.normalize(found, dim=1) * found.shape[1] ** 0.5))
        finest = max((one.shape[2:] for one in maps), key=lambda sides: sides[0] * sides[1])
        places = [F.interpolate(one, size=finest, mode="nearest").flatten(1) for one in maps]
        return torch.cat([self._logits(features, labels).unsqueeze(1), *places], dim=1)
