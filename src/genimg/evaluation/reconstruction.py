"""How similar held-out images and their reconstructions are."""

from collections.abc import Callable

import torch
from torch import Tensor

from genimg.evaluation.features.extractor import Extractor
from genimg.evaluation.figure import Figure
from genimg.evaluation.metrics.lpips import LPIPS
from genimg.evaluation.metrics.similarity import COSINE, METRICS, cosine_distance, similarity

_BATCH = 250


def reconstruction_figures(
    images: Tensor,
    reconstruct: Callable[[Tensor, slice], Tensor],
    extractor: Extractor,
    device: torch.device,
    lpips: LPIPS | None,
) -> list[Figure]:
    """Metrics between images and their reconstructions. Floor: another of the images in place of the reconstruction.

    Args:
        images: uint8 (N, C, H, W), held-out.
        reconstruct: a batch of them, uint8, and its slice of the set -> uint8 of the same shape.
        lpips: None if it is not available.
    """
    features = extractor(images, device)
    # shifted by half the set: in a sorted set, an image is then compared with another class
    others = torch.arange(len(images)).roll(len(images) // 2)
    values: dict[str, list[Tensor]] = {}
    floors: dict[str, list[Tensor]] = {}
    for start in range(0, len(images), _BATCH):
        part = slice(start, start + _BATCH)
        made, other = reconstruct(images[part], part), others[part]
        compared = ((values, made, extractor(made, device)), (floors, images[other], features[other]))
        for results, candidates, vectors in compared:
            metrics = similarity(candidates, images[part], lpips)
            metrics[COSINE] = cosine_distance(vectors, features[part])
            for name, value in metrics.items():
                results.setdefault(name, []).append(value.double())
    note = "floor: another test image in place of the reconstruction"
    figures = []
    for name, parts in values.items():
        better, kind, unit = METRICS[name]
        value, floor = (float(torch.cat(batches).mean()) for batches in (parts, floors[name]))
        figures.append(Figure("reconstruction", name, value, kind, len(images), better, floor, unit=unit, note=note))
    return figures
