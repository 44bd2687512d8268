"""`task=evaluate`: the metrics of a run as a table, evaluation.json and TensorBoard scalars."""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from genimg.checkpoints.read import Checkpoint, load_checkpoint
from genimg.checkpoints.schema import versions
from genimg.common.files import report_write_errors
from genimg.common.run_folder import RunFolder, output_folder
from genimg.data.cache import cache_folder
from genimg.evaluation.cache import cache_file
from genimg.evaluation.features.choose import Request, extractor
from genimg.evaluation.figure import Figure, counted, table
from genimg.evaluation.images import image_figures, num_samples, second_opinion
from genimg.evaluation.likelihood import likelihood_figures, no_likelihood, write_bits
from genimg.evaluation.metrics import lpips
from genimg.evaluation.results import Evaluation, log_to_tensorboard, write_evaluation
from genimg.evaluation.sequences import num_clips, sequence_figures
from genimg.evaluation.subject import Drawing, Images, Subject, load_data, read_images
from genimg.models.base import DrawsPixels, Reconstructs
from genimg.models.networks.capabilities import ReadsFeatures
from genimg.sampling.load import checkpoint_file, from_checkpoint
from genimg.sampling.sampler import Sampler
from genimg.sampling.source import CHUNK

log = logging.getLogger(__name__)

_COLUMNS = 160  # width of the table without a terminal
_TIMED = CHUNK * 4  # samples that are timed, after a warm-up of one chunk


@dataclass(frozen=True)
class EvaluateSettings:
    """The settings of configs/evaluate.yaml, which describes them."""

    run: str
    checkpoint: str
    num_images: int
    features: str
    weights: str | None
    importance_samples: int
    seed: int
    temperature: float
    guidance: float | None
    truncation: float | None
    truncation_psi: float | None
    root: str | None
    cache: bool | str
    device: str
    out: str | None
    outputs: str
    trust: list[str]

    @property
    def drawing(self) -> Drawing:
        """The settings that decide how the samples are drawn."""
        return {
            "seed": self.seed,
            "temperature": self.temperature,
            "guidance": self.guidance,
            "truncation": self.truncation,
            "truncation_psi": self.truncation_psi,
        }


def evaluate(settings: EvaluateSettings) -> Path:
    """Evaluates a run. Returns the folder with the results."""
    started = time.monotonic()
    file = checkpoint_file(settings.run, settings.checkpoint)
    checkpoint = load_checkpoint(file)
    sampler = from_checkpoint(checkpoint, settings.device, settings.trust)
    sampler.source(1, **settings.drawing)  # checks them
    log.info("%s (%s images seen)", file, f"{checkpoint['images_seen']:,}")
    folder = _create_folder(Path(settings.out).expanduser() if settings.out else output_folder(file))
    data = load_data(checkpoint, settings.root, settings.trust)
    images = read_images(data)
    count = (num_clips if sampler.makes_sequences else num_samples)(images, settings.num_images)
    cache = cache_folder(settings.cache, "evaluation")
    request = _request(settings, data, images, cache, sampler)
    network = extractor(settings.features, request, settings.trust)
    facts = {"name": network.name, "digest": network.digest, **network.facts}
    details = "  ".join(f"{name} {_format(value)}" for name, value in network.facts.items())
    log.info("features  %s  %s  %s", network.name, network.digest[:12], details)
    subject = Subject(sampler, images, network, data.fingerprint, count, settings.drawing, cache)
    figures = sequence_figures(subject) if sampler.makes_sequences else image_figures(subject, folder)
    if network.name == request.learned:
        second = extractor("auto", request, ())
        log.warning("the discriminator reads %s, which flatters it; %s judges too", network.name, second.name)
        figures += second_opinion(replace(subject, extractor=second))
    refused = {}
    if (sampler.makes_sequences or isinstance(sampler.model, Reconstructs)) and (reason := lpips.unavailable()):
        refused["lpips"] = reason
    if reason := no_likelihood(sampler.model):
        refused["likelihood"] = reason
    else:
        figures += likelihood_figures(subject, settings.importance_samples)
    if isinstance(sampler.model, DrawsPixels):
        write_bits(subject, folder / "bits.png")
    figures += cost_figures(checkpoint, sampler)
    preprocessing = {"images": "rounded to 8 bits", "features": network.preprocessing}
    about = {"file": str(file), "images_seen": checkpoint["images_seen"], "versions": checkpoint["versions"]}
    fingerprint = {**data.fingerprint, "split": "test"}
    evaluation = Evaluation(figures, about, fingerprint, preprocessing, facts, refused)
    provenance = {
        "settings": {
            **{name: getattr(settings, name) for name in ("num_images", "features", "importance_samples")},
            **settings.drawing,
        },
        "versions": versions(),
    }
    written = write_evaluation(folder, evaluation, provenance)
    log_to_tensorboard(RunFolder(folder), figures, checkpoint["images_seen"])
    log.info("images    samples and test split, %s; preprocessing: %s", *preprocessing.values())
    Console(width=None if sys.stdout.isatty() else _COLUMNS).print(table(figures))
    for name, reason in refused.items():
        log.info("no %s: %s", name, reason)
    log.info("written   %s in %.0f s", written, time.monotonic() - started)
    return folder


