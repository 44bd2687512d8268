"""The generator and the discriminator of DCGAN: convolutions of stride 2 with batch normalisation in both.

References:
    Radford et al. 2016, "Unsupervised representation learning with deep convolutional generative adversarial
    networks", section 3, https://arxiv.org/abs/1511.06434
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genimg.models.networks.layers import class_vectors
from genimg.models.networks.periodic import Padding, is_circular, wrap
from genimg.models.networks.shape import NetworkShape


class Generator(nn.Module):
    """From a latent vector to an image, by transposed 4x4 convolutions of stride 2, cropped to the size of the stage.

    A conditional generator concatenates a class embedding, as long as `z`, to `z`.

    Args:
        shape: the image to draw and the size of the network.
        latent_dim: length of `z`.
        padding: of its maps, a name of `PADDINGS`.
    """

    def __init__(self, shape: NetworkShape, latent_dim: int, padding: Padding) -> None:
        super().__init__()
        self.periodic = is_circular(padding, shape)
        self.sizes = shape.resolutions()[::-1]  # coarse to fine
        widths = shape.widths(len(self.sizes))[:0:-1]  # without that of the full resolution
        self.embedding = nn.Embedding(shape.num_classes, latent_dim) if shape.num_classes else None
        inputs = latent_dim * (2 if shape.num_classes else 1)
        self.first = nn.ConvTranspose2d(inputs, widths[0], self.sizes[0], bias=False)
        cut = 3 if self.periodic else 1  # lines of the result on each side; a line of the wrapped map more gives two
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(a, b, 4, stride=2, padding=cut, bias=False)
            for a, b in pairwise([*widths, shape.channels])
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths)
        _initialise(self)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """`z` (B, latent_dim), `labels` int64 (B,) if conditional -> images (B, C, H, W), before tanh."""
        if self.embedding is not None:
            z = torch.cat([z, class_vectors(self.embedding, labels)], dim=1)
        h = self.first(z[:, :, None, None])
        for (height, width), norm, up in zip(self.sizes[1:], self.norms, self.ups, strict=True):
            h = F.relu(norm(h))
            h = up(wrap(h) if self.periodic else h)[..., :height, :width]
        return h


class Discriminator(nn.Module):
    """From an image to a logit, by 4x4 convolutions of stride 2. An odd size repeats its last line.

    Logits depend on the batch. A conditional discriminator adds the inner product of the mean of its last features and
    a class embedding (Miyato & Koyama 2018), which the paper does not have.

    Args:
        shape: the image to read and the size of the network.
    """

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        sizes = shape.resolutions()
        widths = shape.widths(len(sizes))[1:]
        self.downs = nn.ModuleList(
            nn.Conv2d(a, b, 4, stride=2, padding=1, bias=False) for a, b in pairwise([shape.channels, *widths])
        )
        self.norms = nn.ModuleList([nn.Identity(), *(nn.BatchNorm2d(width) for width in widths[1:])])
        self.to_logit = nn.Conv2d(widths[-1], 1, sizes[-1], bias=False)
        self.embedding = nn.Embedding(shape.num_classes, widths[-1]) if shape.num_classes else None
        _initialise(self)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) in [-1, 1], `labels` int64 (B,) if conditional -> logits (B,)."""
        h = images
        for down, norm in zip(self.downs, self.norms, strict=True):
            height, width = h.shape[2:]
            if height % 2 or width % 2:
                h = F.pad(h, (0, width % 2, 0, height % 2), mode="replicate")
            h = F.leaky_relu(norm(down(h)), 0.2)
        logits = self.to_logit(h).flatten()  # (B, 1, 1, 1) -> (B,)
        if self.embedding is not None:
            logits = logits + (h.mean((2, 3)) * class_vectors(self.embedding, labels)).sum(1)
        return logits


def _initialise(network: nn.Module) -> None:
    """Weights of N(0, 0.02^2), and scales of N(1, 0.02^2), as in pytorch/examples."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, std=0.02)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.02)
            nn.init.zeros_(layer.bias)
