"""trainer.accumulate_grad_batches: a step of k batches is the step of one that is k times as large."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from genimg.checkpoints.read import load_checkpoint
from genimg.common.errors import UserError
from genimg.common.run_folder import RunFolder
from tests.trained import run_folder
from tests.training.measured import Norms

RUN = [
    "data=digits",
    "data.image_size=8",
    "budget.images=192",
    "trainer.precision=32-true",
    "callbacks=none",
    "logger=none",
]
R3GAN = ["model=gan", "model/network=r3gan", "model.width=8", "model.max_width=16", "model.augmentation=[]"]
#: Models without layers or losses that see several images at once.
WHOLE = {
    "vae": ["model=vae", "model.width=8", "model.max_width=8"],
    "pixel_rnn": ["model=pixel_rnn", "model.width=16"],
    "gan": [*R3GAN, "model.penalty_share=1"],
    "critics": [*R3GAN, "model.penalty_share=1", "model.n_critic=2"],
    "convlstm": ["model=convlstm", "data=moving_digits", "data.image_size=16", "data.num_frames=4"],
}


def trained(folder: Path, *words: str) -> tuple[Tensor, Tensor]:
    """All weights after a run, and the norms of the gradients before each optimizer step."""
    norms = Norms()
    run = RunFolder(run_folder(folder, *words, callbacks=[norms]))
    weights = [value for value in load_checkpoint(run.last)["model"].values() if value.is_floating_point()]
    return torch.cat([value.flatten() for value in weights]), torch.tensor(norms.found)


@pytest.mark.parametrize("name", WHOLE)
def test_a_step_of_two_batches_is_that_of_one_of_both(name: str, tmp_path: Path) -> None:
    words = [*RUN, *WHOLE[name]]
    whole, norms = trained(tmp_path / "whole", *words, "data.batch_size=64")
    parts, same = trained(tmp_path / "parts", *words, "data.batch_size=32", "trainer.accumulate_grad_batches=2")
    other, _ = trained(tmp_path / "other", *words, "data.batch_size=32")
    assert (parts - whole).norm() < 0.01 * (other - whole).norm()
    torch.testing.assert_close(same, norms, rtol=1e-3, atol=1e-6)  # Adam hides a factor from the weights


def test_running_statistics_follow_each_image_once(tmp_path: Path) -> None:
    """Although the generator computes its images twice."""
    words = [*RUN, "model=gan", "model.width=4", "data.batch_size=16", "trainer.accumulate_grad_batches=2"]
    state = load_checkpoint(RunFolder(run_folder(tmp_path, *words)).last)["model"]
    steps = {int(value) for name, value in state.items() if name.endswith("num_batches_tracked")}
    assert steps == {192 // 16}


def test_a_run_counts_the_images_of_complete_steps(tmp_path: Path) -> None:
    words = [*RUN, "model=vae", "data.batch_size=16", "trainer.accumulate_grad_batches=3", "budget.steps=4"]
    run = RunFolder(run_folder(tmp_path, *words, "budget.images=null"))
    assert load_checkpoint(run.last)["images_seen"] == 4 * 3 * 16


def test_a_discriminator_of_clips_needs_complete_batches(tmp_path: Path) -> None:
    words = [*RUN, "model=rnn", "data=moving_digits", "model.adversarial=0.5", "trainer.accumulate_grad_batches=2"]
    with pytest.raises(UserError, match="RNN takes its own optimizer steps") as caught:
        run_folder(tmp_path, *words)
    assert caught.value.key == "trainer.accumulate_grad_batches"
