"""Workers that start in a tenth of a second, because they fork from a process that has imported torch and Lightning.

The tests of pages run dozens of commands one after the other, and half of their time was that import. `serve` is the
process, and this file as a program is the command of a worker (`genimg.launch.start.WORKER`), which has one forked:

    python tests/warm.py SOCKET CONFIG

Nothing else differs: the configuration, the working folder, the environment and the streams are those of the command.
Several workers of one run start as usual. Signals are not passed on.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def warm_worker() -> Iterator[tuple[str, ...]]:
    """The command of a worker that forks from a process which lives as long as the context."""
    with tempfile.TemporaryDirectory(prefix="genimg-") as folder:
        address = str(Path(folder, "socket"))
        with subprocess.Popen([sys.executable, "-P", __file__, address], stdout=subprocess.PIPE) as server:
            try:
                assert server.stdout is not None and server.stdout.readline() == b"ready\n"
                yield (sys.executable, "-P", __file__, address)
            finally:
                server.kill()


def serve(address: str) -> None:
    """Forks a worker for each connection, one at a time, and answers with its exit code."""
    from genimg.common.lightning import import_lightning
    from genimg.common.processes import end_with_parent

    end_with_parent(signal.SIGKILL)
    import_lightning()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        print("ready", flush=True)
        while True:
            connection, _ = listener.accept()
            with connection:
                request, streams, _, _ = socket.recv_fds(connection, 1 << 20, 3)
                child = os.fork()
                if child == 0:
                    _work(**json.loads(request), streams=streams)
                for stream in streams:
                    os.close(stream)
                code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                connection.sendall(str(code).encode())


def _work(config: str, folder: str, environment: dict[str, str], streams: list[int]) -> None:
    """Becomes the worker of the configuration. Does not return."""
    from genimg.common.processes import parent_environment
    from genimg.launch.worker import main

    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    code = 1
    try:
        os.environ.update({name: str(os.getppid()) for name in parent_environment()})
        code = main(config)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def request(address: str, config: str) -> int:
    """Has a worker forked, waits for it and returns its exit code."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        words = {"config": config, "folder": os.getcwd(), "environment": dict(os.environ)}
        socket.send_fds(connection, [json.dumps(words).encode()], [0, 1, 2])
        return int(connection.recv(16))


if __name__ == "__main__":
    if len(sys.argv) == 2:
        serve(sys.argv[1])
    sys.exit(request(*sys.argv[1:]))
