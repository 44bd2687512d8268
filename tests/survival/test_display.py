"""The terminal is only a display: whatever becomes of it, a run trains, saves and logs as without it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from genimg.common.run_folder import RunFolder
from tests.survival.displays import BROKEN, start_in_a_pipeline, start_in_a_terminal
from tests.survival.harness import COMMAND, Killed

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")

Straight = Callable[[str, int], dict[str, str]]
Start = Callable[..., Killed]

QUICK = "budget.images=64"
FOREVER = "budget.images=10000000"


def logged(run: RunFolder) -> list[str]:
    """The lines of train.log without their times."""
    return [line[24:] for line in run.log.read_text().splitlines()]


QUICKLY_TESTED = ("closed descriptors", "ASCII in a terminal")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICKLY_TESTED else pytest.mark.slow) for name in BROKEN]
)
def test_a_run_trains_without_its_display(name: str, killed: Start) -> None:
    run = killed("gan", 1, QUICK)
    process = BROKEN[name].start(run)
    assert process.wait(120) == 0
    assert run.run.is_complete()
    lines = logged(run.run)
    assert any("trained   64 images" in line for line in lines) and "report    " in lines[-2], lines
    assert run.all_gone()


@pytest.mark.long
@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("processes", [1, 2])
def test_the_result_is_that_of_a_run_with_a_display(
    name: str, processes: int, straight: Straight, killed: Start
) -> None:
    run = killed("gan", processes)
    process = BROKEN[name].start(run)
    assert process.wait(240) == 0
    assert run.result() == straight("gan", processes)


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_signal_to_a_pipeline_saves(number: signal.Signals, killed: Start) -> None:
    """Ctrl-C reaches the whole foreground group: `tee` ends before the run has printed its last lines."""
    run = killed("gan", 1, FOREVER)
    command, tee = start_in_a_pipeline(run)
    run.wait_for_images(200)
    os.killpg(tee.pid, number)
    assert tee.wait(60) == -number
    assert command.wait(60) == 128 + number
    assert run.run.has_checkpoint() and not run.run.final.is_dir(), "as without a pipe"
    assert any(f"{number.name}: saving and stopping" in line for line in logged(run.run))
    assert run.all_gone()


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_ctrl_c_in_a_pipeline_is_resumed_like_one_without(processes: int, straight: Straight, killed: Start) -> None:
    run = killed("gan", processes)
    command, tee = start_in_a_pipeline(run)
    run.wait_for_images(700)
    os.killpg(tee.pid, signal.SIGINT)
    assert (tee.wait(60), command.wait(60)) == (-signal.SIGINT, 130)
    code, out = run.finish(*run.resume_words())
    assert code == 0, out
    assert run.result() == straight("gan", processes)


@pytest.mark.slow
def test_a_terminal_that_closes_is_a_signal_to_save(killed: Start) -> None:
    run = killed("gan", 1, FOREVER)
    process, terminal = start_in_a_terminal(run)
    run.wait_for_images(200)
    os.close(terminal)  # SIGHUP, and every line printed from now on is an error
    assert process.wait(60) == 143
    assert run.run.has_checkpoint()
    assert any("SIGTERM: saving and stopping" in line for line in logged(run.run))
    assert run.all_gone()


@pytest.mark.slow
def test_a_paused_terminal_pauses_nothing(killed: Start) -> None:
    run = killed("gan", 1, FOREVER)
    process, terminal = start_in_a_terminal(run)
    run.wait_for_images(200)
    os.write(terminal, b"\x13")  # Ctrl-S
    time.sleep(2)  # the bar is drawn four times a second
    process.terminate()
    assert process.wait(60) == 143
    assert run.run.has_checkpoint()
    assert any("SIGTERM: saving and stopping" in line for line in logged(run.run))
    os.close(terminal)


@pytest.mark.slow
def test_a_run_under_nohup_outlives_its_terminal(killed: Start) -> None:
    run = killed("gan", 1, "budget.images=9600")
    process, terminal = start_in_a_terminal(run, ignored=True)
    run.wait_for_images(200)
    os.close(terminal)
    assert process.wait(120) == 0
    assert run.run.is_complete() and any("trained   9,600 images" in line for line in logged(run.run))


@pytest.mark.slow
def test_names_may_be_any_bytes(killed: Start, tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    words = [word for word in killed("gan", 1, QUICK).words if word != "logger=none"]
    run = Killed(folder, [*words, f'outputs="{os.fsdecode(bytes([255]))}"'])
    code, out = run.finish()
    assert code == 0, out
    (path,) = folder.glob("*/*/*-gan-digits")
    found = f'"{path}"'
    for words in (
        [f"resume={found}", "budget.images=128"],
        ["sample", f"run={found}"],
        ["evaluate", f"run={found}", "num_images=16"],
    ):
        code, out = Killed(folder, words).finish()
        assert code == 0, out
    code, out = Killed(folder, ["export", f"run={found}"]).finish()
    assert code == 2 and "expected: a folder with a path in UTF-8\n  hint:     out=FOLDER" in out
    assert not RunFolder(path).exports.exists()
    assert b'outputs="\xff"' in RunFolder(path).overrides.read_bytes()
    assert RunFolder(path).is_complete()


@pytest.mark.parametrize("words", [["--cfg", "job"], ["--help"]])
def test_a_command_that_only_prints(words: list[str]) -> None:
    head = subprocess.run(["bash", "-c", '"$@" | head -n 1; exit ${PIPESTATUS[0]}', "", *COMMAND, *words],
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert (head.returncode, head.stderr) == (0, "")
    with open("/dev/full", "w") as full:
        failed = subprocess.run([*COMMAND, *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert failed.returncode == 2
    assert failed.stderr.startswith("error: stdout\n  expected: an output that can be written (No space left")
