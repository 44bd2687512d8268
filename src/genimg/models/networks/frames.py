"""A frame to features, and features to a frame: the convolutional ends of the sequence model.

Both see single frames only, so the frames of all clips and times pass in one call; normalisation is by groups of
channels, so no frame depends on its batch.
"""

from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genimg.models.networks.blocks import ImageSize, as_pair, init_convolutions, pyramid, stage_widths
from genimg.models.networks.transport import lay_over, measure, move, whereabouts

SMALLEST = 8  # pixels of the coarsest map's shorter side: a position is read from maps, and 4 pixels tell too little
GROUP = 8  # channels normalised together
GATE_SHUT = -3.0  # sigmoid(-3) = 0.05: the drawn frame starts out nearly absent


def coarse_sizes(image_size: ImageSize) -> list[tuple[int, int]]:
    """Sizes of the maps between image and vector, half the image's first; one at least (8 -> 4)."""
    return pyramid(image_size, SMALLEST)[1:] or pyramid(image_size, SMALLEST // 2)[1:]


def coarsest_map(image_size: ImageSize, width: int, max_width: int) -> tuple[int, int, int]:
    """(channels, height, width) of the map that a frame ends as, and is drawn from."""
    sizes = coarse_sizes(image_size)
    return (stage_widths(len(sizes), width, max_width)[-1], *sizes[-1])


def group_norm(channels: int) -> nn.GroupNorm:
    """Groups of `GROUP` channels, or one group where that does not divide (Wu & He 2018)."""
    return nn.GroupNorm(channels // GROUP if channels % GROUP == 0 else 1, channels)


def expected_positions(maps: Tensor) -> Tensor:
    """Where each channel is active: its softmax over the map as weights of coordinates in [-1, 1].

    (N, C, h, w) -> (N, 2C), first all heights. Levine et al. 2016, section 5.1.
    """
    height, width = maps.shape[2:]
    weights = maps.float().flatten(2).softmax(2).unflatten(2, (height, width))
    rows = torch.linspace(-1, 1, height, device=maps.device)
    columns = torch.linspace(-1, 1, width, device=maps.device)
    return torch.cat([weights.sum(3) @ rows, weights.sum(2) @ columns], dim=1)


class FrameEncoder(nn.Module):
    """Convolutions of stride 2 to a coarse map, then a fully connected layer over it and over positions in it.

    Args:
        image_size, channels: of a frame.
        width: channels at half the image's size; doubled at every halving, up to `max_width`.
        features: length of the vector.
    """

    def __init__(self, image_size: ImageSize, channels: int, width: int, features: int, max_width: int = 64) -> None:
        super().__init__()
        sizes = coarse_sizes(image_size)
        widths = stage_widths(len(sizes), width, max_width)
        inputs = [channels, *widths[:-1]]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in zip(inputs, widths, strict=True))
        self.norms = nn.ModuleList(group_norm(w) for w in widths)
        self.last = nn.Conv2d(widths[-1], widths[-1], 3, padding=1)
        height, width_ = sizes[-1]
        self.fc = nn.Linear(widths[-1] * (height * width_ + 2), features)
        init_convolutions(self)

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(N, C, H, W) in [-1, 1] -> vectors (N, features), and the maps, fine to coarse."""
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


class Layers(NamedTuple):
    """A start image taken apart."""

    moving: Tensor  # (B, K, C + 1, H, W): colours times coverage, then coverage in [0, 1]
    background: Tensor  # (B, C, H, W), also behind the layers

    def places(self) -> Tensor:
        """Centre and extent of each layer, (B, K, 4)."""
        return whereabouts(self.moving[:, :, -1])

    def measure(self, frames: Tensor) -> Tensor:
        """How far each layer has moved in each of `frames` (B, T, C, H, W), by matching: (B, T, K, 2)."""
        return measure(self.moving, frames)


class LayerCutter(nn.Module):
    """Takes the start image apart into layers that move and a background that stays: a U-Net over its maps.

    Once a clip, not once a frame, so it can afford the full size. Arguments as in `FrameEncoder`; `layers` is K.
    """

    def __init__(self, image_size: ImageSize, channels: int, width: int, layers: int, max_width: int = 64) -> None:
        super().__init__()
        self.parts = layers + 1
        coarse = coarse_sizes(image_size)
        widths = stage_widths(len(coarse), width, max_width)[::-1]  # coarse to fine
        self.sizes = [*coarse[-2::-1], as_pair(image_size)]
        skips, outputs = [*widths[1:], channels], [*widths[1:], width]
        self.convs = nn.ModuleList(
            nn.Conv2d(below + skip, out, 3, padding=1) for below, skip, out in zip(widths, skips, outputs, strict=True)
        )
        self.norms = nn.ModuleList(group_norm(w) for w in outputs)
        self.to_parts = nn.Conv2d(width, self.parts + channels, 3, padding=1)
        init_convolutions(self)

    def forward(self, start: Tensor, maps: list[Tensor]) -> Layers:
        """Start images (B, C, H, W) in [-1, 1] and their maps of the encoder."""
        h = maps[-1]
        for size, conv, norm, skip in zip(self.sizes, self.convs, self.norms, [*maps[-2::-1], start], strict=True):
            h = F.leaky_relu(norm(conv(torch.cat([F.interpolate(h, size=size), skip], dim=1))), 0.2)
        masks, behind = self.to_parts(h).float().split((self.parts, start.shape[1]), dim=1)
        cover, stays = masks.softmax(1).split((self.parts - 1, 1), dim=1)  # (B, K, H, W), (B, 1, H, W)
        cover = cover.unsqueeze(2)
        moving = torch.cat([start.float().unsqueeze(1) * cover, cover], dim=2)
        return Layers(moving, stays * start + (1 - stays) * torch.tanh(behind))


class FrameDecoder(nn.Module):
    """Frames made of the start image's own pixels, moved, and of newly drawn ones where the gate opens.

    The layers are moved by the predicted motion and laid over the background; convolutions over the core's map and
    the moved layers draw a second image and the gate between the two. Moved pixels stay sharp, drawn ones can be
    anything (Finn, Goodfellow & Levine 2016, section 3.2, mask out what was predicted and what was copied alike).

    Arguments as in `FrameEncoder`; `layers` is K. The maps it starts from have the encoder's coarsest shape.
    """

    def __init__(self, image_size: ImageSize, channels: int, width: int, layers: int, max_width: int = 64) -> None:
        super().__init__()
        coarse = coarse_sizes(image_size)
        widths = stage_widths(len(coarse), width, max_width)[::-1]  # coarse to fine
        self.cut = LayerCutter(image_size, channels, width, layers, max_width)
        self.sizes = coarse[-2::-1]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(group_norm(w) for w in widths[1:])
        # Full size is where the time goes, so it is left to the layers: the drawn image is made at half the size,
        # four pixels to a cell (Shi et al. 2016, sub-pixel convolution).
        self.mix = nn.Conv2d(widths[-1] + 4 * layers * (channels + 1), widths[-1], 3, padding=1)
        self.to_image = nn.Conv2d(widths[-1], 4 * (channels + 1), 3, padding=1)
        init_convolutions(self)
        nn.init.normal_(self.to_image.weight, std=0.01)
        assert self.to_image.bias is not None
        nn.init.constant_(self.to_image.bias[-4:], GATE_SHUT)

    def forward(self, layers: Layers, canvas: Tensor, shift: Tensor, sigma: Tensor, opening: float = 1.0) -> Tensor:
        """Frames (B, T, C, H, W) in [-1, 1].

        Args:
            canvas: the core's maps (B * T, c, h, w).
            shift: (B, T, K, 2), down and to the right, in parts of height and width.
            sigma: (B, T, K), spread of the transport's kernel in pixels.
            opening: factor on the gate; 0 shows moved pixels alone.
        """
        moved = move(layers.moving, shift, sigma)  # (B, T, K, C + 1, H, W)
        frames = lay_over(moved, layers.background.unsqueeze(1))
        height, width = moved.shape[-2:]
        flat = F.pad(moved.flatten(0, 1).flatten(1, 2), (0, width % 2, 0, height % 2))
        h = canvas
        for size, conv, norm in zip(self.sizes, self.convs, self.norms, strict=True):
            h = F.interpolate(F.leaky_relu(norm(conv(h)), 0.2), size=size)
        h = F.leaky_relu(self.mix(torch.cat([h, F.pixel_unshuffle(flat, 2).to(h.dtype)], dim=1)), 0.2)
        drawn = F.pixel_shuffle(self.to_image(h), 2)[..., :height, :width].float()
        image, gate = drawn.unflatten(0, shift.shape[:2]).split((drawn.shape[1] - 1, 1), dim=2)
        gate = opening * torch.sigmoid(gate)
        return (1 - gate) * frames + gate * torch.tanh(image)
