"""The run folder: where the files of a run lie, and how one is found. Torch-free."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from genimg.common.errors import UserError

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run, `outputs/<date>/<time>-<model>-<data>/`. Knows names only: opens nothing."""

    path: Path

    @property
    def config(self) -> Path:
        """The resolved configuration, as the parent wrote it."""
        return self.path / "config.yaml"

    @property
    def defaults(self) -> Path:
        """What the configuration would be with nothing asked for but the model and the data."""
        return self.path / "defaults.yaml"

    @property
    def overrides(self) -> Path:
        """What the user gave besides the defaults, one override a line."""
        return self.path / "overrides.txt"

    @property
    def command(self) -> Path:
        """The shell command that repeats the run."""
        return self.path / "command.txt"

    @property
    def lock(self) -> Path:
        """An empty file, held by whoever trains the run."""
        return self.path / ".lock"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def last(self) -> Path:
        return self.checkpoints / "last.pt"

    @property
    def previous(self) -> Path:
        """What `last` was before: for a run whose last one is damaged."""
        return self.checkpoints / "previous.pt"

    @property
    def best(self) -> Path:
        return self.checkpoints / "best.pt"

    @property
    def best_metric(self) -> Path:
        """The figure that the model is judged by, at its best: its name, value, n and the images seen, as JSON."""
        return self.path / "best.json"

    @property
    def pruned(self) -> Path:
        """There where a search stopped the run early: when, and at which figure, as JSON."""
        return self.path / "pruned.json"

    @property
    def samples(self) -> Path:
        return self.path / "samples"

    @property
    def final(self) -> Path:
        """The images that are drawn at the end."""
        return self.samples / "final"

    @property
    def exports(self) -> Path:
        return self.path / "export"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def metrics(self) -> Path:
        """One JSON object a line: every figure logged, with `images_seen`, and of validation with `n`."""
        return self.path / "metrics.jsonl"

    @property
    def log(self) -> Path:
        return self.log_of(rank=0)

    def log_of(self, rank: int) -> Path:
        """What the process of this rank tells; the first one's is the run's."""
        return self.path / (f"train.rank{rank}.log" if rank else "train.log")

    @property
    def report(self) -> Path:
        """The page with everything to look at."""
        return self.path / "report.html"

    def has_checkpoint(self) -> bool:
        return any(self.checkpoints.glob("*.pt"))

    def is_complete(self) -> bool:
        """Whether what a trained run leaves at last is there: its final images, and its page, which was written after
        the last checkpoint.
        """
        page, last = self.report, self.last
        if not (page.exists() and self.final.is_dir()):
            return False
        return not last.exists() or page.stat().st_mtime_ns >= last.stat().st_mtime_ns


def output_folder(checkpoint: Path) -> Path:
    """The run folder of a checkpoint file, to write into; the file's own folder where it lies in no run.

    Raises UserError where what is written would go through a link out of it.
    """
    run = RunFolder(checkpoint.parent.parent)
    if checkpoint.parent != run.checkpoints:
        return checkpoint.parent
    for path in (run.samples, run.tensorboard, run.exports):
        _refuse_link_out(str(path), _inside(run), "run")
    return run.path


def check_contained(run: RunFolder, key: str = "run") -> RunFolder:
    """`run`, if it holds files and folders only, and no link that leads out of it.

    Through a link a stranger's folder would have other files read, or written; a pipe would be waited for.
    Raises UserError, of the key `key`, for the first such thing.
    """
    inside = _inside(run)
    for folder, folders, files in os.walk(run.path):
        for path in (os.path.join(folder, name) for name in (*folders, *files)):
            _refuse_link_out(path, inside, key)
            if not (os.path.islink(path) or os.path.isfile(path) or os.path.isdir(path)):
                raise UserError(key, path, "files and folders in a run folder", hint="remove it: it is neither")
    return run


def _inside(run: RunFolder) -> str:
    return os.path.join(os.path.realpath(run.path), "")


