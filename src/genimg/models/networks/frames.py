"""The convolutional encoder and decoder of the sequence model.

Both process single frames, so all frames of all clips pass in one call. Normalisation is by groups of channels, so no
frame depends on its batch.
"""

from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genimg.models.networks.layers import init_convolutions
from genimg.models.networks.shape import NetworkShape
from genimg.models.networks.slim import Discriminator
from genimg.models.networks.transport import bend, centroid_and_extent, composite, measure_shifts, move

GROUP = 8  # channels normalised together
LEAST_CONTRAST = 1e-3  # of a pixel with the mean colour: an empty image has a centroid too
CLOSED_GATE = -3.0  # sigmoid(-3) = 0.05: at first the drawn frame contributes little


def coarse_sizes(shape: NetworkShape) -> list[tuple[int, int]]:
    """Sizes of the maps between image and vector, half the image's size first; at least one (8 -> 4)."""
    return shape.resolutions()[1:] or shape.resolutions(shape.smallest // 2)[1:]


def coarsest_map(shape: NetworkShape) -> tuple[int, int, int]:
    """(channels, height, width) of the encoder's last map, from which the decoder starts."""
    sizes = coarse_sizes(shape)
    return (shape.widths(len(sizes))[-1], *sizes[-1])


def group_norm(channels: int) -> nn.GroupNorm:
    """Groups of `GROUP` channels, or one group if `GROUP` does not divide the channels (Wu & He 2018)."""
    return nn.GroupNorm(channels // GROUP if channels % GROUP == 0 else 1, channels)


def expected_positions(maps: Tensor) -> Tensor:
    """Expected coordinates in [-1, 1] under the softmax of each channel over the map (Levine et al. 2016, section 5.1).

    (N, C, h, w) -> (N, 2C), first all heights.
    """
    height, width = maps.shape[2:]
    weights = maps.float().flatten(2).softmax(2).unflatten(2, (height, width))
    rows = torch.linspace(-1, 1, height, device=maps.device)
    columns = torch.linspace(-1, 1, width, device=maps.device)
    return torch.cat([weights.sum(3) @ rows, weights.sum(2) @ columns], dim=1)


class FrameEncoder(nn.Module):
    """Convolutions with stride 2 to a coarse map, then a fully connected layer over the map and its positions.

    Args:
        shape: a frame and the size of the network; `width` counts channels at half resolution.
        features: length of the feature vector.
    """

    def __init__(self, shape: NetworkShape, features: int) -> None:
        super().__init__()
        sizes = coarse_sizes(shape)
        widths = shape.widths(len(sizes))
        inputs = [shape.channels, *widths[:-1]]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in zip(inputs, widths, strict=True))
        self.norms = nn.ModuleList(group_norm(w) for w in widths)
        self.last = nn.Conv2d(widths[-1], widths[-1], 3, padding=1)
        height, width = sizes[-1]
        self.fc = nn.Linear(widths[-1] * (height * width + 2), features)
        init_convolutions(self)

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Frames (N, C, H, W) in [-1, 1] -> vectors (N, features), and the maps, finest first."""
        maps = []
        h = images
        for conv, norm in zip(self.convs, self.norms, strict=True):
            h = F.leaky_relu(norm(conv(h)), 0.2)
            maps.append(h)
        h = self.last(h)
        positions = expected_positions(h)
        maps[-1] = F.leaky_relu(h, 0.2)
        flat = torch.cat([maps[-1].flatten(1), positions], dim=1)  # (N, C, h, w) -> (N, C*h*w + 2C)
        return F.leaky_relu(self.fc(flat), 0.2), maps


class PairDiscriminator(nn.Module):
    """From a start image and a later frame to a logit, high for a real frame of the clip.

    Args:
        shape: of one of the images, and the size of the network, as in `slim.Discriminator`; its classes are actions.
    """

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.discriminator = Discriminator(replace(shape, channels=2 * shape.channels))

    def forward(self, pairs: Tensor, labels: Tensor | None = None) -> Tensor:
        """Pairs (N, 2 C, H, W) in [-1, 1], the start image first -> logits (N,).

        labels: shares (N, A) of the actions between the images, if there are actions.
        """
        return self.discriminator(pairs, labels)

    def judge(self, pairs: Tensor, labels: Tensor | None = None) -> Tensor:
        """As `forward` -> logits (N, 1 + M): of the pair, then of its M places."""
        return self.discriminator.judge(pairs, labels)


class Layers(NamedTuple):
    """A start image that is split into K moving layers and a background."""

    moving: Tensor  # (B, K, C + 1, H, W): colours times coverage, then coverage in [0, 1]
    background: Tensor  # (B, C, H, W), also behind the layers
    layout: Tensor  # (B, K, 4): centroid and extent of what each layer shows

    def measure_shifts(self, frames: Tensor) -> Tensor:
        """Shift of each layer in each of `frames` (B, T, C, H, W), by cross-correlation: (B, T, K, 2)."""
        return measure_shifts(self.moving, frames)


class LayerSplitter(nn.Module):
    """Splits the start image into moving layers and a static background, by a U-Net over its maps.

    It runs once per clip, not once per frame, so it works at full resolution.

    Args:
        shape: as in `FrameEncoder`.
        layers: number of moving layers, K.
    """

    def __init__(self, shape: NetworkShape, layers: int) -> None:
        super().__init__()
        self.parts = layers + 1
        coarse = coarse_sizes(shape)
        channels, width = shape.channels, shape.width
        widths = shape.widths(len(coarse))[::-1]  # coarse to fine
        self.sizes = [*coarse[-2::-1], shape.height_width]
        skips, outputs = [*widths[1:], channels], [*widths[1:], width]
        self.convs = nn.ModuleList(
            nn.Conv2d(below + skip, out, 3, padding=1) for below, skip, out in zip(widths, skips, outputs, strict=True)
        )
        self.norms = nn.ModuleList(group_norm(w) for w in outputs)
        self.to_parts = nn.Conv2d(width, self.parts + channels, 3, padding=1)
        init_convolutions(self)

    def forward(self, start: Tensor, maps: list[Tensor]) -> Layers:
        """Start images (B, C, H, W) in [-1, 1] and their encoder maps -> their layers."""
        h = maps[-1]
        for size, conv, norm, skip in zip(self.sizes, self.convs, self.norms, [*maps[-2::-1], start], strict=True):
            h = F.leaky_relu(norm(conv(torch.cat([F.interpolate(h, size=size), skip], dim=1))), 0.2)
        masks, behind = self.to_parts(h).float().split((self.parts, start.shape[1]), dim=1)
        cover, stays = masks.softmax(1).split((self.parts - 1, 1), dim=1)  # (B, K, H, W), (B, 1, H, W)
        cover = cover.unsqueeze(2)
        moving = torch.cat([start.float().unsqueeze(1) * cover, cover], dim=2)
        # what differs from the mean is what a layer shows, also before its mask is learned
        contrast = (start.float() - start.float().mean((2, 3), keepdim=True)).square().mean(1, keepdim=True)
        layout = centroid_and_extent(cover.squeeze(2) * (contrast + LEAST_CONTRAST))
        return Layers(moving, stays * start + (1 - stays) * torch.tanh(behind), layout)


class FrameDecoder(nn.Module):
    """Frames that move, bend and redraw the start image.

    The layers are moved by the predicted motion and composited over the background. A U-Net over the composited frame
    and the core's map bends it by a dense flow, and mixes it with newly drawn pixels by a learned gate. Moved and bent
    pixels stay sharp; drawn pixels are unrestricted (Finn, Goodfellow & Levine 2016, section 3.2, mask predicted and
    copied pixels alike; a flow instead of kernels is that of Zhou et al. 2016, "View synthesis by appearance flow").

    Args:
        shape: as in `FrameEncoder`; decoding starts from maps of the encoder's coarsest shape.
        layers: number of moving layers, K.
    """

    def __init__(self, shape: NetworkShape, layers: int) -> None:
        super().__init__()
        self.sizes, channels = coarse_sizes(shape), shape.channels
        widths = shape.widths(len(self.sizes))  # fine to coarse
        self.split = LayerSplitter(shape, layers)
        # full resolution is expensive, so the U-Net begins at half resolution, with four pixels in each cell (Shi et
        # al. 2016, sub-pixel convolution)
        self.first = nn.Conv2d(4 * (channels + layers), widths[0], 3, padding=1)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(widths))
        self.down_norms = nn.ModuleList(group_norm(w) for w in widths[1:])
        self.up = nn.ModuleList(nn.Conv2d(b + a, a, 3, padding=1) for a, b in pairwise(widths))
        self.up_norms = nn.ModuleList(group_norm(w) for w in widths[:-1])
        self.to_flow = nn.Conv2d(widths[0], 2, 3, padding=1)
        self.to_image = nn.Conv2d(widths[0], 4 * (channels + 1), 3, padding=1)
        init_convolutions(self)
        for head in (self.to_flow, self.to_image):
            nn.init.normal_(head.weight, std=0.01)
        assert self.to_image.bias is not None
        nn.init.constant_(self.to_image.bias[-4:], CLOSED_GATE)

    def forward(self, layers: Layers, canvas: Tensor, shift: Tensor, sigma: Tensor, opening: float = 1.0) -> Tensor:
        """Frames (B, T, C, H, W) in [-1, 1].

        Args:
            canvas: maps of the core, (B * T, c, h, w).
            shift: (B, T, K, 2), down and to the right, as fractions of height and width.
            sigma: (B, T, K), standard deviation of the transport kernel in pixels.
            opening: factor on the flow and the gate; 0 shows only moved pixels.
        """
        moved = move(layers.moving, shift, sigma)  # (B, T, K, C + 1, H, W)
        frames = composite(moved, layers.background.unsqueeze(1)).flatten(0, 1)
        h = self._features(torch.cat([frames, moved[:, :, :, -1].flatten(0, 1)], dim=1), canvas)
        height, width = frames.shape[-2:]
        bent = bend(frames, opening * self.to_flow(h).float())
        drawn = F.pixel_shuffle(self.to_image(h), 2)[..., :height, :width].float()
        image, gate = drawn.split((drawn.shape[1] - 1, 1), dim=1)
        gate = opening * torch.sigmoid(gate)
        return ((1 - gate) * bent + gate * torch.tanh(image)).unflatten(0, shift.shape[:2])

    def _features(self, frames: Tensor, canvas: Tensor) -> Tensor:
        """Moved frames with the coverage of their layers (N, C + K, H, W), and maps of the core -> maps at half the
        size.
        """
        height, width = frames.shape[-2:]
        cells = F.pixel_unshuffle(F.pad(frames, (0, width % 2, 0, height % 2)), 2)
        h = F.leaky_relu(self.first(cells), 0.2)
        skips = [h]
        for conv, norm in zip(self.down, self.down_norms, strict=True):
            h = F.leaky_relu(norm(conv(h)), 0.2)
            skips.append(h)
        h = skips.pop() + canvas
        for conv, norm in zip(reversed(self.up), reversed(self.up_norms), strict=True):
            skip = skips.pop()
            h = torch.cat([F.interpolate(h, size=skip.shape[-2:]), skip], dim=1)
            h = F.leaky_relu(norm(conv(h)), 0.2)
        return h
