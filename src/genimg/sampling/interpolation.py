"""Interpolation from each latent to the next, as rows of images."""

from collections.abc import Callable

import torch
from torch import Tensor

from genimg.sampling.latents import slerp
from genimg.sampling.memory import check_kept
from genimg.sampling.projected import Latents, decode
from genimg.sampling.settings import check_at_least
from genimg.sampling.source import Source, chunks, to_cpu
from genimg.sampling.trained import TrainedModel


@torch.no_grad()
def interpolate(source: Source, steps: int) -> Tensor:
    """(N, steps + 1, C, H, W); `Sampler.interpolate` describes it."""
    check_at_least("interpolate", steps, 1)
    key = "num_images" if source.settings.seeds is None else "seeds"
    check_at_least(key, source.count, 2, "images with interpolate")
    source.trained.decoder("interpolate", steps)
    source.check_memory()
    z, labels = source.latents(source.noise(0, source.count)), source.labels(0, source.count)
    if labels is not None:
        order = source.classes.grouped(source.count)
        z, labels = z[order], labels[order]
    return _walk(source.trained, z, labels, steps, slerp, source.decode)


@torch.no_grad()
def walk(trained: TrainedModel, latents: Latents, steps: int, shift: Tensor | None = None) -> Tensor:
    """(N, steps + 1, C, H, W): from each of the latents of given images to the next, and from the last to the first.

    Styles are interpolated linearly, z spherically. shift: added to every style, (W,).
    """
    check_at_least("interpolate", steps, 1)
    check_at_least("interpolate", len(latents), 2, "images with interpolate")
    labels = None if latents.labels is None else latents.labels.to(trained.device)

    def draw(values: Tensor, chosen: Tensor | None) -> Tensor:
        return decode(trained, values, latents.space, chosen, shift)

    return _walk(
        trained, latents.values.to(trained.device), labels, steps, slerp if latents.space == "z" else _lerp, draw
    )


def _walk(
    trained: TrainedModel,
    values: Tensor,
    labels: Tensor | None,
    steps: int,
    between: Callable[[Tensor, Tensor, Tensor], Tensor],
    draw: Callable[[Tensor, Tensor | None], Tensor],
) -> Tensor:
    """The images (N, steps + 1, C, H, W) of the paths `between(start, end, t)` from each of the values to the next."""
    hint = "a smaller interpolate or num_images"
    check_kept("interpolate", len(values) * (steps + 1), trained.image_shape, hint)
    t = torch.linspace(0, 1, steps + 1, device=values.device)
    rows = []
    for left in range(len(values)):
        right = (left + 1) % len(values)
        path = between(values[left], values[right], t)
        both = None if labels is None else _label_path(labels[left], labels[right], t)
        images = [draw(path[part], None if both is None else both[part]) for part in chunks(steps + 1)]
        rows.append(to_cpu(torch.cat(images)))
    return torch.stack(rows)


def _lerp(start: Tensor, end: Tensor, t: Tensor) -> Tensor:
    """From `start` to `end` at the times t (T,), (T, *shape)."""
    return torch.lerp(start[None], end[None], t.view(-1, *[1] * start.dim()))


def _label_path(start: Tensor, end: Tensor, t: Tensor) -> Tensor:
    """From one class to another at the times t (T,): (T,), which changes half-way, or weights (T, K) of mixtures."""
    return _lerp(start, end, t) if start.is_floating_point() else torch.where(t < 0.5, start, end)
