"""The run folder: the locations of its files, and the search for a run. Torch-free."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from genimg.common.errors import UserError

OF_RUN = "run:"  # before a run in the value of a key that else takes files

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


class _Inside:
    """A path below the run folder; a descriptor."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, run: "RunFolder", owner: object = None) -> Path:
        return run.path / self.name


@dataclass(frozen=True)
class RunFolder:
    """The paths in the folder of one run, `outputs/<date>/<time>-<model>-<data>/`. No file is opened."""

    path: Path

    config = _Inside("config.yaml")  # the resolved configuration, written by the command
    defaults = _Inside("defaults.yaml")  # the configuration with the same model and data and no other override
    overrides = _Inside("overrides.txt")  # the user's overrides of the defaults, one per line
    command = _Inside("command.txt")  # the shell command that repeats the run
    lock = _Inside(".lock")  # an empty file, locked while the run is being trained
    checkpoints = _Inside("checkpoints")
    last = _Inside("checkpoints/last.pt")
    previous = _Inside("checkpoints/previous.pt")  # the checkpoint before `last`, used if `last` is damaged
    best = _Inside("checkpoints/best.pt")
    best_metric = _Inside("best.json")  # best value of the selecting metric: name, value, n and images seen
    pruned = _Inside("pruned.json")  # if a search stopped the run early: images seen, and the value of the metric
    samples = _Inside("samples")
    final = _Inside("samples/final")  # the samples drawn at the end of the run
    exports = _Inside("export")
    tensorboard = _Inside("tensorboard")
    metrics = _Inside("metrics.jsonl")  # one JSON object per line, with `images_seen`, and `n` for validation metrics
    log = _Inside("train.log")
    report = _Inside("report.html")

    def log_of(self, rank: int) -> Path:
        """Returns the log of the process of this rank; rank 0 writes the log of the run."""
        return self.path / f"train.rank{rank}.log" if rank else self.log

    def kept(self) -> list[Path]:
        """The files that `checkpoint.keep` has left, the oldest first."""
        found = [path for path in self.checkpoints.glob("*.pt") if path.stem.isascii() and path.stem.isdigit()]
        return sorted(found, key=lambda path: int(path.stem))

    def has_checkpoint(self) -> bool:
        return any(self.checkpoints.glob("*.pt"))

    def is_complete(self) -> bool:
        """Whether the run has its final samples, and a report that is newer than the last checkpoint."""
        report, last = self.report, self.last
        if not (report.exists() and self.final.is_dir()):
            return False
        return not last.exists() or report.stat().st_mtime_ns >= last.stat().st_mtime_ns


def output_folder(checkpoint: Path) -> Path:
    """Returns the folder for output about a checkpoint file: its run folder, or its own folder outside a run.

    Raises:
        UserError: if output would be written through a link out of the run folder.
    """
    run = RunFolder(checkpoint.parent.parent)
    if checkpoint.parent != run.checkpoints:
        return checkpoint.parent
    for path in (run.samples, run.tensorboard, run.exports):
        _refuse_link_out(str(path), _inside(run), "run")
    return run.path


def check_contained(run: RunFolder, key: str = "run") -> RunFolder:
    """Returns `run` if it contains only files and folders, and no link out of it.

    Through a link, an untrusted folder could have other files read or written. Reading a pipe would block.

    Raises:
        UserError: with the key `key`, for the first other entry.
    """
    inside = _inside(run)
    for folder, folders, files in os.walk(run.path):
        for path in (os.path.join(folder, name) for name in (*folders, *files)):
            _refuse_link_out(path, inside, key)
            if not (os.path.islink(path) or os.path.isfile(path) or os.path.isdir(path)):
                raise UserError(key, path, "only files and folders in a run folder", hint="remove it")
    return run


def _inside(run: RunFolder) -> str:
    return os.path.join(os.path.realpath(run.path), "")


def _refuse_link_out(path: str, inside: str, key: str) -> None:
    if os.path.islink(path) and not os.path.realpath(path).startswith(inside):
        hint = "remove it, or sample from the checkpoint file alone: genimg sample run=FILE out=FOLDER"
        raise UserError(key, f"{path} -> {os.readlink(path)}", "a run folder without links out of it", hint)


