"""The figures of a model of sequences, from the first frames of held-out clips."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from genimg.common.errors import UserError
from genimg.data.order import evenly_spaced_indices
from genimg.evaluation.figure import Figure
from genimg.evaluation.perceptual import lpips, missing
from genimg.evaluation.sequences import clip_fidelity, clip_vectors, futures
from genimg.evaluation.subject import Images, Subject, too_few
from genimg.sampling.images.sheets import to_float, to_uint8

CLIPS, FUTURES = 200, 4  # clips that futures are compared with, at most, and how many of each


def compared_clips(images: Images, asked: int) -> int:
    """How many test clips futures are compared with. UserError where they are too few."""
    count = min(asked, CLIPS, len(images.test), len(images.train))
    if count < 2:
        raise UserError("num_images", count, "2 or more", too_few(asked, len(images.test), "clips"))
    return count


def clips(subject: Subject) -> list[Figure]:
    """Futures against what came, and the Frechet distance of clips."""
    test, train, count = subject.images.test, subject.images.train, subject.num_images
    chosen = evenly_spaced_indices(len(test), count)
    real, floor = test[chosen], train[evenly_spaced_indices(len(train), count)]
    firsts: list[Tensor] = []
    perceptual = None if missing() else lpips(subject.device)
    figures = futures(real, _drawn(subject, chosen, firsts), FUTURES, subject.extractor, subject.device, perceptual)
    still = real[:, :1].expand_as(real)
    compared = (real, floor, torch.cat(firsts), still)
    return figures + clip_fidelity(*(clip_vectors(part, subject.extractor, subject.device) for part in compared))


def _drawn(subject: Subject, chosen: Tensor, firsts: list[Tensor]) -> Iterator[Tensor]:
    """FUTURES of each clip, uint8 (n, FUTURES, T, C, H, W); the first of each is also put into `firsts`."""
    real = subject.images.test[chosen]
    options: dict[str, Any] = {"seed": subject.seed, "futures": FUTURES, "num_frames": real.shape[1]}
    start, labels = to_float(real[:, 0]), subject.classes_of_test(chosen)
    for piece in subject.sampler.stream(len(real), start=start, classes=labels, **options):
        made = to_uint8(piece).unflatten(0, (-1, FUTURES))
        firsts.append(made[:, 0])
        yield made
