"""Starts the processes of one run, with the environment that torchrun sets."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys


def free_port() -> int:
    """A free port, below the range from which the system assigns ports."""
    while True:
        port = random.SystemRandom().randrange(15_000, 30_000)
        try:
            socket.create_server(("127.0.0.1", port)).close()
            return port
        except OSError:
            continue


def run_together(program: str, words: list[str], processes: int) -> None:
    """Runs the Python code `program` in each of the processes, and asserts that all exit with 0."""
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "TORCHELASTIC_RUN_ID": "test"}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, *words],
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes),
                 "LOCAL_WORLD_SIZE": str(processes), "GROUP_RANK": "0"},
            stderr=subprocess.PIPE, text=True,
        )
        for rank in range(processes)
    ]  # fmt: skip
    try:
        said = [process.communicate(timeout=120)[1] for process in started]
    finally:
        for process in started:
            process.kill()  # those that still wait for others
    assert [process.returncode for process in started] == [0] * processes, said
