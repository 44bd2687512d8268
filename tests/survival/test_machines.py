"""Two machines, simulated by two commands: the run survives a death on either, and no process is left."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.survival.harness import MODELS, SMALL, Killed
from tests.together import free_port

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")]

Straight = Callable[[str, int], dict[str, str]]
Machines = tuple[Killed, list[subprocess.Popen[str]]]

FOREVER = "budget.images=10000000"


@pytest.fixture
def machines(tmp_path: Path):
    """`machines("launch.max_restarts=1")` starts a run and returns it with the commands of both machines."""
    endpoint = f"launch.rdzv_endpoint=127.0.0.1:{free_port()}"
    run = Killed(tmp_path, [])

    def started(*more: str) -> Machines:
        both = Killed(tmp_path, [*SMALL, *MODELS["gan"], "trainer.num_nodes=2", endpoint, *more])
        return both, [both.start(f"launch.node_rank={rank}") for rank in (0, 1)]

    yield started
    run.clean_up()


def ended(run: Killed, commands: list[subprocess.Popen[str]], *codes: int, timeout: float = 240) -> list[str]:
    """The output of each command. `codes` are the expected exit codes."""
    said = [command.communicate(timeout=timeout)[0] for command in commands]
    assert [command.returncode for command in commands] == list(codes), said
    assert run.all_gone()
    return said


def worker_of(run: Killed, command: subprocess.Popen[str]) -> int:
    """The worker of a machine: the child of its agent, which is the child of the command."""
    (agent,) = children(run, command.pid, "genimg.launch.agent")
    (worker,) = children(run, agent, "genimg.launch.worker")
    return worker


def children(run: Killed, parent: int, module: str) -> list[int]:
    stats = {process: Path(f"/proc/{process}/stat").read_text() for process in run.processes(module)}
    return [process for process, stat in stats.items() if int(stat.rpartition(")")[2].split()[1]) == parent]


@pytest.mark.parametrize("which", [pytest.param(0, marks=pytest.mark.long), 1])
def test_a_run_survives_a_death_in_training(which: int, straight: Straight, machines: Callable[..., Machines]) -> None:
    run, commands = machines("launch.max_restarts=1")
    run.wait_for_images(700)
    os.kill(worker_of(run, commands[which]), signal.SIGKILL)
    said = ended(run, commands, 0, 0)
    assert "processes are restarted (1)" in said[0] and said[1] == ""
    assert run.result() == straight("gan", 2)


@pytest.mark.parametrize("which", [0, pytest.param(1, marks=pytest.mark.long)])
def test_a_run_survives_a_death_during_the_final_samples(
    which: int, straight: Straight, machines: Callable[..., Machines]
) -> None:
    run, commands = machines("launch.max_restarts=1")
    run.wait_until_trained()
    os.kill(worker_of(run, commands[which]), signal.SIGKILL)
    said = ended(run, commands, 0, 0)
    assert ("only its images" in said[0]) == (which == 0), said
    assert said[1] == ""
    assert run.result() == straight("gan", 2)


@pytest.mark.long
def test_nobody_waits_for_a_machine_that_has_ended(machines: Callable[..., Machines]) -> None:
    run, commands = machines("launch.max_restarts=3", FOREVER)
    run.wait_for_images(700)
    (agent,) = children(run, commands[1].pid, "genimg.launch.agent")
    os.kill(worker_of(run, commands[1]), signal.SIGSTOP)  # otherwise SIGTERM would end the other machine's worker too
    os.kill(agent, signal.SIGTERM)
    said = ended(run, commands, 1, 143)
    assert said[0].count("error: another machine of the run has ended") == 1
    assert "resume=RUN" in said[0]
    assert "Traceback" not in "".join(said)


@pytest.mark.parametrize(
    ("which", "number"), [pytest.param(0, signal.SIGINT, marks=pytest.mark.long), (1, signal.SIGTERM)]
)
def test_a_signal_to_one_machine_stops_both(
    which: int, number: signal.Signals, machines: Callable[..., Machines]
) -> None:
    run, commands = machines("launch.max_restarts=1", FOREVER)
    run.wait_for_images(700)
    commands[which].send_signal(number)
    said = ended(run, commands, 128 + number, 128 + number)
    assert "error" not in "".join(said)


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_second_machine_during_the_final_samples_ends_only_that(
    number: signal.Signals, straight: Straight, machines: Callable[..., Machines]
) -> None:
    run, commands = machines("launch.max_restarts=1")
    run.wait_until_trained()
    commands[1].send_signal(number)
    said = ended(run, commands, 0, 128 + number)
    assert "error" not in "".join(said)
    assert run.result() == straight("gan", 2)


@pytest.mark.long
def test_a_signal_to_the_first_machine_during_the_final_samples_ends_both(machines: Callable[..., Machines]) -> None:
    run, commands = machines("launch.max_restarts=1")
    run.wait_until_trained()
    commands[0].send_signal(signal.SIGINT)
    said = ended(run, commands, 130, 1)
    assert said[1].count("error: the first machine of the run has ended") == 1
