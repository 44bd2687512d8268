"""How probable held-out images are under a model, where the model says so."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from genimg.evaluation.figure import Figure
from genimg.models.base import Batch, HasLikelihood


def refusal(model: object) -> str | None:
    """Why this model gets no likelihood; None if it gets one."""
    if not isinstance(model, HasLikelihood):
        return f"{type(model).__name__} gives no probability of an image"
    return model.no_likelihood()


@torch.no_grad()
def likelihood(
    model: HasLikelihood,
    batches: Sequence[Batch],
    labelled: bool,
    samples: int,
    generator: torch.Generator,
    floor: Tensor,
) -> list[Figure]:
    """Nats an image and bits a dimension, by the importance-weighted bound with `samples` draws.

    Args:
        batches: normalised, on the model's device.
        floor: nats (N,) of the same images by their pixels alone: `independent_log_likelihood`.
    """
    values = [
        model.log_likelihood(
            batch["images"], batch["labels"] if labelled else None, samples=samples, generator=generator
        ).double()
        for batch in batches
    ]
    nats = torch.cat(values)
    dimensions = batches[0]["images"][0].numel()
    kind, n = f"lower bound, K = {samples}", len(nats)
    error = float(nats.std() / math.sqrt(n)) if n > 1 else None
    bits, floor_bits = (-float(mean) / (dimensions * math.log(2)) for mean in (nats.mean(), floor.mean()))
    return [
        Figure(
            "likelihood",
            "log p(x | class)" if labelled else "log p(x)",
            float(nats.mean()),
            kind,
            n,
            "higher",
            floor=float(floor.mean()),
            uncertainty=error,
            unit="nats an image",
            note="under the prior N(0, I); floor: each pixel's histogram in training images, alone",
        ),
        Figure(
            "likelihood",
            "bits_per_dim",
            bits,
            f"upper bound, K = {samples}",
            n,
            "lower",
            floor=floor_bits,
            unit="bits",
            note="pixels told as they are take 8",
        ),
    ]
