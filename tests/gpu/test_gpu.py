"""What is promised of a GPU. `make gpu` runs these where there is one; CI has none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from pytorch_lightning import Callback

from genimg.checkpoints.read import load_checkpoint
from genimg.sampling.load import load
from genimg.training.machine import configure
from genimg.training.settings import TrainSettings
from genimg.training.setup import build_run
from tests.survival.harness import COMMAND, MODELS, SMALL, Killed
from tests.training.test_fit import config

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU that torch can use"),
]

Straight = Callable[[str], Killed]

ON_GPU = [word for word in SMALL if not word.startswith("trainer")]
WARM_UP, WATCHED = 64, 24  # steps; in the first ones, each kind of step is captured


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Killed]:
    """A run of a model, never interrupted, whose sums are in one order."""

    @cache
    def trained(model: str) -> Killed:
        run = Killed(tmp_path_factory.mktemp(model), [*ON_GPU, *MODELS[model], "trainer.deterministic=true"])
        code, out = run.finish()
        assert code == 0, out
        assert torch.cuda.get_device_name() in out, "auto takes the GPU"
        return run

    return trained


@pytest.mark.parametrize("model", MODELS)
def test_killed_and_resumed_bit_for_bit(straight: Straight, model: str, tmp_path: Path) -> None:
    run = Killed(tmp_path, straight(model).words)
    process = run.start()
    run.wait_for_images(400)
    (worker,) = run.processes("genimg.launch.worker")
    os.kill(worker, signal.SIGKILL)
    process.communicate(timeout=120)
    code, out = run.finish("resume=last")
    assert code == 0, out
    assert run.result() == straight(model).result()


@pytest.mark.parametrize("model", MODELS)
def test_what_was_trained_on_a_gpu_goes_on_and_draws_on_a_processor(
    straight: Straight, model: str, tmp_path: Path
) -> None:
    made = load(straight(model).run.path, device="cpu").sample(4, seed=1)
    assert torch.isfinite(made.float()).all() and len(made) == 4
    run = Killed(tmp_path, straight(model).words)
    process = run.start("budget.images=100000000")
    run.wait_for_images(400)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    code, out = run.finish("resume=last", "trainer=cpu", "budget.images=4800")
    assert code == 0, out
    assert "machine   CPU" in out


@pytest.mark.parametrize("model", MODELS)
def test_no_step_waits_for_the_gpu(model: str, tmp_path: Path) -> None:
    """But those that write a row of figures."""

    class Watch(Callback):
        def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
            if batch_idx == WARM_UP:
                torch.cuda.set_sync_debug_mode("warn")
            if batch_idx == WARM_UP + WATCHED:
                torch.cuda.set_sync_debug_mode("default")
                trainer.should_stop = True

    words = [*(w for w in MODELS[model] if "budget" not in w), "budget.images=100000", "log_every_steps=1000"]
    given = config(tmp_path, *words, "trainer.accelerator=gpu")
    settings = TrainSettings.from_config({**given, "callbacks": {}, "logger": {}})
    trainer, run = build_run(settings, configure(settings.trainer), extra_callbacks=[Watch()])
    try:
        with warnings.catch_warnings(record=True) as waited:
            warnings.simplefilter("always")
            trainer.fit(run.model, datamodule=run.data)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert not [f"{w.filename}:{w.lineno}" for w in waited if "called a synchronizing" in str(w.message)]


def test_captured_steps_train_as_steps_do(tmp_path: Path) -> None:
    """In float32, up to the order of sums."""
    words = [*ON_GPU, *MODELS["gan"], "trainer.precision=32-true", "budget.images=3200"]
    weights = {}
    for graph in ("auto", "false"):
        run = Killed(tmp_path / graph, [*words, f"trainer.graph={graph}"])
        code, out = run.finish()
        assert code == 0, out
        assert ("training steps are captured" in out) == (graph == "auto")
        assert "not captured any more" not in out, out
        weights[graph] = load_checkpoint(run.run.last)["model"]
    for name, weight in weights["false"].items():
        torch.testing.assert_close(weights["auto"][name], weight, rtol=1e-2, atol=1e-2, msg=name)


def test_a_gpu_that_is_full_is_one_message(tmp_path: Path) -> None:
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info()
    others = torch.empty(max(0, free - 3 * 2**30), dtype=torch.uint8, device="cuda")
    words = ["data.image_size=256", "data.batch_size=64", "model.width=64"]
    code, out = Killed(tmp_path, ["model=gan", "trainer=gpu", *words]).finish()
    assert code == 1 and len(others)
    assert "the memory of the GPU is full" in out and "data.batch_size" in out and "Traceback" not in out, out


def test_more_devices_than_gpus_is_a_mistake(tmp_path: Path) -> None:
    many = torch.cuda.device_count() + 1
    code, out = Killed(tmp_path, [*ON_GPU, f"trainer.devices={many}"]).finish()
    assert code == 2 and f"trainer.devices: got {many}" in out, out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("trainer", ["trainer=ddp", "trainer.precision=32-true"])
def test_every_trainer_runs_on_the_gpus_that_there_are(trainer: str, tmp_path: Path) -> None:
    code, out = Killed(tmp_path, [*ON_GPU, *MODELS["gan"], trainer, "budget.images=640"]).finish()
    assert code == 0, out


def test_one_of_torchrun_trains_on_its_gpu(tmp_path: Path) -> None:
    words = [*ON_GPU, *MODELS["vae"], "budget.images=640"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=1"]
    done = subprocess.run(
        [*torchrun, "-m", *COMMAND[2:], *words], cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert torch.cuda.get_device_name() in done.stdout


def test_jobs_of_a_sweep_share_the_gpus(tmp_path: Path) -> None:
    words = [*ON_GPU, *MODELS["gan"], "budget.images=640", "-m", "hydra/launcher=joblib", "seed=0,1"]
    code, out = Killed(tmp_path, words).finish()
    assert code == 0, out
    assert len(Killed(tmp_path, words).runs) == 2


def test_an_evaluation_and_an_export_of_it(straight: Straight) -> None:
    for words in (["evaluate", "features=random", "num_images=64"], ["export", "format=torchscript"]):
        done = subprocess.run(
            [*COMMAND, *words, f"run={straight('vae').run.path}"],
            cwd=straight("vae").folder, capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_dry_run_tells_the_memory_of_the_gpu(tmp_path: Path) -> None:
    code, out = Killed(tmp_path, [*ON_GPU, *MODELS["gan"], "dry_run=true"]).finish()
    assert code == 0, out
    assert cast(str, out).count("memory    ") == 1
