"""A kill at any moment: what is resumed ends as what was never killed, bit for bit, and no process is left."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.survival.harness import MODELS, SMALL, Killed

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")]

TOGETHER = ["trainer.devices=2"]


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[tuple[Killed, Killed]]:
    """One that is never killed, and one that is; without words yet."""
    pair = Killed(tmp_path / "straight", []), Killed(tmp_path / "killed", [])
    yield pair
    for run in pair:
        run.clean_up()


def given(runs: tuple[Killed, Killed], *words: str) -> tuple[Killed, Killed]:
    straight, killed = (Killed(run.folder, [*SMALL, *words]) for run in runs)
    code, out = straight.finish()
    assert code == 0, out
    return straight, killed


@pytest.mark.parametrize("model", MODELS)
def test_killed_and_resumed(runs: tuple[Killed, Killed], model: str) -> None:
    straight, killed = given(runs, *MODELS[model])
    process = killed.start()
    killed.wait_for_images(400)
    (worker,) = killed.processes("genimg.worker")
    os.kill(worker, signal.SIGKILL)
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGKILL
    code, out = killed.finish("resume=last")
    assert code == 0, out
    assert killed.what_it_is() == straight.what_it_is()


def test_one_of_two_is_killed_and_the_group_starts_again(runs: tuple[Killed, Killed]) -> None:
    straight, killed = given(runs, *MODELS["gan"], *TOGETHER)
    process = killed.start("launch.max_restarts=1")
    killed.wait_for_images(700)
    os.kill(random.Random(0).choice(killed.processes("genimg.worker")), signal.SIGKILL)
    out, _ = process.communicate(timeout=200)
    assert process.returncode == 0, out
    assert killed.what_it_is() == straight.what_it_is()
    assert killed.all_gone()


def test_one_of_two_is_killed_and_the_run_ends_at_once(runs: tuple[Killed, Killed]) -> None:
    killed = Killed(runs[1].folder, [*SMALL, *MODELS["gan"], *TOGETHER, "budget.images=10000000"])
    process = killed.start()
    killed.wait_for_images(700)
    os.kill(killed.processes("genimg.worker")[0], signal.SIGKILL)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 1, out
    assert "SIGKILL" in out
    assert killed.all_gone()


def test_ctrl_c_stops_both_after_one_step_and_they_go_on(runs: tuple[Killed, Killed]) -> None:
    straight, killed = given(runs, *MODELS["vae"], *TOGETHER)
    process = killed.start()
    killed.wait_for_images(700)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130, out
    assert killed.all_gone()
    code, out = killed.finish("resume=last")
    assert code == 0, out
    assert killed.what_it_is() == straight.what_it_is()


def test_two_try_out_what_they_would_do(runs: tuple[Killed, Killed]) -> None:
    tried = Killed(runs[1].folder, [*SMALL, *MODELS["gan"], *TOGETHER, "dry_run=true"])
    code, out = tried.finish()
    assert code == 0, out
    assert out.count("speed  ") == 1


def test_two_that_diverge_say_so_once(runs: tuple[Killed, Killed]) -> None:
    diverging = Killed(
        runs[1].folder, [*SMALL, *MODELS["gan"], *TOGETHER, "model.lr=1e8", "checkpoint.every_images=16"]
    )
    code, out = diverging.finish()
    assert code == 1, out
    assert out.count("became non-finite") == 1


@pytest.mark.parametrize("restarts", [0, 1])
def test_sigterm_while_the_last_pictures_are_drawn_ends_both(runs: tuple[Killed, Killed], restarts: int) -> None:
    killed = Killed(runs[1].folder, [*SMALL, *MODELS["gan"], *TOGETHER, f"launch.max_restarts={restarts}"])
    process = killed.start()
    killed.wait_until_trained()
    process.terminate()
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 143, out
    assert "error" not in out
    assert killed.all_gone()


def test_the_group_starts_again_where_the_first_dies_as_it_draws(runs: tuple[Killed, Killed]) -> None:
    killed = Killed(runs[1].folder, [*SMALL, *MODELS["gan"], *TOGETHER, "launch.max_restarts=1"])
    process = killed.start()
    killed.wait_until_trained()
    os.kill(killed.processes("genimg.worker")[0], signal.SIGKILL)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out
    assert killed.run.report.exists()


def test_the_commands_death_takes_the_group_with_it(runs: tuple[Killed, Killed]) -> None:
    killed = Killed(runs[1].folder, [*SMALL, *MODELS["gan"], *TOGETHER, "budget.images=10000000"])
    process = killed.start()
    killed.wait_for_images(700)
    process.kill()
    process.communicate()
    assert killed.all_gone(timeout=20)


BROKEN = """
from pytorch_lightning import Callback
class Broken(Callback):
    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_rank == 1 and batch_idx == 3:
            raise OSError("this device has fallen off the bus")
"""


def test_one_process_fails_and_its_message_is_the_runs(runs: tuple[Killed, Killed]) -> None:
    folder = runs[1].folder
    (folder / "mine" / "callbacks").mkdir(parents=True)
    (folder / "broken.py").write_text(BROKEN)
    (folder / "mine" / "callbacks" / "mine.yaml").write_text("broken:\n  _target_: broken.Broken\n")
    small = [word for word in SMALL if not word.startswith("callbacks.")]
    killed = Killed(folder, ["--config-dir", "mine", *small, *MODELS["gan"], *TOGETHER, "callbacks=mine"])
    code, out = killed.finish()
    assert code == 1, out
    assert out.splitlines()[-1].startswith("error: the run failed with OSError: this device has fallen off the bus")
    assert "another process" not in out and "gloo" not in out, out
    assert "another process" in killed.run.log.read_text()
    assert killed.all_gone()