def find_run(run: str, outputs: str | Path, key: str = "run") -> RunFolder | Path:
    """Finds the run that `run` names: a run folder, a checkpoint file, or `last`, the newest run with a checkpoint.

    Relative names are also searched in `outputs` and its date folders.

    Raises:
        UserError: with the key `key`, if there is no such run, or a link leads out of its folder.
    """
    if run == "last":
        return check_contained(_newest(Path(outputs), key), key)
    for place in (Path(run), Path(outputs, run), *sorted(Path(outputs).glob(f"*/{_literal(run)}"), reverse=True)):
        if place.is_file():
            return place
        if place.is_dir() and RunFolder(place).config.is_file():
            return check_contained(RunFolder(place), key)
    expected = "a run folder, a checkpoint file, or last (the newest run)"
    if Path(run).is_dir():
        raise UserError(key, run, expected, hint="not a run folder: it has no config.yaml")
    raise UserError(key, run, expected, hint=_describe_runs(Path(outputs)))


def path_of(place: RunFolder | Path) -> Path:
    """The path of what `find_run` returns."""
    return place.path if isinstance(place, RunFolder) else place


def run_at(path: str | Path) -> RunFolder | Path:
    """The run folder or checkpoint file at a path that the command has resolved."""
    return RunFolder(Path(path)) if Path(path).is_dir() else Path(path)


def runs_at(paths: str | list[str]) -> list[RunFolder]:
    """The run folders at a list of paths, or inside one folder, that the command has resolved."""
    if isinstance(paths, str):
        return [RunFolder(config.parent) for config in sorted(Path(paths).glob("*/config.yaml"))]
    return [RunFolder(Path(path)) for path in paths]


def find_runs(given: str | list[str] | None, outputs: str | Path) -> list[RunFolder]:
    """Finds several runs: those in a list of names, each as for `find_run`, or all in one folder, of a sweep or a day.

    Raises:
        UserError: with the key `runs`, if there are fewer than two, one occurs twice, or a link leads out of one.
    """
    if isinstance(given, str):
        inside = sorted(config.parent for config in Path(given).expanduser().glob("*/config.yaml"))
        found: list[RunFolder | Path] = [check_contained(RunFolder(path), "runs") for path in inside]
    else:
        found = [find_run(str(Path(str(name)).expanduser()), outputs, "runs") for name in given or []]
    for place in found:
        if isinstance(place, Path):
            raise UserError("runs", place, "run folders; a checkpoint file has no metrics")
    folders = [place for place in found if isinstance(place, RunFolder)]
    expected = "two or more different runs, [A,B], or a folder of runs"
    if len({folder.path.resolve() for folder in folders}) < len(folders):
        raise UserError("runs", given, expected, "one of them occurs twice")
    if len(folders) < 2:
        raise UserError("runs", given, expected, _describe_runs(Path(outputs)))
    return folders


def list_runs(outputs: str | Path) -> list[RunFolder]:
    """Lists the run folders in `outputs`, including the jobs of sweeps, oldest first."""
    configs = [*Path(outputs).glob("*/*/config.yaml"), *Path(outputs).glob("*/*/*/config.yaml")]
    dated = [c for c in configs if _DATE.fullmatch(c.relative_to(outputs).parts[0])]
    return [RunFolder(c.parent) for c in sorted(dated, key=lambda c: (c.stat().st_mtime_ns, str(c)))]


def _newest(outputs: Path, key: str) -> RunFolder:
    with_checkpoint = [run for run in list_runs(outputs) if run.has_checkpoint()]
    if not with_checkpoint:
        hint = "train one with genimg-train, or set outputs=FOLDER"
        raise UserError(key, "last", f"a run with a checkpoint in {outputs.absolute()}", hint)
    return with_checkpoint[-1]


def _describe_runs(outputs: Path) -> str:
    known = list_runs(outputs)
    if not known:
        return f"{outputs}/ contains no run yet; train one with genimg-train"
    return f"{outputs}/ contains {len(known)} runs, the newest is {known[-1].path}"


def _literal(name: str) -> str:
    """Returns a glob pattern that matches only `name`."""
    return re.sub(r"([*?\[])", r"[\1]", name.strip("/"))
