"""checkpoint.keep: the files that remain of a run's saves."""

from pathlib import Path

import pytest

from genimg.checkpoints.read import load_checkpoint
from genimg.common.run_folder import RunFolder
from genimg.sampling.load import load
from tests.trained import run_folder

WORDS = ["data=digits", "model=vae", "data.image_size=8", "model.width=4", "model.hidden=16", "logger=none"]
WORDS += ["data.batch_size=16", "callbacks=none", "checkpoint.every_images=32", "checkpoint.every_minutes=null"]


@pytest.mark.parametrize(("keep", "expected"), [("null", []), ("2", [96, 128]), ("all", [32, 64, 96, 128])])
def test_it_is_as_many_as_asked_for(keep: str, expected: list[int], tmp_path: Path) -> None:
    run = RunFolder(run_folder(tmp_path / "run", *WORDS, "budget.images=128", f"checkpoint.keep={keep}"))
    assert [int(path.stem) for path in run.kept()] == expected
    assert [load_checkpoint(path)["images_seen"] for path in run.kept()] == expected
    assert load(run.kept()[0]).sample(2).shape == (2, 1, 8, 8) if expected else True


def test_a_resumed_run_keeps_on(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", *WORDS, "budget.images=64", "checkpoint.keep=all")
    first = (folder / "checkpoints" / "000000064.pt").read_bytes()
    run_folder(folder, *WORDS, "budget.images=128", "checkpoint.keep=3", f"resume={folder}")
    assert [int(path.stem) for path in RunFolder(folder).kept()] == [64, 96, 128]
    assert (folder / "checkpoints" / "000000064.pt").read_bytes() == first


def test_a_kept_file_rescues_a_run(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", *WORDS, "budget.images=96", "checkpoint.keep=2")
    for name in ("last.pt", "previous.pt", "best.pt"):
        (folder / "checkpoints" / name).unlink(missing_ok=True)
    run_folder(folder, *WORDS, "budget.images=128", "checkpoint.keep=2", f"resume={folder}")
    assert [int(path.stem) for path in RunFolder(folder).kept()] == [96, 128]
