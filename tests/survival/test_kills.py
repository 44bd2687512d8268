"""A killed and resumed run ends like one without interruption, bit for bit, and leaves no process."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.survival.harness import MODELS, Killed

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")]

Straight = Callable[[str, int], dict[str, str]]
Start = Callable[..., Killed]

FOREVER = "budget.images=10000000"


@pytest.mark.parametrize("model", MODELS)
def test_killed_and_resumed(straight: Straight, killed: Start, model: str) -> None:
    run = killed(model, 1)
    process = run.start()
    run.wait_for_images(400)
    (worker,) = run.processes("genimg.launch.worker")
    os.kill(worker, signal.SIGKILL)
    process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGKILL
    code, out = run.finish(*run.resume_words())
    assert code == 0, out
    assert run.result() == straight(model, 1)


def test_a_run_whose_command_was_killed_is_resumed_at_once(straight: Straight, killed: Start) -> None:
    """Its worker saves first, and the resumed run waits for it."""
    run = killed("gan", 1)
    process = run.start()
    run.wait_for_images(700)
    process.kill()
    code, out = run.finish(*run.resume_words())
    assert code == 0, out
    assert run.result() == straight("gan", 1)
    process.communicate()


def test_the_group_is_restarted_after_one_of_two_is_killed(straight: Straight, killed: Start) -> None:
    run = killed("gan", 2)
    process = run.start("launch.max_restarts=1")
    run.wait_for_images(700)
    os.kill(random.Random(0).choice(run.processes("genimg.launch.worker")), signal.SIGKILL)
    out, _ = process.communicate(timeout=200)
    assert process.returncode == 0, out
    assert run.result() == straight("gan", 2)
    assert run.all_gone()


def test_the_run_ends_at_once_after_one_of_two_is_killed(killed: Start) -> None:
    run = killed("gan", 2, FOREVER)
    started = time.monotonic()
    process = run.start()
    run.wait_for_images(700)
    beginning = time.monotonic() - started
    os.kill(run.processes("genimg.launch.worker")[0], signal.SIGKILL)
    out, _ = process.communicate(timeout=max(20, beginning))  # relative to the start, for a busy machine
    assert process.returncode == 1, out
    assert "SIGKILL" in out
    assert run.all_gone()


def test_ctrl_c_stops_both_after_the_same_step_and_they_are_resumed(straight: Straight, killed: Start) -> None:
    run = killed("gan", 2)
    process = run.start()
    run.wait_for_images(700)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 130, out
    assert run.all_gone()
    code, out = run.finish(*run.resume_words())
    assert code == 0, out
    assert run.result() == straight("gan", 2)


def test_a_dry_run_of_two_processes_leaves_nothing(
    killed: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    code, out = killed("gan", 2, "dry_run=true").finish()
    assert code == 0, out
    assert out.count("speed  ") == 1
    left = [path.name for path in temporary.iterdir()]
    assert [name for name in left if not name.startswith("torchinductor_")] == [], "except a cache of torch"


def test_divergence_of_two_processes_is_reported_once(killed: Start) -> None:
    code, out = killed("gan", 2, "model.lr=1e8", "checkpoint.every_images=16").finish()
    assert code == 1, out
    assert out.count("became non-finite") == 1


@pytest.mark.parametrize("restarts", [0, 1])
def test_sigterm_during_the_final_samples_ends_both(killed: Start, restarts: int) -> None:
    run = killed("gan", 2, f"launch.max_restarts={restarts}")
    process = run.start()
    run.wait_until_trained()
    process.terminate()
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 143, out
    assert "error" not in out
    assert run.all_gone()


def test_the_group_is_restarted_if_rank_0_dies_during_the_final_samples(killed: Start) -> None:
    run = killed("gan", 2, "launch.max_restarts=1")
    process = run.start()
    run.wait_until_trained()
    os.kill(run.processes("genimg.launch.worker")[0], signal.SIGKILL)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, out
    assert run.run.report.exists()


def test_the_group_ends_with_the_command(killed: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    run = killed("gan", 2, FOREVER)
    process = run.start()
    run.wait_for_images(700)
    process.kill()
    process.communicate()
    assert run.all_gone()
    assert not list(temporary.glob("genimg-*")), "the folder of the process group is removed too"


BROKEN = """
from pytorch_lightning import Callback
class Broken(Callback):
    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_rank == 1 and batch_idx == 3:
            raise OSError("this device has fallen off the bus")
"""


def test_the_message_of_the_process_that_fails_is_that_of_the_run(tmp_path: Path, killed: Start) -> None:
    (tmp_path / "mine" / "callbacks").mkdir(parents=True)
    (tmp_path / "broken.py").write_text(BROKEN)
    (tmp_path / "mine" / "callbacks" / "mine.yaml").write_text("broken:\n  _target_: broken.Broken\n")
    small = [word for word in killed("gan", 2).words if not word.startswith("callbacks.")]
    run = Killed(tmp_path, ["--config-dir", "mine", *small, "callbacks=mine"])
    code, out = run.finish()
    assert code == 1, out
    assert out.splitlines()[-1].startswith("error: the run failed with OSError: this device has fallen off the bus")
    assert "another process" not in out and "gloo" not in out, out
    assert "another process" in run.run.log.read_text()
    assert run.all_gone()
