"""The metrics of an image model, and a sheet of samples with their nearest training images."""

from dataclasses import replace
from pathlib import Path

from torch import Tensor

from genimg.common.errors import UserError
from genimg.data.order import evenly_spaced_indices
from genimg.evaluation.cache import read_cache, write_cache
from genimg.evaluation.figure import Figure
from genimg.evaluation.metrics.lpips import load_lpips, unavailable
from genimg.evaluation.metrics.precision_recall import nearest
from genimg.evaluation.reconstruction import reconstruction_figures
from genimg.evaluation.sample_quality import NEIGHBOURS, REFERENCE_VERSION, Reference, reference, sample_quality
from genimg.evaluation.subject import Images, Subject, complement, too_few_hint
from genimg.models.base import Reconstructs
from genimg.sampling.images.files import save_png
from genimg.sampling.images.sheets import side_by_side, to_float, to_uint8

_SHEET = 24  # pairs of a sample and its nearest training image


def num_samples(images: Images, requested: int) -> int:
    """The number of samples to compare with as many test images.

    Raises:
        UserError: if there are too few images.
    """
    count = min(requested, len(images.reserved))
    if count <= NEIGHBOURS:
        expected = f"more than {NEIGHBOURS}: the metrics use {NEIGHBOURS} neighbours"
        raise UserError("num_images", count, expected, too_few_hint(requested, len(images.test), "images"))
    return count


def image_figures(subject: Subject, folder: Path) -> list[Figure]:
    """Sample quality and classes, and reconstruction if the model reconstructs. Writes `nearest.png` to `folder`."""
    test, train, count = subject.images.test, subject.images.train, subject.num_images
    real, fake = _reference(subject, count), _features(subject)
    figures = _quality(subject, real, fake)
    shown = to_uint8(subject.sampler.sample(min(_SHEET, count), **subject.drawing))
    _, index = nearest(fake[: len(shown)], real.train)
    save_png(
        side_by_side(shown, train[complement(len(train), subject.images.floor(count))[index]]), folder / "nearest.png"
    )
    return figures + _reconstructions(subject, evenly_spaced_indices(len(test), count))


def second_opinion(subject: Subject) -> list[Figure]:
    """Sample quality and classes by another extractor, whose name the metrics carry."""
    figures = _quality(subject, _reference(subject, subject.num_images), _features(subject))
    by = subject.extractor.name
    return [replace(figure, group="second opinion", name=f"{figure.name} by {by}") for figure in figures]


def _features(subject: Subject) -> Tensor:
    samples = map(to_uint8, subject.sampler.stream(subject.num_images, **subject.drawing))  # rounded as in image files
    return subject.extractor.stream(samples, subject.device)


def _quality(subject: Subject, real: Reference, fake: Tensor) -> list[Figure]:
    labels = subject.sampler.labels(None, subject.num_images)
    return sample_quality(real, fake, subject.extractor, None if labels is None else labels.cpu())


def _reference(subject: Subject, count: int) -> Reference:
    """The cached reference of `count` test images, as many reserved training images, and the other training images."""
    images, extractor = subject.images, subject.extractor
    floor = images.floor(count)
    key = ("reference", REFERENCE_VERSION, extractor.digest, count, len(images.train))
    path = subject.cache_file(*key) if extractor.cacheable else None
    if cached := read_cache(path):
        return Reference(**cached)
    parts = (
        images.test[evenly_spaced_indices(len(images.test), count)],
        images.train[floor],
        images.train[complement(len(images.train), floor)],
    )
    computed = reference(*(extractor(part, subject.device) for part in parts))
    write_cache(path, vars(computed))
    return computed


def _reconstructions(subject: Subject, chosen: Tensor) -> list[Figure]:
    sampler = subject.sampler
    if not isinstance(sampler.model, Reconstructs):
        return []
    classes = subject.class_names(chosen)

    def reconstruct(batch: Tensor, part: slice) -> Tensor:
        return to_uint8(sampler.reconstruct(to_float(batch), None if classes is None else classes[part]))

    lpips = None if unavailable() else load_lpips(subject.device)
    return reconstruction_figures(subject.images.test[chosen], reconstruct, subject.extractor, subject.device, lpips)
