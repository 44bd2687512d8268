"""The results of an evaluation: evaluation.json, written and read, and TensorBoard scalars."""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeGuard

from genimg.common.files import write_json
from genimg.common.reading import parse_json
from genimg.common.run_folder import RunFolder
from genimg.evaluation.figure import Figure

log = logging.getLogger(__name__)

FILE = "evaluation.json"
FORMAT = 1


@dataclass(frozen=True)
class Evaluation:
    """The content of an evaluation.json that a page shows.

    Attributes:
        checkpoint: `images_seen`, and where it came from.
        data: fingerprint of the data set, and the split.
        preprocessing: of the images and of the features.
        extractor: `name`, `digest` and facts such as the accuracy of a classifier.
        refused: {metric: why it is missing}.
    """

    figures: list[Figure]
    checkpoint: dict[str, Any]
    data: dict[str, Any]
    preprocessing: dict[str, str]
    extractor: dict[str, Any]
    refused: dict[str, str]


def write_evaluation(folder: Path, evaluation: Evaluation, provenance: dict[str, Any]) -> Path:
    """Writes the file and returns its path. `provenance`: how to compute the metrics again; nothing reads it."""
    path = folder / FILE
    write_json(path, {"format": FORMAT, **asdict(evaluation), **provenance})
    return path


def parse_evaluation(text: str) -> Evaluation:
    """Returns the evaluation in the text of an evaluation.json, which may be untrusted.

    Raises:
        ValueError: if it is damaged or of another version.
    """
    try:
        content = parse_json(text)
        if content["format"] != FORMAT:
            raise ValueError(f"its format is not {FORMAT}")
        found = Evaluation(
            [Figure(**figure) for figure in content["figures"]],
            *(content[name] for name in ("checkpoint", "data", "preprocessing", "extractor", "refused")),
        )
        texts = [found.extractor["name"], found.extractor["digest"], *found.refused.values()]
        texts += [found.preprocessing["images"], found.preprocessing["features"]]
        texts += [text for one in found.figures for text in (one.group, one.name, one.kind, one.unit, one.note)]
        numbers = [x for one in found.figures for x in (one.value, one.floor, one.uncertainty)]
        curves = [curve for one in found.figures for curve in (one.by_horizon, one.floor_by_horizon)]
        numbers += [value for curve in curves for value in curve]
        valid = all(isinstance(text, str) for text in texts) and all(x is None or is_number(x) for x in numbers)
        valid = valid and all(isinstance(curve, list) for curve in curves)
        valid = valid and all(map(is_integer, [found.checkpoint["images_seen"], *(one.n for one in found.figures)]))
        if not valid:
            raise ValueError("a value has another type")
        return found
    except KeyError as error:
        raise ValueError(f"it has no {error}") from error
    except (TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"it is damaged: {error}") from error


def is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Whether a JSON value is a number that fits into a float."""
    return isinstance(value, float) or (is_integer(value) and abs(value) < 2**1000)


def log_to_tensorboard(run: RunFolder, figures: list[Figure], images_seen: int) -> None:
    """Writes a scalar for each figure, if the run has TensorBoard files. They are a copy: a failure is a warning."""
    if not run.tensorboard.is_dir():
        return
    from torch.utils.tensorboard.writer import SummaryWriter

    try:
        with SummaryWriter(str(run.tensorboard)) as writer:
            for figure in figures:
                tag = f"evaluation/{figure.group}/{figure.name}".replace(" ", "_")
                writer.add_scalar(tag, figure.value, images_seen)
    except (OSError, UnicodeEncodeError) as error:  # TensorBoard opens only paths in UTF-8
        log.warning("TensorBoard does not show the evaluation: %s", error)
