"""trainer.precision=16-mixed: float16 with scaled gradients, whose scale a resumed run continues."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from genimg.checkpoints.read import load_checkpoint
from genimg.common.run_folder import RunFolder
from tests.trained import run_folder

RUN = [
    "data=digits", "data.image_size=8", "data.batch_size=16", "trainer.precision=16-mixed", "callbacks=none",
    "logger=none", "budget.images=256", "model.lr=1e-9",
]  # fmt: skip
MODELS = {
    "vae": ["model=vae", "model.width=8", "model.max_width=8"],
    "gan": ["model=gan", "model.width=8", "model.max_width=8"],
}


class Norms(Callback):
    """The norm of the gradients before each optimizer step, as callbacks that limit them see it."""

    def __init__(self) -> None:
        self.found: list[float] = []

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        gradients = [weight.grad for group in optimizer.param_groups for weight in group["params"]]
        self.found.append(float(torch.stack([one.norm() for one in gradients if one is not None]).norm()))


@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_those_of_float32_and_a_step_that_overflows_is_not_taken(name: str, tmp_path: Path) -> None:
    norms = []
    for precision in ("32-true", "16-mixed"):
        seen = Norms()
        words = [*RUN, *MODELS[name], f"trainer.precision={precision}"]
        run = RunFolder(run_folder(tmp_path / precision, *words, callbacks=[seen]))
        norms.append(torch.tensor(seen.found))
    finite = norms[1].isfinite()
    assert 0 < int(finite.sum()) < len(finite)  # the first scale, 2 ** 16, is too large
    torch.testing.assert_close(norms[1][finite], norms[0][finite], rtol=0.05, atol=0)
    end = load_checkpoint(run.last)
    assert end["scaler"]["scale"] < 2**16
    assert all(weight.isfinite().all() for weight in end["model"].values())
