"""Reconstructions of given images: encoded and decoded again."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from genimg.models.base import Reconstructs
from genimg.sampling.classes import Classes
from genimg.sampling.memory import check_chunk
from genimg.sampling.source import CHUNK, chunks, to_cpu
from genimg.sampling.trained import TrainedModel


def stream_reconstructions(trained: TrainedModel, images: Tensor, classes: Classes | None) -> Iterator[Tensor]:
    """Yields the reconstructions of images, at most `CHUNK` at a time; `Sampler.reconstruct` describes it."""
    model = trained.encoder("reconstruct")
    labels = None
    if model.reconstructs_classes or classes is not None:
        labels = trained.classes_of(len(images), classes).labels(0, len(images), trained.device)
    first = min(CHUNK, len(images))

    @torch.no_grad()
    def reconstruct(without_values: Any) -> Tensor:
        given = torch.empty(first, *images.shape[1:])
        return without_values.reconstruct(given, None if labels is None else labels[:first])

    check_chunk(trained.model, reconstruct, 0, "use a machine with more memory")
    return _stream(trained, model, images, labels)


@torch.no_grad()
def _stream(trained: TrainedModel, model: Reconstructs, images: Tensor, labels: Tensor | None) -> Iterator[Tensor]:
    for part in chunks(len(images)):
        yield to_cpu(model.reconstruct(images[part].to(trained.device), None if labels is None else labels[part]))
