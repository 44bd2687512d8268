"""Renders clips of Crafter with the actions of its player, a data set for `data=frame_folder`.

Crafter is a world of cells, seen from above and centred on the player (Hafner 2022, "Benchmarking the spectrum of agent
capabilities"). https://github.com/danijar/crafter
"""

import csv
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from genimg.common.files import check_empty, report_write_errors
from genimg.data.actions import COLUMNS, FILE

log = logging.getLogger(__name__)

_SIZE = 64  # pixels of both sides
_AREA = (32, 32)  # cells; a world of 64 x 64, as in the paper, takes four times as long, and a clip sees few of them
_REPEATED = 0.7  # probability of the last action, so that motion lasts for some frames
_MOVES = 0.7  # probability that another action is one of the moves; few of the others change the picture
_REPORTED = 100  # clips between two lines of the log


@dataclass(frozen=True)
class CrafterSettings:
    """The settings of configs/crafter.yaml, which describes them."""

    out: str
    num_clips: int
    num_frames: int
    seed: int


def render(settings: CrafterSettings) -> None:
    """Writes a folder of PNG frames for each clip, and the actions. The folder appears when it is complete."""
    folder = check_empty(Path(settings.out).expanduser())
    with report_write_errors("out", folder, hint="out=FOLDER"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".crafter-", dir=folder.parent) as temporary:
            _write(settings, Path(temporary))
            folder.mkdir(exist_ok=True)
            for one in Path(temporary).iterdir():
                one.rename(folder / one.name)
    log.info("written   %s: %s clips of %s frames", folder, f"{settings.num_clips:,}", settings.num_frames)
    log.info("train     genimg-train model=rnn data=frame_folder data.root=%s", folder)


def _write(settings: CrafterSettings, folder: Path) -> None:
    import crafter  # pyright: ignore[reportMissingImports]

    world: Any = crafter.Env(area=_AREA, size=(_SIZE, _SIZE), seed=settings.seed)
    random = np.random.default_rng(settings.seed)
    with open(folder / FILE, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        for number in range(settings.num_clips):
            name = f"{number:05}"
            (folder / name).mkdir()
            Image.fromarray(world.reset()).save(folder / name / "000.png")  # another world for each clip
            for frame, action in enumerate(_actions(world.action_names, settings.num_frames - 1, random)):
                rows.writerow((name, frame, action))
                image = world.step(world.action_names.index(action))[0]
                Image.fromarray(image).save(folder / name / f"{frame + 1:03}.png")
            if number % _REPORTED == _REPORTED - 1:
                log.info("rendered  %s of %s clips", f"{number + 1:,}", f"{settings.num_clips:,}")


def _actions(names: list[str], count: int, random: np.random.Generator) -> Iterator[str]:
    """Yields random actions; each is often that of the frame before."""
    moves = [name for name in names if name.startswith("move_")]
    last = None
    for _ in range(count):
        if last is None or random.random() >= _REPEATED:
            last = str(random.choice(moves if random.random() < _MOVES else names))
        yield last
