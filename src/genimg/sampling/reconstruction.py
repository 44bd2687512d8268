"""Images taken apart and put together: their latents, the images of latents, and both in turn."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from genimg.common.errors import UserError
from genimg.models.base import HasLatents
from genimg.sampling.classes import Classes
from genimg.sampling.memory import check_chunk
from genimg.sampling.source import CHUNK, chunks, to_cpu
from genimg.sampling.trained import TrainedModel


def stream_reconstructions(trained: TrainedModel, images: Tensor, classes: Classes | None) -> Iterator[Tensor]:
    """Yields the reconstructions of images, at most `CHUNK` at a time; `Sampler.reconstruct` describes it."""
    model = trained.encoder("reconstruct")
    labels = _labels(trained, len(images), classes, model.reconstructs_classes)
    return _stream(trained, "reconstruct", images, labels)


def encode(trained: TrainedModel, images: Tensor, classes: Classes | None) -> Tensor:
    """The latents of images; `Sampler.encode` describes it."""
    model = trained.model
    if trained.makes_sequences or not isinstance(model, HasLatents):
        expected = "a model with an encoder to vectors: model=vae or draw"
        raise UserError("encode", type(model).__name__, expected, "project finds latents of a GAN")
    labels = _labels(trained, len(images), classes, required=True)
    return torch.cat(list(_stream(trained, "latents_of", images, labels)))


def stream_decoded(trained: TrainedModel, latents: Tensor, classes: Classes | None) -> Iterator[Tensor]:
    """Yields the images of latents, at most `CHUNK` at a time; `Sampler.decode` describes it."""
    model = trained.decoder("decode", type(trained.model).__name__)
    if latents.shape[1:] != (model.latent_dim,):
        raise UserError("decode", tuple(latents.shape), f"latents (N, {model.latent_dim})")
    method = "images_of" if isinstance(model, HasLatents) else "decode"
    return _stream(trained, method, latents, _labels(trained, len(latents), classes, required=True))


def _labels(trained: TrainedModel, count: int, classes: Classes | None, required: bool) -> Tensor | None:
    if not required and classes is None:
        return None
    return trained.classes_of(count, classes).labels(0, count, trained.device)


def _stream(trained: TrainedModel, method: str, values: Tensor, labels: Tensor | None) -> Iterator[Tensor]:
    """Yields what a method of the model returns for values and their labels, at most `CHUNK` at a time."""
    first = min(CHUNK, len(values))

    @torch.no_grad()
    def call(without_values: Any) -> Tensor:
        given = torch.empty(first, *values.shape[1:])
        return getattr(without_values, method)(given, None if labels is None else labels[:first])

    check_chunk(trained.model, call, 0, "use a machine with more memory")
    return _parts(trained, getattr(trained.model, method), values, labels)


@torch.no_grad()
def _parts(
    trained: TrainedModel, method: Callable[..., Tensor], values: Tensor, labels: Tensor | None
) -> Iterator[Tensor]:
    for part in chunks(len(values)):
        yield to_cpu(method(values[part].to(trained.device), None if labels is None else labels[part]))