def _create_folder(folder: Path) -> Path:
    """Creates the folder if it is missing, and checks before the evaluation that it is writable."""
    with report_write_errors("out", folder, hint="out=FOLDER"):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder


def _request(settings: EvaluateSettings, data: Any, images: Images, cache: Path | None, sampler: Sampler) -> Request:
    """The inputs of extractors; a classifier is cached for the data set."""
    discriminator = getattr(sampler.model, "discriminator", None)
    reserved = torch.arange(len(images.train) * (data.num_frames or 1)).view(len(images.train), -1)[images.reserved]
    key = (data.fingerprint, len(images.train), len(images.reserved))
    cached = None if cache is None else cache_file(cache, "classifier", *key)
    if settings.features in ("auto", "classifier") and data.classes and not (cached and cached.is_file()):
        log.info("training a classifier on the labels of the data, once: its features compare the images")
    return Request(
        weights=settings.weights,
        train=_frames(images.train, images.train_labels),
        test=_frames(images.test, images.test_labels),
        reserved=reserved.flatten(),
        num_classes=len(data.classes),
        cache_file=cached,
        learned=discriminator.reads_features if isinstance(discriminator, ReadsFeatures) else None,
        device=sampler.device,
    )


def _frames(items: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Images unchanged; clips (N, T, C, H, W) as N T images with the labels of their clips."""
    if items.ndim == 4:
        return items, labels
    return items.flatten(0, 1), None if labels is None else labels.repeat_interleave(items.shape[1])


def cost_figures(checkpoint: Checkpoint, sampler: Sampler) -> list[Figure]:
    """Parameter counts, seconds and images of training up to the checkpoint, and the sampling speed on this machine."""
    clock: dict[str, Any] = checkpoint["clock"]
    images, seconds = int(checkpoint["images_seen"]), float(clock["seconds"])
    unit = counted(sampler.makes_sequences)
    counts = sampler.model.parameter_counts()
    figures = [Figure("cost", f"parameters of the {name}", count, "exact", 1) for name, count in counts.items()]
    figures.append(Figure("cost", f"{unit} seen", images, "exact", 1))
    figures.append(Figure("cost", "training seconds", seconds, "measured", 1, note="on the training machine"))
    if seconds > 0:
        figures.append(Figure("cost", f"{unit} per second, training", images / seconds, "measured", images, "higher"))
    name, note = f"{unit} per second, sampling", f"on this machine, {sampler.device}"
    figures.append(Figure("cost", name, sampling_speed(sampler), "measured", _TIMED, "higher", note=note))
    return figures


def sampling_speed(sampler: Sampler) -> float:
    """Samples per second on the sampler's device, including the copy to the CPU."""
    sampler.sample(CHUNK)
    started = time.perf_counter()
    sampler.sample(_TIMED)
    return _TIMED / (time.perf_counter() - started)


def _format(value: object) -> str:
    return f"{value:.2%}" if isinstance(value, float) else str(value)
