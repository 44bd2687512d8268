"""Loading a sampler from a run, a checkpoint file and an export; devices; the examples of the Python API."""

import doctest
from pathlib import Path
from typing import Any

import pytest
import torch

import genimg
from genimg.common.errors import UserError
from genimg.sampling.load import checkpoint_file, from_checkpoint, load, pick_device
from genimg.sampling.sampler import Sampler
from tests.trained import checkpoint


def run_folder(path: Path, *checkpoints: str) -> Path:
    """A run folder with the checkpoints of an untrained GAN."""
    (path / "checkpoints").mkdir(parents=True)
    (path / "config.yaml").write_text("task: train\n")
    for name in checkpoints:
        torch.save(checkpoint("model=gan"), path / "checkpoints" / f"{name}.pt")
    return path


def test_load_from_a_folder_a_file_and_the_newest_run(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "2026-01-02" / "03-04-05-gan-digits", "best", "last")
    expected = load(run, device="cpu").sample(3)
    assert torch.equal(load(run / "checkpoints" / "last.pt", device="cpu").sample(3), expected)
    assert torch.equal(load("last", outputs=tmp_path, device="cpu").sample(3), expected)


@pytest.mark.parametrize("documented", [genimg, load, Sampler])
def test_the_examples_in_the_docstrings_run(documented: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_folder(tmp_path / "outputs" / "2026-01-02" / "03-04-05-gan-digits", "best")
    monkeypatch.chdir(tmp_path)
    examples = doctest.DocTestFinder(recurse=False).find(documented, "example", globs={})
    results = [doctest.DocTestRunner().run(one) for one in examples]
    assert sum(one.attempted for one in results) > 1
    assert sum(one.failed for one in results) == 0


def test_a_run_that_stopped_early_gives_its_last_checkpoint(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run", "last")
    assert checkpoint_file(run, "best") == run / "checkpoints" / "last.pt"
    with pytest.raises(UserError, match="best or last"):
        checkpoint_file(run, "newest")
    with pytest.raises(UserError, match="a run with a checkpoint"):
        checkpoint_file(run_folder(tmp_path / "empty"))


def test_only_a_conditional_model_has_the_classes_of_its_data() -> None:
    conditional, unconditional = checkpoint("model=gan", "model.conditional=true"), checkpoint("model=gan")
    assert from_checkpoint(conditional, "cpu").classes == tuple("0123456789")
    assert from_checkpoint(unconditional, "cpu").classes == ()


def test_devices() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    for device in ("gpuu", "cuda:99"):
        with pytest.raises(UserError, match="device"):
            pick_device(device)
