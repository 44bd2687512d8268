"""Tables of images with changed styles: along directions, and mixed from two samples."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from genimg.common.errors import UserError
from genimg.models.base import HasStyles
from genimg.sampling.directions import STRENGTHS
from genimg.sampling.memory import check_kept
from genimg.sampling.settings import check_at_least
from genimg.sampling.source import CHUNK, Source, to_cpu


def stream_sliders(source: Source, directions: Sequence[str | int]) -> Iterator[Tensor]:
    """Yields (D, 7, C, H, W) for each image of a source; `Sampler.sliders` describes it."""
    trained = source.trained
    model = trained.styled("sliders", list(directions), "interpolate=8 shows changes of z")
    names = trained.directions.names(directions)
    check_at_least("sliders", len(names), 1, "directions")
    units = torch.stack([trained.directions.shift({name: 1.0}, "sliders") for name in names])
    shifts = units[:, None] * torch.tensor(STRENGTHS, device=source.device)[:, None]  # (D, 7, W)
    source.check_memory()
    check_kept("sliders", len(names) * len(STRENGTHS), trained.image_shape, "fewer directions")
    return _stream(source, model, shifts)


@torch.no_grad()
def _stream(source: Source, model: HasStyles, shifts: Tensor) -> Iterator[Tensor]:
    for position in range(source.count):
        w = _styles(source, position, position + 1) + shifts.flatten(0, 1)
        yield _draw(model, w).unflatten(0, shifts.shape[:2])


@torch.no_grad()
def mix_styles(coarse: Source, fine: Source, mix_layer: int | None) -> Tensor:
    """(R, C, channels, H, W) of two sources of one model; `Sampler.mix` describes it."""
    model = coarse.trained.styled("mix_seeds", fine.settings.seeds, "interpolate=8 mixes z")
    last = model.num_styles - 1
    first_fine = (last + 1) // 2 if mix_layer is None else mix_layer
    if not 1 <= first_fine <= last:
        raise UserError("mix_layer", mix_layer, f"1 to {last}, the finest layer of this model, or null")
    coarse.check_memory()
    check_kept("mix_seeds", coarse.count * fine.count, coarse.trained.image_shape, "fewer seeds")
    columns = _styles(fine, 0, fine.count)
    images = []
    for w in _styles(coarse, 0, coarse.count):
        layers = w.expand(len(columns), last + 1, -1).clone()
        layers[:, first_fine:] = columns[:, None]
        images.append(_draw(model, layers))
    return torch.stack(images)


def _styles(source: Source, begin: int, end: int) -> Tensor:
    """The styles w (N, W) of the samples `begin` to `end` - 1."""
    return source.styles(source.latents(source.noise(begin, end)), source.labels(begin, end))


def _draw(model: HasStyles, w: Tensor) -> Tensor:
    return to_cpu(torch.cat([model.draw(part) for part in w.split(CHUNK)]))
