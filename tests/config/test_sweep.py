"""-m: every combination in a worker and a folder of its own, one failure failing the whole."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from genimg import launch
from genimg.cli import run
from genimg.errors import UserError
from genimg.runs import runs

# Stands in for genimg.worker: fails for seed 2, and leaves a checkpoint as a real run does.
WORKER = """
import sys
from pathlib import Path
from omegaconf import OmegaConf
config = OmegaConf.load(sys.argv[1])
checkpoints = Path(config.run_dir, "checkpoints")
checkpoints.mkdir()
(checkpoints / "last.pt").touch()
sys.exit(config.seed == 2)
"""


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "worker.py").write_text(WORKER)
    monkeypatch.setattr(launch, "WORKER", (sys.executable, str(tmp_path / "worker.py")))
    monkeypatch.chdir(tmp_path)
    return Path("outputs")


def test_each_job_has_a_folder_with_its_own_configuration(outputs: Path) -> None:
    assert run(["-m", "seed=0,1", "model.lr=1e-3,1e-4"]) == 0
    found = runs(outputs)
    assert [folder.path.name.split("-")[0] for folder in found] == ["0", "1", "2", "3"]
    configs = [OmegaConf.load(folder.config) for folder in found]
    assert [(c.seed, c.model.lr) for c in configs] == [(0, 1e-3), (0, 1e-4), (1, 1e-3), (1, 1e-4)]
    assert all(folder.path.parent.name.endswith("-sweep") for folder in found)
    assert sorted(path.name for path in found[0].path.iterdir()) == [
        "checkpoints",
        "command.txt",
        "config.yaml",
        "defaults.yaml",
        "overrides.txt",
    ]
    assert found[0].command.read_text() == "genimg-train seed=0 model.lr=0.001\n"


def test_a_job_is_given_what_its_words_mean(outputs: Path) -> None:
    assert run(["-m", "seed=0,1", "budget.images=1e5"]) == 0
    assert [type(OmegaConf.load(folder.config).budget.images) for folder in runs(outputs)] == [int, int]


def test_a_failed_job_fails_the_sweep_and_the_rest_still_runs(outputs: Path) -> None:
    assert run(["-m", "seed=1,2,3"]) == 1
    assert len(runs(outputs)) == 3


def test_no_job_starts_when_one_is_wrong(outputs: Path) -> None:
    with pytest.raises(UserError, match=r"data\.batch_size"):
        run(["-m", "data.batch_size=8,0"])
    assert not outputs.exists()


def test_hydras_own_groups_are_reachable(outputs: Path) -> None:
    assert run(["-m", "seed=0,1", "hydra/launcher=basic", "hydra.sweep.dir=outputs/2026-01-01/mine"]) == 0
    assert {folder.path.parent for folder in runs(outputs)} == {outputs / "2026-01-01" / "mine"}
