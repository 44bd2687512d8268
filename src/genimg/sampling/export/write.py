"""The work of task=export: writes the generator of a model to a file for other programs, verifies it, adds a card."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from genimg.checkpoints.read import load_checkpoint
from genimg.common.files import check_empty, check_utf8, report_write_errors, unused_path
from genimg.common.run_folder import RunFolder, output_folder
from genimg.sampling.export import card, formats
from genimg.sampling.export.generator import ExportableGenerator
from genimg.sampling.load import checkpoint_file, from_checkpoint

log = logging.getLogger(__name__)

FAILED = 1  # exit code


@dataclass(frozen=True)
class ExportSettings:
    """The settings of configs/export.yaml, which describes them."""

    run: str
    checkpoint: str
    format: str
    num_frames: int | None
    out: str | None
    trust: list[str]


def export(settings: ExportSettings, read_evaluation: Callable[[RunFolder], dict[str, Any]]) -> int:
    """Writes an export and returns the exit code.

    Args:
        read_evaluation: reads the evaluation.json of a run, for the card.
    """
    format, trust = settings.format, settings.trust
    formats.check_installed(format)
    file = checkpoint_file(settings.run, settings.checkpoint)
    checkpoint = load_checkpoint(file)
    generator = ExportableGenerator(from_checkpoint(checkpoint, "cpu", trust), settings.num_frames)
    run_folder = RunFolder(output_folder(file))
    default = unused_path(run_folder.exports / format)
    folder = check_empty(Path(settings.out).expanduser()) if settings.out else default
    check_utf8("out", folder, "a folder", "out=FOLDER")
    evaluation = read_evaluation(run_folder) if run_folder.config.is_file() else {}
    log.info("%s (%s images seen)", file, f"{checkpoint['images_seen']:,}")
    with report_write_errors("out", folder, hint="out=FOLDER"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".export-", dir=folder.parent) as temporary:  # only a complete export appears
            path = formats.write(format, generator, checkpoint, Path(temporary))
            difference = formats.difference(generator, formats.read(format, path, generator, trust))
            if not difference <= formats.TOLERANCE:
                log.error("error: images of the file differ from the model's by %g; it is not kept", difference)
                return FAILED
            card.write(Path(temporary), generator, checkpoint, format, difference, evaluation, trust)
            folder.mkdir(exist_ok=True)
            for one in Path(temporary).iterdir():
                one.rename(folder / one.name)
    log.info("written   %s, and its card %s", folder / path.name, folder / "README.md")
    log.info("checked   largest difference of a pixel in [-1, 1] from the model's own: %.2g", difference)
    return 0
