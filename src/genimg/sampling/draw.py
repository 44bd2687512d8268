"""task=sample: images from a trained model, written to a folder."""

from __future__ import annotations

import logging
from dataclasses import fields
from pathlib import Path
from typing import Any

from genimg.checkpoints.read import load_checkpoint
from genimg.common.files import check_empty, report_write_errors, unused_path
from genimg.common.run_folder import RunFolder, output_folder
from genimg.sampling.load import checkpoint_file, from_checkpoint
from genimg.sampling.writer import SampleOptions, plain, write_samples

log = logging.getLogger(__name__)

_LONGEST_NAME = 100  # characters of the default folder


def run(config: dict[str, Any]) -> int:
    """Draws what configs/sample.yaml asks for, and prints where the images lie. Returns the exit code."""
    options = SampleOptions.from_config(config)
    file = checkpoint_file(config["run"], config["checkpoint"], config["outputs"])
    checkpoint = load_checkpoint(file)
    sampler = from_checkpoint(checkpoint, config["device"], config["trust"])
    folder = Path(config["out"]).expanduser() if config["out"] else new_folder(file, options)
    with report_write_errors("out", folder, hint="out=FOLDER"):
        first_look = write_samples(sampler, options, check_empty(folder))
    log.info("%s (%s images seen)", file, f"{checkpoint['images_seen']:,}")
    log.info("images: %s", first_look)
    if options.interpolate is not None:
        log.info("between them: %s", first_look.with_name("interpolation.gif"))
    return 0


def new_folder(checkpoint: Path, options: SampleOptions) -> Path:
    """A folder that does not exist yet, named after what is asked: RUN/samples/10-seed0, then 10-seed0-2."""
    samples = RunFolder(output_folder(checkpoint)).samples
    return unused_path(samples / _said(options))


def _said(options: SampleOptions) -> str:
    """What the options ask for beyond the defaults: `64-seed3-classes3,7-truncation0.5`."""
    parts = [str(options.num_images), f"seed{options.seed}"]
    for field in fields(options):
        value = getattr(options, field.name)
        if field.name in ("num_images", "seed", "rows", "columns", "frames", "individual") or value == field.default:
            continue
        if isinstance(value, list | tuple):
            value = ",".join(Path(str(one)).stem if field.name != "classes" else str(one) for one in value)
        elif field.name in ("start", "reconstruct"):
            value = Path(str(value)).stem
        parts.append(f"{field.name}{plain(str(value))}")
    return "-".join(parts)[:_LONGEST_NAME]
