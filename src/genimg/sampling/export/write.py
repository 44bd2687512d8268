"""task=export: the generating half of a model as a file for other programs, checked, with a card."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from genimg.checkpoints.read import load_checkpoint
from genimg.common.files import check_empty, report_write_errors, unused_path
from genimg.common.run_folder import RunFolder, output_folder
from genimg.sampling.export import card, formats
from genimg.sampling.export.generator import ExportableGenerator
from genimg.sampling.load import checkpoint_file, from_checkpoint

log = logging.getLogger(__name__)

FAILED = 1  # exit code


def run(config: dict[str, Any], read_evaluation: Callable[[RunFolder], dict[str, Any]]) -> int:
    """Writes what configs/export.yaml asks for. Returns the exit code.

    read_evaluation: the evaluation.json of a run, for the card."""
    format = config["format"]
    formats.require(format)
    file = checkpoint_file(config["run"], config["checkpoint"], config["outputs"])
    checkpoint = load_checkpoint(file)
    alone = ExportableGenerator(from_checkpoint(checkpoint, "cpu", config["trust"]), config["num_frames"])
    exports = RunFolder(output_folder(file)).exports
    folder = check_empty(Path(config["out"]).expanduser()) if config["out"] else unused_path(exports / format)
    log.info("%s (%s images seen)", file, f"{checkpoint['images_seen']:,}")
    with report_write_errors("out", folder, hint="out=FOLDER"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".export-", dir=folder.parent) as made:  # so that it appears whole
            path = formats.write(format, alone, checkpoint, Path(made))
            difference = formats.difference(alone, formats.read(format, path, alone, config["trust"]))
            if not difference <= formats.TOLERANCE:
                log.error("error: the file's images differ from the model's by %g: it is not kept", difference)
                return FAILED
            figures, trust = _evaluation(file, read_evaluation), config["trust"]
            card.write(Path(made), alone, checkpoint, format, path.name, difference, figures, trust)
            folder.mkdir(exist_ok=True)
            for one in Path(made).iterdir():
                one.rename(folder / one.name)
    log.info("written   %s, and its card %s", folder / path.name, folder / "README.md")
    log.info("checked   largest difference of a pixel in [-1, 1] from the model's own: %.2g", difference)
    return 0


def _evaluation(checkpoint: Path, read_evaluation: Callable[[RunFolder], dict[str, Any]]) -> dict[str, Any]:
    """The evaluation.json of the checkpoint's run; empty where it lies in no run, or was not measured."""
    folder = RunFolder(output_folder(checkpoint))
    return read_evaluation(folder) if folder.config.is_file() else {}
