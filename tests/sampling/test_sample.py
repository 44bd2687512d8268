"""The task sample: the name of its folder, and the files that it needs."""

from dataclasses import asdict
from pathlib import Path

import pytest

from genimg.common.errors import UserError
from genimg.sampling.output.options import SampleOptions
from genimg.sampling.sample import new_folder
from genimg.tasks import sample
from tests.sampling.test_load import run_folder


def test_folders_are_named_after_the_options_and_never_reused(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoints" / "best.pt"
    options = SampleOptions.defaults(num_images=64, seed=3, classes=[3, "T-shirt/top"], truncation=0.5)
    names = []
    for _ in range(3):
        folder = new_folder(checkpoint, options)
        folder.mkdir(parents=True)
        names.append(folder.name)
        assert folder.parent == tmp_path / "samples"
    name = "64-seed3-classes3,T-shirt-top-truncation0.5"
    assert names == [name, f"{name}-2", f"{name}-3"]
    assert new_folder(tmp_path / "mine.pt", SampleOptions.defaults()) == tmp_path / "samples" / "10-seed0"
    start = SampleOptions.defaults(start="/some/where/my cat.png", futures=4)
    assert new_folder(tmp_path / "mine.pt", start).name == "10-seed0-startmy-cat-futures4"


def test_the_task_needs_only_the_checkpoint(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = run_folder(tmp_path / "run", "best")
    given = {"run": str(folder), "checkpoint": "best", "outputs": "outputs", "device": "cpu", "trust": []}
    config = {**asdict(SampleOptions.defaults(num_images=3)), **given}
    with caplog.at_level("INFO", "genimg"):
        assert sample.run({**config, "out": None}) == 0
        assert sample.run({**config, "out": None}) == 0
        assert sample.run({**config, "out": str(tmp_path / "mine")}) == 0
    where = [folder / "samples" / "3-seed0", folder / "samples" / "3-seed0-2", tmp_path / "mine"]
    assert [line for line in caplog.messages if line.startswith("images")] == [
        f"images: {place / 'sheet.png'}" for place in where
    ]
    with pytest.raises(UserError, match="empty"):
        sample.run({**config, "out": str(tmp_path / "mine")})
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="can be written"):
        sample.run({**config, "out": str(tmp_path / "file" / "below")})
