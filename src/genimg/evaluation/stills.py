"""The figures of a model of still images, and the sheet of what its samples are nearest to."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from genimg.common.errors import UserError
from genimg.data.order import evenly_spaced_indices
from genimg.evaluation.features.kept import keep, read
from genimg.evaluation.fidelity import NEIGHBOURS, RECIPE, Reference, fidelity, reference
from genimg.evaluation.figure import Figure
from genimg.evaluation.metrics.neighbours import nearest
from genimg.evaluation.perceptual import lpips, missing
from genimg.evaluation.structure import structure
from genimg.evaluation.subject import Images, Subject, others, too_few
from genimg.sampling.images.files import save_png
from genimg.sampling.images.sheets import side_by_side, to_float, to_uint8
from genimg.sampling.sampler import Reconstructs

_ON_SHEET = 24  # pairs of a sample and its nearest training image


def compared_stills(images: Images, asked: int) -> int:
    """How many samples are compared with as many test images. UserError where they are too few."""
    count = min(asked, len(images.test), len(images.train) // 2)
    if count <= NEIGHBOURS:
        expected = f"more than {NEIGHBOURS}: the figures look at {NEIGHBOURS} neighbours"
        raise UserError("num_images", count, expected, too_few(asked, len(images.test), "images"))
    return count


def stills(subject: Subject, folder: Path) -> list[Figure]:
    """Fidelity, diversity, classes and copies; structure where the model reconstructs. Writes `nearest.png`."""
    test, train, count = subject.images.test, subject.images.train, subject.num_images
    real = _reference(subject, count)
    shown: list[Tensor] = []
    fake = subject.extractor.stream(_drawn(subject, count, shown), subject.device)
    asked = subject.sampler.labels(None, count)
    figures = fidelity(real, fake, subject.extractor, None if asked is None else asked.cpu())
    first = torch.cat(shown)[:_ON_SHEET]
    _, index = nearest(fake[: len(first)], real.train)
    save_png(side_by_side(first, train[others(len(train), count)[index]]), folder / "nearest.png")
    return figures + _structure(subject, evenly_spaced_indices(len(test), count))


def _reference(subject: Subject, count: int) -> Reference:
    """Of `count` test images, as many training images, and the other training images; kept."""
    images, extractor = subject.images, subject.extractor
    kept = subject.kept("reference", RECIPE, extractor.digest, count, len(images.train)) if extractor.known else None
    if found := read(kept):
        return Reference(**found)
    parts = (
        images.test[evenly_spaced_indices(len(images.test), count)],
        images.train[evenly_spaced_indices(len(images.train), count)],
        images.train[others(len(images.train), count)],
    )
    made = reference(*(extractor(part, subject.device) for part in parts))
    keep(vars(made), kept)
    return made


def _drawn(subject: Subject, count: int, shown: list[Tensor]) -> Iterator[Tensor]:
    """Samples, rounded as image files are; the first pieces are also put into `shown`."""
    for piece in subject.sampler.stream(count, seed=subject.seed):
        rounded = to_uint8(piece)
        if sum(map(len, shown)) < _ON_SHEET:
            shown.append(rounded)
        yield rounded


def _structure(subject: Subject, chosen: Tensor) -> list[Figure]:
    sampler = subject.sampler
    if not isinstance(sampler.model, Reconstructs):
        return []
    classes = subject.classes_of_test(chosen)

    def reconstruct(part: Tensor, where: slice) -> Tensor:
        return to_uint8(sampler.reconstruct(to_float(part), None if classes is None else classes[where]))

    perceptual = None if missing() else lpips(subject.device)
    return structure(subject.images.test[chosen], reconstruct, subject.extractor, subject.device, perceptual)
