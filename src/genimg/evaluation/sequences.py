"""How the futures of a sequence model compare with what really came, and with an image that stands still."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

import torch
from torch import Tensor

from genimg.evaluation.features.extractor import Extractor
from genimg.evaluation.figure import Better, Figure, shown
from genimg.evaluation.metrics.frechet import frechet_distance
from genimg.evaluation.perceptual import Perceptual
from genimg.evaluation.structure import COSINE, LPIPS, MS_SSIM, PROXIES, cosine_distance, pixel_figures

_PART = 100  # frames compared at once

#: {name: (which way is better, unit)}; sums are over a frame, as papers on moving digits have them
NAMES: dict[str, tuple[Better, str]] = {
    "mse": ("lower", "a pixel, images in [0, 1]"),
    "mse summed": ("lower", "a frame, images in [0, 1]"),
    "psnr": ("higher", "dB"),
    "ssim": ("higher", ""),
    MS_SSIM: ("higher", ""),
    COSINE: ("lower", ""),
    LPIPS: ("lower", ""),
}


def futures(
    clips: Tensor,
    drawn: Iterator[Tensor],
    count: int,
    extractor: Extractor,
    device: torch.device,
    perceptual: Perceptual | None,
) -> list[Figure]:
    """Free-running futures from the first frame of held-out clips, by horizon, beside that frame held still.

    Args:
        clips: uint8 (N, T, C, H, W).
        drawn: (n, count, T, C, H, W), uint8, for the clips in order.
        count: futures of each clip: K of the best, which is the one with the smallest mse over the clip.
        perceptual: LPIPS, where it can be had.
    """
    parts: dict[str, list[Tensor]] = {}
    position = 0
    for made in drawn:
        truth = clips[position : position + len(made)]
        position += len(made)
        every = frame_figures(made[:, :, 1:], truth[:, None, 1:].expand_as(made[:, :, 1:]), perceptual)  # (n, K, T - 1)
        still = frame_figures(truth[:, :1].expand_as(truth)[:, 1:], truth[:, 1:], perceptual)  # (n, T - 1)
        of_truth, of_made = (frame_features(part, extractor, device) for part in (truth, made[:, :, 1:]))
        every[COSINE] = cosine_distance(of_made, of_truth[:, None, 1:])
        still[COSINE] = cosine_distance(of_truth[:, :1], of_truth[:, 1:])
        best = every["mse"].mean(2).argmin(1)
        for name, values in every.items():
            parts.setdefault(f"mean/{name}", []).append(values.mean(1))
            parts.setdefault(f"best/{name}", []).append(values[torch.arange(len(values)), best])
            parts.setdefault(f"still/{name}", []).append(still[name])
        parts.setdefault("diversity", []).append(diversity(made[:, :, 1:]))
        # of far apart: neighbours can be of one video
        others = (torch.arange(position - len(made), position) + len(clips) // 2) % len(clips)
        of_two = torch.stack([truth, clips[others]], dim=1)
        parts.setdefault("apart", []).append(diversity(of_two[:, :, 1:]))
    horizon = {name: torch.cat(values).mean(0) for name, values in parts.items()}  # (T - 1,) each
    n = len(clips)
    figures = []
    for which, words in (("mean", f"one future, mean of {count}"), ("best", f"best of {count}")):
        for name, (better, unit) in NAMES.items():
            if f"{which}/{name}" not in horizon:  # MS-SSIM of small frames, LPIPS without its weights
                continue
            value, floor = horizon[f"{which}/{name}"], horizon[f"still/{name}"]
            note = f"{words}; floor: the start held still"
            kind = "proxy" if name in PROXIES else "exact"
            found = Figure("sequences", f"{name}, {which}", float(value.mean()), kind, n, better, float(floor.mean()))
            horizons = {"by_horizon": rounded(value), "floor_by_horizon": rounded(floor)}
            figures.append(replace(found, unit=unit, note=note, **horizons))
    spread, apart = horizon["diversity"], float(horizon["apart"].mean())
    note = "mse between two futures of one start; 0: all alike; floor: between two test clips"
    found = Figure("sequences", "diversity", float(spread.mean()), "exact", n, floor=apart, note=note)
    figures.append(replace(found, by_horizon=rounded(spread)))
    return figures


def frame_figures(made: Tensor, real: Tensor, perceptual: Perceptual | None) -> dict[str, Tensor]:
    """uint8 (..., C, H, W) -> a value a frame, (...)."""
    shape = made.shape[:-3]
    parts: list[dict[str, Tensor]] = []
    for a, b in zip(made.flatten(0, -4).split(_PART), real.flatten(0, -4).split(_PART), strict=True):
        seen = {} if perceptual is None else {LPIPS: perceptual(a, b)}
        parts.append(pixel_figures(a.float() / 255, b.float() / 255) | seen)
    values = {name: torch.cat([part[name] for part in parts]).double().reshape(shape) for name in parts[0]}
    return values | {"mse summed": values["mse"] * made.shape[-3:].numel()}


def frame_features(clips: Tensor, extractor: Extractor, device: torch.device) -> Tensor:
    """uint8 (..., C, H, W) -> (..., D)."""
    return extractor(clips.flatten(0, -4), device).unflatten(0, clips.shape[:-3])


def diversity(made: Tensor) -> Tensor:
    """Mean squared error, in [0, 1], between two futures: uint8 (n, K, T, C, H, W) -> (n, T); 0 where K is 1."""
    pairs = list(combinations(range(made.shape[1]), 2))
    if not pairs:
        return torch.zeros(made.shape[0], made.shape[2], dtype=torch.float64)
    images = made.double() / 255
    return torch.stack([(images[:, a] - images[:, b]).square().mean((2, 3, 4)) for a, b in pairs]).mean(0)


def clip_vectors(clips: Tensor, extractor: Extractor, device: torch.device) -> Tensor:
    """uint8 (N, T, C, H, W) -> (N, 2 D): the mean of the frames' features, and of how much they change a frame."""
    frames = frame_features(clips, extractor, device)  # (N, T, D)
    return torch.cat([frames.mean(1), frames.diff(dim=1).abs().mean(1)], dim=1)


def clip_fidelity(test: Tensor, floor: Tensor, fake: Tensor, still: Tensor) -> list[Figure]:
    """The Frechet distance of clip vectors (N, 2 D). It is no FVD, which has another network."""
    value, least, standing = (frechet_distance(test, other) for other in (fake, floor, still))
    note = f"of clip features: mean over frames, and mean change a frame; starts held still: {shown(standing)}"
    return [Figure("sequences", "frechet distance", value, "proxy", len(fake), "lower", least, note=note)]


def rounded(values: Tensor) -> tuple[float, ...]:
    """Six significant digits: a file to read."""
    return tuple(float(f"{value:.6g}") for value in values.tolist())
