"""task=rate: ask people about images, and count what they say."""

from __future__ import annotations

import json
import logging
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import Tensor

from genimg.checkpoints.read import Checkpoint, load_checkpoint
from genimg.common.errors import UserError
from genimg.common.files import report_write_errors, write_json
from genimg.evaluation.figure import shown
from genimg.evaluation.rating import results, study
from genimg.evaluation.subject import load_data, read_split
from genimg.sampling.images.files import save_gif, save_png
from genimg.sampling.images.sheets import to_uint8
from genimg.sampling.load import checkpoint_file, from_checkpoint

log = logging.getLogger(__name__)

PRINTED = 140  # columns of the table

Source = tuple[str, list[bytes], str]  # name, encoded images, MIME type


def run(config: dict[str, Any]) -> int:
    """Writes a study, or reads its results, as configs/rate.yaml says. Returns the exit code."""
    return _count(config) if config["results"] is not None else _ask(config)


def _ask(config: dict[str, Any]) -> int:
    names = config["runs"] if isinstance(config["runs"], list) else [config["runs"]]
    mode: study.Mode = "fooled" if len(names) == 1 else "better"
    default = Path(config["outputs"], "studies", time.strftime("%Y-%m-%d-%H-%M-%S"))
    folder = Path(config["study"]).expanduser() if config["study"] else default
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError("study", folder, "a new folder, or an empty one", hint="there is something in it already")
    checkpoints = _checkpoints([str(name) for name in names], config)
    generator = torch.Generator().manual_seed(config["seed"])
    trials = study.plan(mode, max(2, len(names)), config["trials"], generator)
    sources: list[Source] = []
    for name, checkpoint in checkpoints.items():
        if mode == "fooled":
            count = study.needed(trials, 0)
            test, _ = read_split(load_data(checkpoint, config["root"], config["trust"]), "test", count)
            if len(test) < count:
                raise UserError("trials", config["trials"], f"at most {2 * len(test)}: half of them show a test image")
            sources.append((study.REAL, *_encoded(test)))
        sampler = from_checkpoint(checkpoint, config["device"], config["trust"])
        count = study.needed(trials, len(sources))
        made = [to_uint8(part) for part in sampler.stream(max(1, count), seed=config["seed"])]
        sources.append((name, *_encoded(torch.cat(made))))
    repeats = round(config["repeats"] * config["trials"])
    exposure = None if config["exposure"] is None else round(1000 * config["exposure"])
    with report_write_errors("study", folder, hint="study=FOLDER"):
        key = study.write(mode, sources, trials, repeats=repeats, folder=folder, exposure=exposure)
    log.info(
        "study     %s, %d trials: send %s to those who judge",
        key.study,
        len(trials) + key.repeats,
        folder / "rate.html",
    )
    log.info("keep      %s, which has the answers", folder / "key.json")
    log.info("then      genimg rate study=%s results=[A.json,B.json]", folder)
    return 0


def _checkpoints(names: list[str], config: dict[str, Any]) -> dict[str, Checkpoint]:
    """The checkpoint of each run. UserError where their images cannot be compared."""
    files = {name: checkpoint_file(name, config["checkpoint"], config["outputs"]) for name in names}
    if len({file.resolve() for file in files.values()}) < len(names):
        raise UserError("runs", names, "different runs", hint="one of them is there twice")
    found = {name: load_checkpoint(file) for name, file in files.items()}
    shapes = {name: (*one["data"]["image_shape"], one["data"]["num_frames"]) for name, one in found.items()}
    if len(set(shapes.values())) > 1:
        raise UserError("runs", names, "images of one shape, or clips of one length", hint=f"{shapes}")
    if len({json.dumps(one["data"]["fingerprint"], sort_keys=True) for one in found.values()}) > 1:
        log.warning("the runs were trained on different data: people will compare the data, too")
    return found


def _encoded(images: Tensor) -> tuple[list[bytes], str]:
    """uint8 images (N, C, H, W) or clips (N, T, C, H, W) as files that tell nothing of where they come from."""
    save, suffix, mime = (save_png, "png", "image/png") if images.ndim == 4 else (save_gif, "gif", "image/gif")
    with tempfile.TemporaryDirectory(prefix="genimg-") as folder:
        path = Path(folder, f"image.{suffix}")
        found = []
        for image in images:
            save(image, path)
            found.append(path.read_bytes())
    return found, mime


def _count(config: dict[str, Any]) -> int:
    file = Path(config["study"]).expanduser() / "key.json"
    try:
        key = study.read_key(file)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError("study", config["study"], f"the folder of a study, with its key.json ({error})") from error
    given = config["results"] if isinstance(config["results"], list) else [config["results"]]
    raters = results.read([Path(one).expanduser() for one in given], key)
    lines = results.figures(key, raters)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("", "value", "95 %", "p", "answers", "note"):
        table.add_column(column, justify="left" if column in ("", "note") else "right")
    for line in lines:
        interval = "" if line.low is None or line.high is None else f"{shown(line.low)} to {shown(line.high)}"
        p = "" if line.p is None else shown(line.p)
        table.add_row(escape(line.name), shown(line.value), interval, p, f"{line.n:,}", line.note)
    Console(width=PRINTED).print(table)
    path = file.with_name("ratings.json")
    content = {"study": key.study, "raters": len(raters), "figures": [asdict(line) for line in lines]}
    with report_write_errors("study", path.parent):
        write_json(path, content)
    log.info("%d raters; written %s", len(raters), path)
    return 0
