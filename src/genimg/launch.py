"""From a checked configuration to a finished process: run folder, worker, signals, exit code. Torch-free."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

from omegaconf import DictConfig, OmegaConf

from genimg.errors import EXIT_CODE, UserError
from genimg.runs import RunFolder

WORKER = (sys.executable, "-m", "genimg.worker")


def start(config: DictConfig, name: str, overrides: list[str], command: str, folder: Path | None = None) -> int:
    """Runs the task of `config` in a worker process of its own and returns the exit code.

    name: `<model>-<data>`, for the run folder. overrides, command: written beside the configuration.
    folder: where a job of a sweep lies, which keeps it whatever happens; None makes one named by the time.
    A sample or a dry run makes no run folder: its configuration lies in a temporary one.
    """
    if config.task != "train" or config.dry_run:
        with tempfile.TemporaryDirectory(prefix="genimg-") as temporary:
            return _run_worker(_write(config, Path(temporary, "config.yaml")))
    if config.resume is not None:
        return _resume(RunFolder(Path(config.resume)), config, overrides, command)
    missing = _missing(Path(config.outputs))
    run = RunFolder(_make(folder) if folder else _make_dated(Path(config.outputs), name))
    exit_code = _run_in(run, config, overrides, command)
    if exit_code == EXIT_CODE and folder is None and not run.has_checkpoint():
        _remove(run.path, missing)
    return exit_code


def _resume(run: RunFolder, config: DictConfig, overrides: list[str], command: str) -> int:
    """As `_run_in`; where the worker refuses, the run folder stays what it was, `last` by its times too."""
    files = (run.config, run.overrides, run.command)
    before = {path: (path.read_bytes(), path.stat()) for path in files if path.exists()}
    exit_code = _run_in(run, config, overrides, command)
    if exit_code == EXIT_CODE:
        for path in files:
            if path not in before:
                path.unlink()
                continue
            content, status = before[path]
            path.write_bytes(content)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    return exit_code


def _run_in(run: RunFolder, config: DictConfig, overrides: list[str], command: str) -> int:
    config.run_dir = str(run.path)
    _write(config, run.config)
    with run.overrides.open("a", encoding="utf-8") as file:
        file.writelines(f"{override}\n" for override in overrides)
    with run.command.open("a", encoding="utf-8") as file:
        file.write(f"{command}\n")
    return _run_worker(run.config)


def _write(config: DictConfig, path: Path) -> Path:
    resolved = OmegaConf.create(OmegaConf.to_container(config, resolve=True))
    path.write_text(OmegaConf.to_yaml(resolved), encoding="utf-8")
    return path


def _make_dated(outputs: Path, name: str) -> Path:
    """A new `outputs/<date>/<time>-<name>/`; with a number behind it where that second has one already."""
    base = outputs / time.strftime("%Y-%m-%d") / f"{time.strftime('%H-%M-%S')}-{name}"
    number = 1
    while True:
        try:
            return _make(base if number == 1 else base.with_name(f"{base.name}-{number}"))
        except FileExistsError:
            number += 1


def _make(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        if folder.is_dir():
            raise
        raise UserError("outputs", folder, "a folder, but there is a file of that name") from None
    except OSError as error:
        raise UserError("outputs", folder, f"a folder that can be written ({error.strerror})") from error
    return folder


def _missing(folder: Path) -> list[Path]:
    """`folder` and those above it that are not there yet, the deepest first."""
    return [path for path in (folder, *folder.parents) if not os.path.exists(path)]


def _remove(folder: Path, made: list[Path]) -> None:
    """Removes a run that never began, and its date folder and the folders `made` for it where they are empty."""
    shutil.rmtree(folder)
    with contextlib.suppress(OSError):  # not empty: then neither are those above
        for path in (folder.parent, *made):
            path.rmdir()


def _run_worker(config_path: Path) -> int:
    """The worker's exit code; 128 + the signal where one ended it, 130 where a second Ctrl-C did."""
    forward = _Forward()
    environment = {"OMP_WAIT_POLICY": how_threads_wait(), **os.environ, "GENIMG_PARENT": str(os.getpid())}
    # what the caller ignores stays ignored, here and in the worker: nohup, a job in the background of a script
    heard = [n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, forward) for number in heard}
    try:
        # a session of its own: Ctrl-C in the terminal reaches this process alone, which passes it on once
        forward.worker = subprocess.Popen([*WORKER, str(config_path)], env=environment, start_new_session=True)
        code = forward.worker.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if code == -signal.SIGKILL and forward.interrupted:
        return 128 + signal.SIGINT
    return code if code >= 0 else 128 - code


def how_threads_wait(stat: Path = Path("/proc/stat"), seconds: float = 0.1) -> str:
    """ACTIVE on an idle machine, PASSIVE beside other work.

    Between two parallel loops OpenMP's threads spin, which is a third faster than sleep as long as each has a core.
    Where they share one, the spinning takes the time of the thread it waits for: one busy neighbour on two cores makes
    training 5 to 20 times slower than with sleep. So the machine is asked for its idle time first.
    """
    try:
        before = _cpu_times(stat)
        time.sleep(seconds)
        spent = [now - then for now, then in zip(_cpu_times(stat), before, strict=True)]
    except OSError:  # not Linux
        return "ACTIVE"
    idle = spent[3] + spent[4]  # idle and waiting for the disk (proc_stat(5))
    return "ACTIVE" if idle >= 0.8 * sum(spent) else "PASSIVE"


def _cpu_times(stat: Path) -> list[int]:
    """Ticks of all cores together since the start of the machine, by kind."""
    return [int(ticks) for ticks in stat.read_text().splitlines()[0].split()[1:9]]


class _Forward:
    """Passes SIGINT, SIGTERM and SIGHUP (as SIGTERM) on to the worker; a second SIGINT kills it at once."""

    def __init__(self) -> None:
        self.worker: subprocess.Popen[bytes] | None = None
        self.interrupted = False

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        if self.worker is None:
            sys.exit(128 + number)
        if self.worker.poll() is None:
            if number == signal.SIGINT and self.interrupted:
                os.killpg(self.worker.pid, signal.SIGKILL)
            else:
                self.worker.send_signal(signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)
        self.interrupted = self.interrupted or number == signal.SIGINT
