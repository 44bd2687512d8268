"""Starts the workers of a configuration: run folder, processes, signals, exit code. No torch."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from omegaconf import DictConfig, OmegaConf

from genimg.common import raised, ranks
from genimg.common.errors import EXIT_CODE, UserError
from genimg.common.files import append_text, atomic_write, check_empty, create_numbered, hold_lock, report_write_errors
from genimg.common.processes import ProcessGroupFiles, block_interrupts, parent_environment
from genimg.common.run_config import read_config
from genimg.common.run_folder import RunFolder
from genimg.common.text import printable
from genimg.launch.environment import worker_environment

WORKER = (sys.executable, "-P", "-m", "genimg.launch.worker")  # -P: nothing of the working folder is imported
AGENT = (sys.executable, "-P", "-m", "genimg.launch.agent")  # starts one worker for each device


def start(
    config: DictConfig,
    name: str,
    overrides: list[str],
    command: str,
    folder: Path | None = None,
    defaults: Callable[[DictConfig], DictConfig | None] = lambda config: None,
    worker: Sequence[str] = WORKER,
    lock_timeout: float = 10,
) -> int:
    """Runs the task of `config` in a worker process and returns its exit code.

    Training gets a run folder, created by the command of rank 0. Other tasks and dry runs get a temporary one.

    Args:
        name: `<model>-<data>`, the end of the run folder's name.
        overrides, command: written beside the configuration.
        folder: the run folder of a job of a sweep, kept even if the run fails; None creates `run_dir`, or one named by
            the time.
        defaults: returns the configuration that the choice of model and data alone would give, if it can be composed.
        worker: the command that runs one process; it is given the path of the configuration.
        lock_timeout: seconds to wait for a process that still saves in the run folder.
    """
    if config.task != "train" or config.dry_run or not _owns_run_folder(config):
        with tempfile.TemporaryDirectory(prefix="genimg-") as temporary:
            if config.task == "train" and config.resume is None:  # this command creates no folder
                config.run_dir = temporary if config.dry_run else None
            return run_workers(config, write(config, Path(temporary, "config.yaml")), worker)

    def run_in(run: RunFolder, lock: list[int]) -> int:
        config.run_dir = str(run.path)
        with report_write_errors("outputs", run.path):
            write(config, run.config)
            append_text(run.overrides, "".join(f"{override}\n" for override in overrides))
            append_text(run.command, f"{command}\n")
        return run_workers(config, run.config, worker, lock)

    if config.resume is not None:
        run = RunFolder(Path(config.resume))
        with hold_lock(run.lock, "resume", lock_timeout) as lock:
            restore = _snapshot(run)
            _report_processes(run, config)
            exit_code = run_in(run, lock)
            if exit_code == EXIT_CODE:  # the worker refused
                restore()
            return exit_code
    run, created = _new_folder(config, folder, name)
    with hold_lock(run.lock, "run_dir", lock_timeout) as lock:
        check_empty(run.path, "run_dir", besides=run.lock.name)  # another command may have had it in the meantime
        config.run_dir = str(run.path)  # before `defaults`: some settings depend on it
        try:
            if (by_default := defaults(config)) is not None:
                with report_write_errors("outputs", run.path):
                    write(by_default, run.defaults)
            exit_code = run_in(run, lock)
        except UserError:
            if folder is None:
                _remove(run.path, created)
            raise
        if exit_code == EXIT_CODE and folder is None and not run.has_checkpoint():
            _remove(run.path, created)
    if exit_code > 128 and not run.has_checkpoint():
        print(f"stopped before the first checkpoint: there is none in {printable(str(run.path))}", file=sys.stderr)
    return exit_code


def _report_processes(run: RunFolder, config: DictConfig) -> None:
    """Prints how to continue with as many processes as before, if this command starts another number of them."""
    before = read_config(run.config, "resume").get("trainer")
    for name in ("devices", "num_nodes"):
        number = before.get(name) if isinstance(before, dict) else None
        if isinstance(number, int) and number != config.trainer[name]:
            print(f"trainer.{name} was {number} and is now {config.trainer[name]}; as before: trainer.{name}={number}")


def _snapshot(run: RunFolder) -> Callable[[], None]:
    """Returns a function that restores the files of the command, and their times, by which `last` is found."""
    files = (run.config, run.overrides, run.command)
    before = {}
    for path in files:
        with report_write_errors("resume", path, "a file"):
            if path.exists():
                before[path] = (path.read_bytes(), path.stat())

    def restore() -> None:
        for path in files:
            if path not in before:
                path.unlink()
                continue
            content, status = before[path]
            path.write_bytes(content)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    return restore


def write(config: DictConfig, path: Path) -> Path:
    """Writes the resolved configuration, which a worker reads, and returns `path`."""
    resolved = OmegaConf.create(OmegaConf.to_container(config, resolve=True))
    with atomic_write(path) as file:  # on a full disk a run that is resumed keeps its previous one
        file.write(OmegaConf.to_yaml(resolved).encode())
    return path


def _new_folder(config: DictConfig, folder: Path | None, name: str) -> tuple[RunFolder, list[Path]]:
    """The folder of a new run, and the folders that did not exist before, the deepest first.

    folder: that of a job of a sweep. None: `run_dir`, which may be an empty folder, or a new one named by the time.
    """
    if folder is None and config.run_dir is not None:
        run = RunFolder(Path(config.run_dir))
        created = _missing(run.path)
        _create(check_empty(run.path, "run_dir", besides=run.lock.name), "run_dir", exist_ok=True)
        return run, created
    path = folder or Path(config.outputs, time.strftime("%Y-%m-%d"), f"{time.strftime('%H-%M-%S')}-{name}")
    created = _missing(path.parent)
    run = RunFolder(_create(path) if folder else create_numbered(path, _create))
    return run, [run.path, *created]


def _create(folder: Path, key: str = "outputs", exist_ok: bool = False) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=exist_ok)
    except FileExistsError:
        if folder.is_dir():
            raise
        raise UserError(key, folder, "a folder, but there is a file of that name") from None
    except OSError as error:
        raise UserError(key, folder, f"a folder that can be written ({error.strerror})") from error
    return folder


def _missing(folder: Path) -> list[Path]:
    """Returns those of `folder` and its parents that do not exist yet, the deepest first."""
    return [path for path in (folder, *folder.parents) if not os.path.exists(path)]


def _remove(folder: Path, created: list[Path]) -> None:
    """Empties the folder of a run that never began, and removes those that were `created` for it, if empty."""
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    with contextlib.suppress(OSError):  # not empty: nor are those above
        for path in created:
            path.rmdir()


def _owns_run_folder(config: DictConfig) -> bool:
    """Whether this command starts rank 0."""
    return ranks.rank() == 0 and ("launch" not in config or config.launch.node_rank == 0)


def _starts_group(config: DictConfig) -> bool:
    """Whether this command starts several processes: not if torchrun or srun has started one command for each."""
    if "trainer" not in config or ranks.is_distributed():
        return False
    return config.trainer.devices > 1 or config.trainer.num_nodes > 1


def run_workers(config: DictConfig, config_path: Path, worker: Sequence[str], lock: Sequence[int] = ()) -> int:
    """Returns the exit code of the workers; 128 + the signal if one ended them, 130 after a second Ctrl-C.

    lock: open files that lock the run folder as long as any of the run's processes lives.
    """
    if not _starts_group(config):
        return _run_child([*worker, str(config_path)], None, lock)
    with tempfile.TemporaryDirectory(prefix="genimg-") as folder:
        return _run_child([*AGENT, str(config_path)], ProcessGroupFiles(Path(folder)), lock)


def _run_child(command: list[str], files: ProcessGroupFiles | None, lock: Sequence[int]) -> int:
    forward = SignalForwarder(files)
    environment = {**worker_environment(os.environ), **parent_environment(), **raised.environment()}
    # signals that the caller ignores stay ignored, here and in the worker: nohup, background jobs of a script
    forwarded = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
    handled = [number for number in forwarded if signal.getsignal(number) is not signal.SIG_IGN]
    if threading.current_thread() is not threading.main_thread():
        handled = []  # of Python's threads only the main one has signals
    if signal.SIGUSR1 in handled and signal.getsignal(signal.SIGUSR1) is not signal.SIG_DFL:
        handled.remove(signal.SIGUSR1)  # a scheduler's handler, which ends the worker by SIGTERM (sweeps/signals.py)
    before = {number: signal.signal(number, forward) for number in handled}
    try:
        if files is not None:  # the worker reports a lost connection; torch's C++ log would add a stack trace
            environment = {"TORCH_CPP_LOG_LEVEL": "FATAL", **environment, **files.environment}
        # with a new session the child does not receive Ctrl-C from the terminal, only what is forwarded
        with block_interrupts():
            forward.child = subprocess.Popen(command, env=environment, start_new_session=True, pass_fds=lock)
        code = forward.child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if code == -signal.SIGKILL and forward.interrupted:
        cursor = "\x1b[?25h" if sys.stderr.isatty() else ""  # shows the cursor, which a progress bar hides
        print(f"{cursor}stopped at once; what was being saved is lost", file=sys.stderr)
        return 128 + signal.SIGINT
    if files is None and -code in (signal.SIGABRT, signal.SIGBUS, signal.SIGKILL, signal.SIGSEGV):
        name = signal.Signals(-code).name
        print(f"error: the process of the run was ended by {name}, as when memory runs out", file=sys.stderr)
    return code if code >= 0 else 128 - code


class SignalForwarder:
    """A signal handler that forwards SIGINT as it is, and SIGTERM, SIGHUP and SIGUSR1 as SIGTERM, to a child.

    A second SIGINT kills the child.

    files: of a process group, whose agent is the child; signals go to the worker that listens for the group.
    """

    def __init__(self, files: ProcessGroupFiles | None) -> None:
        self.files = files
        self.child: subprocess.Popen[bytes] | None = None
        self.interrupted = False

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        if self.child is None:
            sys.exit(128 + number)
        if self.child.poll() is None:
            if number == signal.SIGINT and self.interrupted:
                os.killpg(self.child.pid, signal.SIGKILL)
            else:
                self._send(self.child.pid, signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)
        self.interrupted = self.interrupted or number == signal.SIGINT

    def _send(self, child: int, number: int) -> None:
        if self.files is not None:
            self.files.request_stop(128 + number)
            if (listener := self.files.listener()) is not None:
                with contextlib.suppress(ProcessLookupError):  # it has died and is being restarted
                    os.kill(listener, number)
                    return
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.kill(child, number)
