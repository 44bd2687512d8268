"""Frames to features and back."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genimg.networks.blocks import ImageSize, pyramid, stage_widths

GROUP = 8


def norm(channels: int) -> nn.GroupNorm:
    groups = channels // GROUP if channels % GROUP == 0 else 1
    return nn.GroupNorm(groups, channels)


def spatial_softmax(maps: Tensor) -> Tensor:
    """(N, C, h, w) -> (N, 2C)"""
    height, width = maps.shape[-2:]
    w = maps.float().flatten(2).softmax(2).unflatten(2, (height, width))
    y = (w.sum(3) * torch.linspace(-1, 1, height, device=maps.device)).sum(2)
    x = (w.sum(2) * torch.linspace(-1, 1, width, device=maps.device)).sum(2)
    return torch.cat([y, x], 1)


class FrameEncoder(nn.Module):
    def __init__(self, image_size: ImageSize, channels: int, width: int, features: int = 128, max_width: int = 64, smallest: int = 8):
        super().__init__()
        sizes = pyramid(image_size, smallest)[1:]
        widths = stage_widths(len(sizes), width, max_width)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in zip([channels, *widths[:-1]], widths))
        self.norms = nn.ModuleList(norm(b) for b in widths)
        self.last = nn.Conv2d(widths[-1], widths[-1], 3, padding=1)
        self.map_shape = (widths[-1], *sizes[-1])
        h, w = sizes[-1]
        self.fc = nn.Linear(widths[-1] * h * w + 2 * widths[-1], features)

    def forward(self, images):
        maps = []
        h = images
        for c, n in zip(self.convs, self.norms):
            h = F.leaky_relu(n(c(h)), 0.2)
            maps.append(h)
        h = self.last(h)
        points = spatial_softmax(h)
        h = F.leaky_relu(h, 0.2)
        vec = F.leaky_relu(self.fc(torch.cat([h.flatten(1), points], 1)), 0.2)
        return vec, [*maps[:-1], h]


class LayerCutter(nn.Module):
    """U-net upward half on the start picture -> K layers (B,K,C+1,H,W) and background weight."""
    def __init__(self, image_size, channels, width, layers, max_width=64, smallest=8):
        super().__init__()
        self.sizes = pyramid(image_size, smallest)[::-1]
        widths = stage_widths(len(self.sizes) - 1, width, max_width)[::-1]
        skips = [*widths[1:], channels]
        outs = [*widths[1:], widths[-1]]
        self.convs = nn.ModuleList(nn.Conv2d(a + s, b, 3, padding=1) for a, s, b in zip(widths, skips, outs))
        self.norms = nn.ModuleList(norm(b) for b in outs)
        self.to_masks = nn.Conv2d(outs[-1], layers + 1, 3, padding=1)

    def forward(self, images, maps):
        h = maps[-1]
        skips = [*maps[:-1][::-1], images]
        for size, c, n, s in zip(self.sizes[1:], self.convs, self.norms, skips):
            h = F.leaky_relu(n(c(torch.cat([F.interpolate(h, size=size), s], 1))), 0.2)
        return self.to_masks(h).float().softmax(1)  # (B, K+1, H, W)


class FrameDecoder(nn.Module):
    """Half-resolution features, then sub-pixel."""
    def __init__(self, image_size, channels, width, extra, max_width=64, smallest=8):
        super().__init__()
        self.sizes = pyramid(image_size, smallest)[1:][::-1]
        self.size = pyramid(image_size)[0]
        widths = stage_widths(len(self.sizes), width, max_width)[::-1]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in zip(widths[:-1], widths[1:]))
        self.norms = nn.ModuleList(norm(b) for b in widths[1:])
        self.mix = nn.Conv2d(widths[-1] + 4 * extra, widths[-1], 3, padding=1)
        self.to_image = nn.Conv2d(widths[-1], 4 * (channels + 1), 3, padding=1)
        nn.init.zeros_(self.to_image.weight)
        with torch.no_grad():
            self.to_image.bias.zero_(); self.to_image.bias[-4:] = -3

    def forward(self, maps, moved):
        h = maps
        for size, c, n in zip(self.sizes[1:], self.convs, self.norms):
            h = F.interpolate(F.leaky_relu(n(c(h)), 0.2), size=size)
        H, W = moved.shape[-2:]
        m = F.pixel_unshuffle(F.pad(moved, (0, W % 2, 0, H % 2)), 2)
        h = F.leaky_relu(self.mix(torch.cat([h, m.to(h.dtype)], 1)), 0.2)
        out = F.pixel_shuffle(self.to_image(h), 2)[..., :H, :W].float()
        picture, gate = out.split((out.shape[1] - 1, 1), dim=1)
        return torch.tanh(picture), torch.sigmoid(gate)
