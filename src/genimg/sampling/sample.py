"""The work of task=sample: draws samples from a trained model into a folder."""

import logging
from dataclasses import dataclass, fields
from pathlib import Path

from genimg.checkpoints.read import load_checkpoint
from genimg.common.files import check_empty, report_write_errors, unused_path
from genimg.common.run_folder import RunFolder, output_folder
from genimg.sampling.load import checkpoint_file, from_checkpoint
from genimg.sampling.output.options import SampleOptions
from genimg.sampling.output.saving import file_name
from genimg.sampling.output.write import write_samples

log = logging.getLogger(__name__)

_LONGEST_NAME = 100  # characters of the default folder's name
_UNNAMED = ("num_images", "seed", "seeds", "rows", "columns", "frames", "individual")  # options that it does not name


@dataclass(frozen=True)
class SampleSettings:
    """The model and the folder of configs/sample.yaml, which describes them; its other keys are `SampleOptions`."""

    run: str
    checkpoint: str
    device: str
    out: str | None
    trust: list[str]


def sample(settings: SampleSettings, options: SampleOptions) -> None:
    """Draws samples from a checkpoint into a folder and logs the location of the files."""
    file = checkpoint_file(settings.run, settings.checkpoint)
    checkpoint = load_checkpoint(file)
    sampler = from_checkpoint(checkpoint, settings.device, settings.trust)
    folder = Path(settings.out).expanduser() if settings.out else new_folder(file, options)
    with report_write_errors("out", folder, hint="out=FOLDER"):
        first_look = write_samples(sampler, options, check_empty(folder), settings.trust)
    log.info("%s (%s images seen)", file, f"{checkpoint['images_seen']:,}")
    log.info("images: %s", first_look)
    if options.interpolate is not None:
        log.info("interpolation: %s", first_look.with_name("interpolation.gif"))


def new_folder(checkpoint: Path, options: SampleOptions) -> Path:
    """Returns an unused folder named after the options: RUN/samples/10-seed0, then 10-seed0-2."""
    return unused_path(RunFolder(output_folder(checkpoint)).samples / _describe(options))


def _describe(options: SampleOptions) -> str:
    """The options that differ from the defaults: `64-seed3-classes3,7-truncation0.5`."""
    defaults = SampleOptions.defaults()
    parts = [str(options.num_images), f"seed{options.seed}"]
    if options.seeds is not None:
        parts = [f"seeds{','.join(map(str, options.seeds))}"]
    for name in (field.name for field in fields(options) if field.name not in _UNNAMED):
        value = getattr(options, name)
        if value == getattr(defaults, name):
            continue
        if isinstance(value, list | tuple):
            value = ",".join(str(one) if name in ("classes", "actions") else Path(str(one)).stem for one in value)
        elif name in ("start", "end", "reconstruct", "complete", "project", "latents"):
            value = Path(str(value)).stem
        parts.append(f"{name}{file_name(str(value))}")
    return "-".join(parts)[:_LONGEST_NAME]
