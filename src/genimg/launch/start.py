"""From a checked configuration to finished processes: run folder, workers, signals, exit code. Torch-free."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from omegaconf import DictConfig, OmegaConf

from genimg.common import ranks
from genimg.common.errors import EXIT_CODE, UserError
from genimg.common.files import append_text, atomic_write, hold_lock, report_write_errors
from genimg.common.processes import Control, as_parent, interrupts_held_back
from genimg.common.run_folder import RunFolder
from genimg.launch.environment import worker_environment

WORKER = (sys.executable, "-m", "genimg.launch.worker")
AGENT = (sys.executable, "-m", "genimg.launch.agent")  # of a run on several devices: it starts a worker for each


def start(
    config: DictConfig,
    name: str,
    overrides: list[str],
    command: str,
    folder: Path | None = None,
    defaults: Callable[[DictConfig], DictConfig | None] = lambda config: None,
) -> int:
    """Runs the task of `config` in a worker process of its own and returns the exit code.

    name: `<model>-<data>`, for the run folder. overrides, command: written beside the configuration.
    folder: where a job of a sweep lies, which keeps it whatever happens; None makes one named by the time.
    defaults: from the configuration to what it would be by its model and data alone, where that can be told.
    A sample or a dry run makes no run folder: its configuration lies in a temporary one. Nor does a process that
    works for a run whose first process is elsewhere: that one's command makes it.
    """
    if config.task != "train" or config.dry_run or not _leads(config):
        with tempfile.TemporaryDirectory(prefix="genimg-") as temporary:
            return _run_worker(config, _write(config, Path(temporary, "config.yaml")))
    if config.resume is not None:
        run = RunFolder(Path(config.resume))
        with hold_lock(run.lock, "resume") as lock:  # one that was killed may be saving still
            return _resume(run, config, overrides, command, lock)
    missing = _missing(Path(config.outputs))
    run = RunFolder(_make(folder) if folder else _make_dated(Path(config.outputs), name))
    config.run_dir = str(run.path)  # some settings follow it
    try:
        if (by_default := defaults(config)) is not None:
            with report_write_errors("outputs", run.path):
                _write(by_default, run.defaults)
        with hold_lock(run.lock, "run_dir") as lock:
            exit_code = _run_in(run, config, overrides, command, lock)
    except UserError:
        if folder is None:
            _remove(run.path, missing)
        raise
    if exit_code == EXIT_CODE and folder is None and not run.has_checkpoint():
        _remove(run.path, missing)
    if exit_code > 128 and not run.has_checkpoint():
        print(f"stopped before there was a checkpoint: {run.path} holds none", file=sys.stderr)
    return exit_code


def _resume(run: RunFolder, config: DictConfig, overrides: list[str], command: str, lock: list[int]) -> int:
    """As `_run_in`; where the worker refuses, the run folder stays what it was, `last` by its times too."""
    files = (run.config, run.overrides, run.command)
    before = {path: (path.read_bytes(), path.stat()) for path in files if path.exists()}
    exit_code = _run_in(run, config, overrides, command, lock)
    if exit_code == EXIT_CODE:
        for path in files:
            if path not in before:
                path.unlink()
                continue
            content, status = before[path]
            path.write_bytes(content)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    return exit_code


def _run_in(run: RunFolder, config: DictConfig, overrides: list[str], command: str, lock: list[int]) -> int:
    config.run_dir = str(run.path)
    with report_write_errors("outputs", run.path):
        _write(config, run.config)
        append_text(run.overrides, "".join(f"{override}\n" for override in overrides))
        append_text(run.command, f"{command}\n")
    return _run_worker(config, run.config, lock)


def _write(config: DictConfig, path: Path) -> Path:
    resolved = OmegaConf.create(OmegaConf.to_container(config, resolve=True))
    with atomic_write(path) as file:  # on a full disk a run that is resumed keeps the one it has
        file.write(OmegaConf.to_yaml(resolved).encode())
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


def _leads(config: DictConfig) -> bool:
    """Whether the first process of the run is started by this command."""
    return ranks.rank() == 0 and ("launch" not in config or config.launch.node_rank == 0)


def _starts_several(config: DictConfig) -> bool:
    """Whether this command starts the run's processes itself: not where torchrun or srun has started one for each."""
    if "trainer" not in config or ranks.is_one_of_several():
        return False
    return config.trainer.devices > 1 or config.trainer.num_nodes > 1


def _run_worker(config: DictConfig, config_path: Path, lock: Sequence[int] = ()) -> int:
    """The exit code of the workers; 128 + the signal where one ended them, 130 where a second Ctrl-C did.

    lock: the open files of what is held for the run, for as long as any of its processes lives.
    """
    if not _starts_several(config):
        return _wait_for([*WORKER, str(config_path)], None, lock)
    with tempfile.TemporaryDirectory(prefix="genimg-") as control:
        return _wait_for([*AGENT, str(config_path)], Control(Path(control)), lock)


def _wait_for(command: list[str], control: Control | None, lock: Sequence[int]) -> int:
    forward = _Forward(control)
    environment = {**worker_environment(os.environ), **as_parent()}
    # what the caller ignores stays ignored, here and in the worker: nohup, a job in the background of a script
    passed_on = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
    heard = [number for number in passed_on if signal.getsignal(number) is not signal.SIG_IGN]
    if signal.SIGUSR1 in heard and signal.getsignal(signal.SIGUSR1) is not signal.SIG_DFL:
        heard.remove(signal.SIGUSR1)  # a scheduler's own, which ends the worker by SIGTERM (sweeps/apart.py)
    before = {number: signal.signal(number, forward) for number in heard}
    try:
        if control is not None:  # of a lost connection we say what it means, torch's C++ with a stack of its own
            environment = {"TORCH_CPP_LOG_LEVEL": "FATAL", **environment, **control.environment}
        # a session of its own: Ctrl-C in the terminal reaches this process alone, which passes it on once
        with interrupts_held_back():
            forward.child = subprocess.Popen(command, env=environment, start_new_session=True, pass_fds=lock)
        code = forward.child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if code == -signal.SIGKILL and forward.interrupted:
        shown = "\x1b[?25h" if sys.stderr.isatty() else ""  # the cursor, which a progress bar hides
        print(f"{shown}stopped at once, without waiting for what was being saved", file=sys.stderr)
        return 128 + signal.SIGINT
    return code if code >= 0 else 128 - code


class _Forward:
    """Passes SIGINT, and SIGTERM, SIGHUP and SIGUSR1 as SIGTERM, on to the worker; a second SIGINT kills it at once.

    control: of a group, whose agent is the child; the signal goes to the worker that listens for all of them.
    """

    def __init__(self, control: Control | None) -> None:
        self.control = control
        self.child: subprocess.Popen[bytes] | None = None
        self.interrupted = False

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        if self.child is None:
            sys.exit(128 + number)
        if self.child.poll() is None:
            if number == signal.SIGINT and self.interrupted:
                os.killpg(self.child.pid, signal.SIGKILL)
            else:
                self._pass_on(self.child.pid, signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)
        self.interrupted = self.interrupted or number == signal.SIGINT

    def _pass_on(self, child: int, number: int) -> None:
        if self.control is not None:
            self.control.ask_to_stop(128 + number)
            if (listener := self.control.listener()) is not None:
                with contextlib.suppress(ProcessLookupError):  # it has died, and its like are being started anew
                    os.kill(listener, number)
                    return
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.kill(child, number)
