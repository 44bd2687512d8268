"""The work of task=sample: draws samples from a trained model into a folder."""

import logging
from dataclasses import fields
from pathlib import Path
from typing import Any

from genimg.checkpoints.read import load_checkpoint
from genimg.common.files import check_empty, report_write_errors, unused_path
from genimg.common.run_folder import RunFolder, output_folder
from genimg.sampling.load import checkpoint_file, from_checkpoint
from genimg.sampling.writer import SampleOptions, file_name, write_samples

log = logging.getLogger(__name__)

_LONGEST_NAME = 100  # characters of the default folder's name
_UNNAMED = ("num_images", "seed", "rows", "columns", "frames", "individual")  # options that it does not name


def run(config: dict[str, Any]) -> int:
    """Draws the samples that configs/sample.yaml describes, logs their location and returns the exit code."""
    options = SampleOptions.from_config(config)
    file = checkpoint_file(config["run"], config["checkpoint"])
    checkpoint = load_checkpoint(file)
    sampler = from_checkpoint(checkpoint, config["device"], config["trust"])
    folder = Path(config["out"]).expanduser() if config["out"] else new_folder(file, options)
    with report_write_errors("out", folder, hint="out=FOLDER"):
        first_look = write_samples(sampler, options, check_empty(folder))
    log.info("%s (%s images seen)", file, f"{checkpoint['images_seen']:,}")
    log.info("images: %s", first_look)
    if options.interpolate is not None:
        log.info("interpolation: %s", first_look.with_name("interpolation.gif"))
    return 0


def new_folder(checkpoint: Path, options: SampleOptions) -> Path:
    """Returns an unused folder named after the options: RUN/samples/10-seed0, then 10-seed0-2."""
    return unused_path(RunFolder(output_folder(checkpoint)).samples / _describe(options))


def _describe(options: SampleOptions) -> str:
    """The options that differ from the defaults: `64-seed3-classes3,7-truncation0.5`."""
    defaults = SampleOptions.defaults()
    parts = [str(options.num_images), f"seed{options.seed}"]
    for name in (field.name for field in fields(options) if field.name not in _UNNAMED):
        value = getattr(options, name)
        if value == getattr(defaults, name):
            continue
        if isinstance(value, list | tuple):
            value = ",".join(str(one) if name == "classes" else Path(str(one)).stem for one in value)
        elif name in ("start", "reconstruct"):
            value = Path(str(value)).stem
        parts.append(f"{name}{file_name(str(value))}")
    return "-".join(parts)[:_LONGEST_NAME]
