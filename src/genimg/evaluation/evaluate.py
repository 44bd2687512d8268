"""task=evaluate: a run's figures beside what real images reach, as a table, evaluation.json and TensorBoard rows."""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, cast

import torch
from rich.console import Console
from torch import Tensor

from genimg.checkpoints.read import load_checkpoint
from genimg.checkpoints.schema import versions
from genimg.common.files import report_write_errors
from genimg.common.run_folder import RunFolder, output_folder
from genimg.data.cache import cache_folder
from genimg.data.order import evenly_spaced_indices
from genimg.evaluation.clips import clips, compared_clips
from genimg.evaluation.cost import cost
from genimg.evaluation.features.choose import Request, extractor
from genimg.evaluation.features.extractor import Extractor
from genimg.evaluation.figure import Figure, table
from genimg.evaluation.likelihood import likelihood, refusal
from genimg.evaluation.metrics.pixels import independent_log_likelihood
from genimg.evaluation.perceptual import missing
from genimg.evaluation.results import log_to_tensorboard, write
from genimg.evaluation.stills import compared_stills, stills
from genimg.evaluation.subject import Images, Subject, kept_file, load_data, read_images
from genimg.models.base import HasLikelihood, Reconstructs
from genimg.sampling.images.sheets import to_float
from genimg.sampling.load import checkpoint_file, from_checkpoint

log = logging.getLogger(__name__)

LIKELY = 1000  # images the likelihood is computed on, at most
PRINTED = 160  # columns of the table where there is no terminal


def run(config: dict[str, Any]) -> Path:
    """Measures what configs/evaluate.yaml asks for. Returns the folder that it wrote into."""
    started = time.monotonic()
    file = checkpoint_file(config["run"], config["checkpoint"], config["outputs"])
    checkpoint = load_checkpoint(file)
    sampler = from_checkpoint(checkpoint, config["device"], config["trust"])
    log.info("%s (%s images seen)", file, f"{checkpoint['images_seen']:,}")
    folder = writable(Path(config["out"]).expanduser() if config["out"] else output_folder(file))
    data = load_data(checkpoint, config["root"], config["trust"])
    images = read_images(data)
    count = (compared_clips if sampler.makes_sequences else compared_stills)(images, config["num_images"])
    cache = cache_folder(config["cache"], "evaluation")
    extractor = extractor_for(config, data, images, cache, sampler.device)
    log.info("features  %s", "  ".join([extractor.name, extractor.digest[:12], *map(_fact, extractor.facts.items())]))
    subject = Subject(sampler, images, extractor, data.fingerprint, count, config["seed"], cache)
    figures = clips(subject) if sampler.makes_sequences else stills(subject, folder)
    refused = {}
    if (sampler.makes_sequences or isinstance(sampler.model, Reconstructs)) and (reason := missing()):
        refused["lpips"] = reason
    if reason := refusal(sampler.model):
        refused["likelihood"] = reason
    else:
        figures += likelihood_figures(subject, config["importance_samples"])
    figures += cost(checkpoint, sampler)
    about = {
        "checkpoint": {"file": str(file), "images_seen": checkpoint["images_seen"], "versions": checkpoint["versions"]},
        "data": {**data.fingerprint, "split": "test"},
        "preprocessing": {"images": "rounded to 8 bits", "features": extractor.preprocessing},
        "extractor": {"name": extractor.name, "digest": extractor.digest, **extractor.facts},
        "settings": {name: config[name] for name in ("seed", "num_images", "features", "importance_samples")},
        "versions": versions(),
    }
    written = write(folder, figures, refused, about)
    log_to_tensorboard(RunFolder(folder), figures, checkpoint["images_seen"])
    log.info("images  of the test split, and made, %s; preprocessing: %s", *about["preprocessing"].values())
    Console(width=None if sys.stdout.isatty() else PRINTED).print(table(figures))
    for name, why in refused.items():
        log.info("no %s: %s", name, why)
    log.info("written   %s in %.0f s", written, time.monotonic() - started)
    return folder


def writable(folder: Path) -> Path:
    """Made where it is missing; UserError where nothing can be written into it: better now than after minutes."""
    with report_write_errors("out", folder, hint="out=FOLDER"):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder


def extractor_for(
    config: dict[str, Any], data: Any, images: Images, cache: Path | None, device: torch.device
) -> Extractor:
    """The one asked for; a classifier is kept under the data's digest."""
    kept = None if cache is None else kept_file(cache, "classifier", data.fingerprint, len(images.train))
    if config["features"] in ("auto", "classifier") and data.classes and not (kept and kept.is_file()):
        log.info("training a classifier on the data's labels, once: images are compared by its features")
    request = Request(
        weights=config["weights"],
        train=frames(images.train, images.train_labels),
        test=frames(images.test, images.test_labels),
        num_classes=len(data.classes),
        kept=kept,
        device=device,
    )
    return extractor(config["features"], request, config["trust"])


def frames(items: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Stills as they are; clips (N, T, C, H, W) as N T images with the labels of their clips."""
    if items.ndim == 4:
        return items, labels
    return items.flatten(0, 1), None if labels is None else labels.repeat_interleave(items.shape[1])


def likelihood_figures(subject: Subject, samples: int) -> list[Figure]:
    """On at most `LIKELY` test images."""
    test, labels = subject.images.test, subject.images.test_labels
    chosen = evenly_spaced_indices(len(test), min(LIKELY, len(test)))
    batches = []
    for part in chosen.split(100):
        batch = {"images": to_float(test[part].to(subject.device))}
        batches.append(batch if labels is None else batch | {"labels": labels[part].to(subject.device)})
    generator = torch.Generator(subject.device).manual_seed(subject.seed)
    floor = independent_log_likelihood(subject.images.train, test[chosen])
    model, labelled = cast(HasLikelihood, subject.sampler.model), bool(subject.sampler.classes)
    return likelihood(model, batches, labelled, samples, generator, floor)


def _fact(item: tuple[str, Any]) -> str:
    name, value = item
    return f"{name} {value:.2%}" if isinstance(value, float) else f"{name} {value}"
