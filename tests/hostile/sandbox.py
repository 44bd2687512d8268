"""Runs one command in a forked child that may not connect, may write in few places, and has little time and memory.

Forking saves the import of torch, three seconds per case. The command's own worker is forked too, in place of a new
Python process; everything else is the code that a user runs.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pkgutil
import re
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import torch
from PIL import Image

import genimg
from genimg.config.compose import Composer

SECONDS = 30.0  # for one case; an honest one takes 3
MEMORY = 2**30  # bytes beyond what this process holds
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_PATH_EVENTS = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod")
_PROGRAMS = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "subprocess.Popen", "pty.spawn")
_CONNECTIONS = ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto", "urllib.Request")


@dataclass
class Outcome:
    """What a command did. `broken` lists the laws that it broke."""

    code: int
    out: str
    err: str
    seconds: float
    memory: int  # bytes, the maximum resident set
    broken: list[str] = field(default_factory=list)


def preload() -> None:
    """Imports every module and composes one configuration, once for all forks."""
    for module in pkgutil.walk_packages(genimg.__path__, "genimg."):
        if not module.name.startswith("genimg.configs"):
            import_module(module.name)
    for name in ("sklearn.datasets", "scipy.linalg", "safetensors.torch", "tensorboard.summary", "google.protobuf"):
        import_module(name)
    torch.set_num_threads(1)  # threads would not survive the fork
    Image.init()
    Composer("train").defaults([])
    gc.freeze()  # a collection in a fork would copy the pages that it marks


def run_command(words: Sequence[str], folder: Path, writable: Sequence[Path], seconds: float = SECONDS) -> Outcome:
    """Runs `genimg` with these words in `folder`.

    Args:
        writable: folders in which files may change, besides temporary ones.
        seconds: after which the command is killed.
    """

    def command() -> int:
        from genimg.cli import main as cli
        from genimg.launch import start

        start.subprocess = _Forking  # pyright: ignore[reportAttributeAccessIssue]
        sys.argv = ["genimg", *words]
        return cli.main()

    return run(command, folder, writable, seconds)


def run(action: Callable[[], int], folder: Path, writable: Sequence[Path], seconds: float = SECONDS) -> Outcome:
    """Runs `action` in a forked child in `folder` and returns its exit code as one of a command."""
    files = [folder / f".{name}" for name in ("stdout", "stderr", "audit")]
    for file in files:
        file.touch()
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        _child(action, folder, files, [*writable, *files], seconds)
    code, memory, timed_out = _wait(child, started + seconds)
    out, err = (file.read_text(errors="replace") for file in files[:2])
    outcome = Outcome(code, out, err, time.monotonic() - started, memory)
    outcome.broken += files[2].read_text(errors="replace").splitlines()
    if timed_out:
        outcome.broken.append(f"it runs longer than {seconds:g} s")
    if survivors := _survivors(child):
        outcome.broken.append(f"it leaves the processes {survivors}")
    return outcome


def check(outcome: Outcome) -> list[str]:
    """The laws that an outcome breaks: its exit code, one message, no traceback, no control characters."""
    broken = list(outcome.broken)
    # it trained, with settings that cannot work, or its samples could not be written
    trained = any(words in outcome.err for words in ("became non-finite", "the run is trained"))
    if outcome.code not in (0, 2) and not (outcome.code == 1 and trained):
        broken.append(f"exit code {outcome.code}")
    text = outcome.out + outcome.err
    if "Traceback (most recent call last)" in text:
        broken.append("a traceback")
    errors = re.findall(r"^error: ", outcome.err, re.MULTILINE)
    if outcome.code == 2 and len(errors) != 1:
        broken.append(f"{len(errors)} error messages")
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f\x80-\x9f\u202a-\u202e\u2066-\u2069]", text):
        broken.append("control characters in the output")
    if outcome.memory > MEMORY + _resident():
        broken.append(f"{outcome.memory >> 20} MB of memory")
    return broken


def _renew_threads() -> None:
    """Replaces the pool of threads that a fork leaves without threads, before two threads of torch replace it at once
    and one of them aborts: "Invalid thread pool!"."""
    torch.set_num_threads(1)


def _child(
    action: Callable[[], int], folder: Path, files: Sequence[Path], writable: Sequence[Path], seconds: float
) -> NoReturn:
    code = 70
    try:
        os.setsid()
        _renew_threads()
        os.chdir(folder)
        for number, file in ((0, os.devnull), (1, files[0]), (2, files[1])):
            descriptor = os.open(file, os.O_RDWR | os.O_APPEND)
            os.dup2(descriptor, number)
            os.close(descriptor)
        sys.stdin, sys.stdout, sys.stderr = os.fdopen(0, "r"), os.fdopen(1, "w"), os.fdopen(2, "w")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)
        resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 5))
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**28, 2**28))
        space = _virtual() + 2 * MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (space, space))
        _audit(files[2], writable)
        code = action()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _audit(log: Path, writable: Sequence[Path]) -> None:
    """Records forbidden events in `log`, and refuses connections and programs."""
    places = [os.path.realpath(place) for place in (*writable, Path("/dev"), Path("/proc/self"))]
    temporary = re.compile(re.escape(os.path.realpath(os.environ.get("TMPDIR", "/tmp"))) + r"/(genimg-|tmp|torch)")
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)

    def report(text: str) -> None:
        os.write(descriptor, text.encode(errors="backslashreplace")[:300] + b"\n")

    def allowed(path: object) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return True  # a descriptor, whose path was checked
        place = os.path.realpath(os.fsdecode(path))
        return bool(temporary.match(place)) or any(
            place == one or place.startswith(os.path.join(one, "")) for one in places
        )

    def hook(event: str, given: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = given
            if isinstance(flags, int) and flags & _WRITES and not allowed(path):
                report(f"it opens {path!r} to write")
                raise PermissionError(13, "refused by the sandbox", path)
        elif event in _PATH_EVENTS:
            # a name relative to an open folder, as in shutil.rmtree: the caller compares the folders afterwards
            relative = any(isinstance(one, int) and not isinstance(one, bool) and one >= 0 for one in given[-2:])
            for path in () if relative and event in ("os.remove", "os.rmdir") else given[:2]:
                if isinstance(path, str | bytes) and not allowed(path):
                    report(f"{event} of {path!r}")
                    raise PermissionError(13, "refused by the sandbox", path)
        elif event.startswith(_CONNECTIONS):
            address = given[1] if len(given) > 1 else given
            if not isinstance(address, str | bytes):  # a path is a local socket
                report(f"{event} {address!r}")
                raise PermissionError(13, "refused by the sandbox")
        elif event.startswith(_PROGRAMS):
            report(f"{event} {given[:2]!r}")
            raise PermissionError(13, "refused by the sandbox")

    sys.addaudithook(hook)


class _Forking:
    """Stands for the module `subprocess` in `genimg.launch.start`: the worker is a fork of the command."""

    class Popen:
        def __init__(self, command: Sequence[str], env: Mapping[str, str], **_: Any) -> None:
            sys.stdout.flush()
            sys.stderr.flush()
            self.returncode: int | None = None
            self.pid = os.fork()
            if self.pid == 0:
                code = 70
                try:
                    _renew_threads()
                    os.environ.update(env)
                    from genimg.launch import worker

                    code = worker.main(command[-1])
                finally:
                    with contextlib.suppress(Exception):
                        sys.stdout.flush()
                        sys.stderr.flush()
                    os._exit(code)

        def poll(self) -> int | None:
            if self.returncode is None:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                self.returncode = os.waitstatus_to_exitcode(status) if pid else None
            return self.returncode

        def wait(self) -> int:
            if self.returncode is None:
                self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            return self.returncode


def _wait(child: int, deadline: float) -> tuple[int, int, bool]:
    """The exit code, the maximum resident set in bytes, and whether the child had to be killed."""
    timed_out = False
    while True:
        pid, status, usage = os.wait4(child, os.WNOHANG)
        if pid:
            code = os.waitstatus_to_exitcode(status)
            return (code if code >= 0 else 128 - code), usage.ru_maxrss * 1024, timed_out
        if time.monotonic() > deadline:
            timed_out = True
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
        time.sleep(0.005)


def _survivors(group: int) -> list[int]:
    """The processes of the child's group that still live; they are killed."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state = (place / "stat").read_text().rpartition(")")[2].split()
            if int(state[3]) == group and state[0] != "Z":  # its session
                found.append(int(place.name))
                os.kill(int(place.name), signal.SIGKILL)
    return found


def _virtual() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
