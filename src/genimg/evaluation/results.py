"""What an evaluation writes: evaluation.json, and rows in TensorBoard."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from genimg.common.files import write_json
from genimg.common.run_folder import RunFolder
from genimg.evaluation.figure import Figure

FORMAT = 1  # of evaluation.json


def write(folder: Path, figures: list[Figure], refused: dict[str, str], about: dict[str, Any]) -> Path:
    """The file, with what the figures were computed from (`about`) and why some are missing (`refused`)."""
    content = {"format": FORMAT, **about, "figures": [asdict(figure) for figure in figures], "refused": refused}
    path = folder / "evaluation.json"
    write_json(path, content)
    return path


def log_to_tensorboard(run: RunFolder, figures: list[Figure], images_seen: int) -> None:
    """A row of each figure, where the run logs to TensorBoard."""
    if not run.tensorboard.is_dir():
        return
    from torch.utils.tensorboard.writer import SummaryWriter

    with SummaryWriter(str(run.tensorboard)) as writer:
        for figure in figures:
            tag = f"evaluation/{figure.group}/{figure.name}".replace(" ", "_")
            writer.add_scalar(tag, figure.value, images_seen)
