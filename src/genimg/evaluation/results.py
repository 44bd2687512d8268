"""What an evaluation writes: evaluation.json, and rows in TensorBoard."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from genimg.evaluation.figure import Figure
from genimg.files import whole
from genimg.runs import RunFolder

FORMAT = 1  # of evaluation.json


def write(folder: Path, figures: list[Figure], refused: dict[str, str], about: dict[str, Any]) -> Path:
    """The file, with what the figures were computed from (`about`) and why some are missing (`refused`)."""
    content = {"format": FORMAT, **about, "figures": [_plain(asdict(figure)) for figure in figures], "refused": refused}
    path = folder / "evaluation.json"
    with whole(path) as out:
        out.write(json.dumps(content, indent=1, allow_nan=False).encode())
    return path


def _plain(value: Any) -> Any:
    """With null for what is not finite: JSON has no NaN."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def log_to_tensorboard(run: RunFolder, figures: list[Figure], images_seen: int) -> None:
    """A row of each figure, where the run logs to TensorBoard."""
    if not run.tensorboard.is_dir():
        return
    from torch.utils.tensorboard.writer import SummaryWriter

    with SummaryWriter(str(run.tensorboard)) as writer:
        for figure in figures:
            tag = f"evaluation/{figure.group}/{figure.name}".replace(" ", "_")
            writer.add_scalar(tag, figure.value, images_seen)