def _refuse_link_out(path: str, inside: str, key: str) -> None:
    if os.path.islink(path) and not os.path.realpath(path).startswith(inside):
        got, hint = f"{path} -> {os.readlink(path)}", "remove it; a checkpoint alone: genimg sample run=FILE out=FOLDER"
        raise UserError(key, got, "a run folder without links out of it", hint)


def find_run(run: str, outputs: str | Path, key: str = "run") -> RunFolder | Path:
    """The run that `run` names: a run folder, a checkpoint file, or `last`, the newest with a checkpoint.

    A name that is no path is also looked for inside `outputs` and its date folders.
    `key` is what the user called it (`run`, `resume`). Raises UserError where there is none, and where a link leads out
    of it.
    """
    if run == "last":
        return check_contained(_newest(Path(outputs), key), key)
    for place in (
        Path(run),
        Path(outputs, run),
        *sorted(Path(outputs).glob(f"*/{_literal(run)}"), reverse=True),
    ):
        if place.is_file():
            return place
        if place.is_dir() and RunFolder(place).config.is_file():
            return check_contained(RunFolder(place), key)
    expected = "a run folder, a checkpoint file, or last (the newest run)"
    if Path(run).is_dir():
        raise UserError(key, run, expected, hint="that folder holds no config.yaml, so it is not a run folder")
    raise UserError(key, run, expected, hint=_which_runs(Path(outputs)))


def find_runs(given: str | list[str] | None, outputs: str | Path) -> list[RunFolder]:
    """The run folders that a list names, each as for `find`, or those inside one folder, of a sweep or of a day.

    Raises UserError, of the key `runs`, where they are not two or more, one is there twice, or a link leads out of one.
    """
    if isinstance(given, str):
        inside = sorted(config.parent for config in Path(given).expanduser().glob("*/config.yaml"))
        found: list[RunFolder | Path] = [check_contained(RunFolder(path), "runs") for path in inside]
    else:
        found = [find_run(str(Path(str(name)).expanduser()), outputs, "runs") for name in given or []]
    for place in found:
        if isinstance(place, Path):
            raise UserError("runs", place, "run folders: a checkpoint alone has no curves")
    folders = [place for place in found if isinstance(place, RunFolder)]
    expected = "two different runs or more, [A,B], or a folder of runs"
    if len({folder.path.resolve() for folder in folders}) < len(folders):
        raise UserError("runs", given, expected, "one of them is there twice")
    if len(folders) < 2:
        raise UserError("runs", given, expected, _which_runs(Path(outputs)))
    return folders


def list_runs(outputs: str | Path) -> list[RunFolder]:
    """The run folders under `outputs`, oldest first; jobs of a sweep are runs too."""
    configs = [*Path(outputs).glob("*/*/config.yaml"), *Path(outputs).glob("*/*/*/config.yaml")]
    dated = [c for c in configs if _DATE.fullmatch(c.relative_to(outputs).parts[0])]
    return [RunFolder(c.parent) for c in sorted(dated, key=lambda c: (c.stat().st_mtime_ns, str(c)))]


def _newest(outputs: Path, key: str) -> RunFolder:
    with_checkpoint = [run for run in list_runs(outputs) if run.has_checkpoint()]
    if not with_checkpoint:
        hint = "train one first: genimg-train; or where they lie: outputs=FOLDER"
        raise UserError(key, "last", f"a run with a checkpoint in {outputs.absolute()}", hint)
    return with_checkpoint[-1]


def _which_runs(outputs: Path) -> str:
    known = list_runs(outputs)
    if not known:
        return f"{outputs}/ holds no run yet; train one first: genimg-train"
    return f"{outputs}/ holds {len(known)} runs, the newest is {known[-1].path}"


def _literal(name: str) -> str:
    """`name` as a glob pattern that matches only itself."""
    return re.sub(r"([*?\[])", r"[\1]", name.strip("/"))
