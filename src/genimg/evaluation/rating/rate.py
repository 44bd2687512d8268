"""`task=rate`: create a study in which people judge images, or count its answers."""

from __future__ import annotations

import json
import logging
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import Tensor

from genimg.checkpoints.read import Checkpoint, load_checkpoint
from genimg.common.errors import UserError
from genimg.common.files import report_write_errors, write_json
from genimg.evaluation.figure import shown
from genimg.evaluation.rating import study
from genimg.evaluation.rating.results import Line, read_raters, statistics
from genimg.evaluation.subject import load_data, read_split
from genimg.sampling.images.files import save_gif, save_png
from genimg.sampling.images.sheets import to_uint8
from genimg.sampling.load import checkpoint_file, from_checkpoint

log = logging.getLogger(__name__)

_COLUMNS = 140  # width of the table

Source = tuple[str, list[bytes], str]  # name, encoded images, MIME type


@dataclass(frozen=True)
class RateSettings:
    """The settings of configs/rate.yaml, which describes them."""

    runs: str | list[str] | None
    results: str | list[str] | None
    study: str | None
    trials: int
    repeats: float
    exposure: float | None
    checkpoint: str
    seed: int
    root: str | None
    device: str
    outputs: str
    trust: list[str]


def rate(settings: RateSettings) -> None:
    """Writes a study, or the statistics of its results if `results` is set."""
    if settings.results is None:
        _create_study(settings)
    else:
        _count_results(settings, settings.results)


def _create_study(settings: RateSettings) -> None:
    names = [str(name) for name in (settings.runs if isinstance(settings.runs, list) else [settings.runs])]
    mode: study.Mode = "real_or_generated" if len(names) == 1 else "preference"
    default = Path(settings.outputs, "studies", time.strftime("%Y-%m-%d-%H-%M-%S"))
    folder = Path(settings.study).expanduser() if settings.study else default
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError("study", folder, "a new or empty folder", hint="it is not empty")
    checkpoints = _load_checkpoints(names, settings)
    trials = study.plan_trials(mode, max(2, len(names)), settings.trials, torch.Generator().manual_seed(settings.seed))
    sources: list[Source] = []
    for name, checkpoint in checkpoints.items():
        if mode == "real_or_generated":
            count = study.images_needed(trials, 0)
            test = read_split(load_data(checkpoint, settings.root, settings.trust), "test", count)["images"]
            if len(test) < count:
                raise UserError("trials", settings.trials, f"at most {2 * len(test)}: half of them show a test image")
            sources.append((study.REAL, *_encode(test)))
        sampler = from_checkpoint(checkpoint, settings.device, settings.trust)
        count = study.images_needed(trials, len(sources))
        made = [to_uint8(part) for part in sampler.stream(max(1, count), seed=settings.seed)]
        sources.append((name, *_encode(torch.cat(made))))
    repeats = round(settings.repeats * settings.trials)
    exposure = None if settings.exposure is None else round(1000 * settings.exposure)
    with report_write_errors("study", folder, hint="study=FOLDER"):
        key = study.write_study(mode, sources, trials, repeats=repeats, folder=folder, exposure=exposure)
    number, page = len(trials) + key.repeats, folder / "rate.html"
    log.info("study     %s, %d trials: send %s to the raters", key.study, number, page)
    log.info("keep      %s: it holds the sources of the images", folder / "key.json")
    log.info("then      genimg rate study=%s results=[A.json,B.json]", folder)


def _load_checkpoints(names: list[str], settings: RateSettings) -> dict[str, Checkpoint]:
    """The checkpoint of each run.

    Raises:
        UserError: if their images cannot be compared.
    """
    files = {name: checkpoint_file(name, settings.checkpoint) for name in names}
    if len({file.resolve() for file in files.values()}) < len(names):
        raise UserError("runs", names, "different runs", hint="one run occurs twice")
    checkpoints = {name: load_checkpoint(file) for name, file in files.items()}
    shapes = {name: (*one["data"]["image_shape"], one["data"]["num_frames"]) for name, one in checkpoints.items()}
    if len(set(shapes.values())) > 1:
        raise UserError("runs", names, "images of one shape, or clips of one length", hint=f"{shapes}")
    if len({json.dumps(one["data"]["fingerprint"], sort_keys=True) for one in checkpoints.values()}) > 1:
        log.warning("the runs were trained on different data, which the raters compare too")
    return checkpoints


def _encode(images: Tensor) -> tuple[list[bytes], str]:
    """uint8 images (N, C, H, W) or clips (N, T, C, H, W) as files without metadata about their source."""
    save, suffix, mime = (save_png, "png", "image/png") if images.ndim == 4 else (save_gif, "gif", "image/gif")
    with tempfile.TemporaryDirectory(prefix="genimg-") as folder:
        path = Path(folder, f"image.{suffix}")
        encoded = []
        for image in images:
            save(image, path)
            encoded.append(path.read_bytes())
    return encoded, mime


def _count_results(settings: RateSettings, given: str | list[str]) -> None:
    file = Path(str(settings.study)).expanduser() / "key.json"
    try:
        key = study.read_key(file)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError("study", settings.study, f"the folder of a study, with its key.json ({error})") from error
    paths = given if isinstance(given, list) else [given]
    raters = read_raters([Path(path).expanduser() for path in paths], key)
    lines = statistics(key, raters)
    Console(width=_COLUMNS).print(_table(lines))
    path = file.with_name("ratings.json")
    content = {"study": key.study, "raters": len(raters), "figures": [asdict(line) for line in lines]}
    with report_write_errors("study", path.parent):
        write_json(path, content)
    log.info("%d raters; written %s", len(raters), path)


def _table(lines: list[Line]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("", "value", "95 %", "p", "answers", "note"):
        table.add_column(column, justify="left" if column in ("", "note") else "right")
    for line in lines:
        interval = "" if line.low is None or line.high is None else f"{shown(line.low)} to {shown(line.high)}"
        p = "" if line.p is None else shown(line.p)
        table.add_row(escape(line.name), shown(line.value), interval, p, f"{line.n:,}", line.note)
    return table
