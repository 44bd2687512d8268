"""trainer.precision=16-mixed: float16 with scaled gradients, whose scale a resumed run continues."""

from pathlib import Path

import pytest
import torch

from genimg.checkpoints.read import load_checkpoint
from genimg.common.run_folder import RunFolder
from tests.trained import run_folder
from tests.training.measured import Norms

RUN = [
    "data=digits", "data.image_size=8", "data.batch_size=16", "trainer.precision=16-mixed", "callbacks=none",
    "logger=none", "budget.images=256", "model.lr=1e-9",
]  # fmt: skip
MODELS = {
    "vae": ["model=vae", "model.width=8", "model.max_width=8"],
    "gan": ["model=gan", "model.width=8", "model.max_width=8"],
}


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
