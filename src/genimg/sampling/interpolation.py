"""Interpolation from each latent of a source to the next, as rows of images."""

import torch
from torch import Tensor

from genimg.sampling.latents import slerp
from genimg.sampling.settings import check_at_least
from genimg.sampling.source import Source, chunks, to_cpu


@torch.no_grad()
def interpolate(source: Source, steps: int) -> Tensor:
    """(N, steps + 1, C, H, W); `Sampler.interpolate` describes it."""
    check_at_least("interpolate", steps, 1)
    key = "num_images" if source.settings.seeds is None else "seeds"
    check_at_least(key, source.count, 2, "images with interpolate")
    source.trained.decoder("interpolate", steps)
    z, labels = source.latents(source.noise(0, source.count)), source.labels(0, source.count)
    if labels is not None:
        order = source.classes.grouped(source.count)
        z, labels = z[order], labels[order]
    t = torch.linspace(0, 1, steps + 1, device=source.device)
    rows = []
    for left in range(source.count):
        right = (left + 1) % source.count
        path = slerp(z[left], z[right], t)
        both = None if labels is None else _label_path(labels[left], labels[right], t)
        images = [source.decode(path[part], None if both is None else both[part]) for part in chunks(steps + 1)]
        rows.append(to_cpu(torch.cat(images)))
    return torch.stack(rows)


def _label_path(start: Tensor, end: Tensor, t: Tensor) -> Tensor:
    """From one class to another at the times t (T,): (T,), which changes half-way, or weights (T, K) of mixtures."""
    if start.is_floating_point():
        return torch.lerp(start[None], end[None], t[:, None])
    return torch.where(t < 0.5, start, end)
