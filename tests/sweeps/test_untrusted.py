"""Resuming an untrusted or damaged sweep."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from genimg.common.errors import UserError
from tests.sweeps.conftest import run, started, sweep_folder, table

NAMES = ("a" * 300, "0-a\x1b[2J", "0\n", ".", "", ".jobs", "0-a/../b", "/0-a")


@pytest.mark.parametrize(
    "plan",
    [
        {"words": ["seed=0,3", "+callbacks.more._target_=os.system"], "jobs": []},
        {"words": ["seed=0,3"], "jobs": [{"words": ["seed=0", "+callbacks.more._target_=os.system"], "name": "0-a"}]},
        {"words": ["seed=0,3"], "jobs": [{"words": ["seed=0", "+a=${oc.env:HOME}"], "name": "0-a"}]},
        {"words": ["seed=0,3"], "jobs": [{"words": ["seed=0", "data.cache=/tmp"], "name": "0-a"}]},
        {"words": ["seed=0,3"], "jobs": [{"words": ["seed=0"], "name": "../../../a"}]},
        {"words": ["seed=0,3", "hydra.launcher.setup=[evil]", "hydra/launcher=submitit_local"], "jobs": []},
        {"words": ["seed=0,3", "hydra.launcher.submitit_folder=x", "hydra/launcher=submitit_local"], "jobs": []},
        {"words": ["seed=0,3", "hydra.sweep.dir=${oc.env:HOME}"], "jobs": []},
        {"words": ["seed=0,3", "hydra.launcher._target_=os.system"], "jobs": []},
        {"words": ["seed=0,3", "data.cache=here"], "jobs": []},
        {"words": ["seed=0,3", "+logger.more={save_dir:here}"], "jobs": []},
        {"words": ["seed=0,3"], "jobs": [{"words": ["seed=0", "resume=last"], "name": "0-a"}]},
        {"words": ["seed=0,3"], "jobs": [{"words": ["seed=0", "launch.rdzv_endpoint=127.0.0.1:1"], "name": "0-a"}]},
        {"words": ["seed=0,3", "trainer.num_nodes=2"], "jobs": []},
        {"words": ["seed=0,3", "trainer.devices=64"], "jobs": []},
        {"words": ["seed=0,3", "trainer=ddp"], "jobs": []},
        {"words": ["seed=0,3"], "jobs": [{"words": ["seed=0", "trainer.threads=200"], "name": "0-a"}]},
        {"words": ["seed=0,3", "trainer.strategy=deepspeed"], "jobs": []},
        {"words": ["seed=0,3", "init_from=last"], "jobs": []},
        {"words": ["seed=0,3"], "jobs": [{"words": ["seed=0", "init_from=last"], "name": "0-a"}]},
        {"words": ["seed=0,3", "task=compare"], "jobs": []},
        {"words": ["seed=0,3", "+runs=[a]"], "jobs": []},
        {"words": ["seed=0,3", "+data.source._args_=[a]"], "jobs": []},
        *({"words": ["seed=0,3"], "jobs": [{"words": ["seed=0"], "name": name}]} for name in NAMES),
        {"words": [1], "jobs": []},
        {"words": ["seed=0,3"], "jobs": [{"words": "seed=0", "name": "0-a"}]},
        {"words": ["seed=0,3"], "jobs": [{"words": ["seed=0"], "name": 3}]},
    ],
)
def test_an_untrusted_sweep_runs_no_code_and_stays_in_its_folder(
    plan: dict[str, Any], outputs: Path, finished: Path
) -> None:
    (finished / "sweep.json").write_text(json.dumps(plan))
    with pytest.raises(UserError) as mistake:
        run(["-m", f"sweep.resume={finished}"])
    assert mistake.value.key == "sweep.resume"
    assert not started(outputs)


@pytest.mark.parametrize("way", ["hydra.sweep.dir", "outputs"])
def test_an_untrusted_sweep_removes_no_folder_outside_its_own(way: str, finished: Path, tmp_path: Path) -> None:
    """A run folder without a checkpoint is removed before its job starts again."""
    mine = tmp_path / "mine" / "0-a"
    mine.mkdir(parents=True)
    name = "0-a" if way == "hydra.sweep.dir" else "${outputs}/0-a"
    plan = {"words": ["seed=0,3"], "jobs": [{"words": ["seed=0", f"{way}={mine.parent}"], "name": name}]}
    (finished / "sweep.json").write_text(json.dumps(plan))
    (mine / "letter").touch()
    with pytest.raises(UserError, match="a job "):
        run(["-m", f"sweep.resume={finished}"])
    assert [path.name for path in mine.iterdir()] == ["letter"]


def test_a_link_out_of_a_sweeps_folder_is_refused(finished: Path, tmp_path: Path) -> None:
    (finished / "0-seed_0" / "samples").symlink_to(tmp_path)
    with pytest.raises(UserError, match="links"):
        run(["-m", f"sweep.resume={finished}"])


def test_a_class_in_a_saved_override_is_allowed_by_repeating_it(outputs: Path) -> None:
    words = ["seed=0,3", "model.generator_optimizer._target_=torch.optim.Adam,torch.optim.AdamW"]
    assert run(["-m", *words]) == 0
    resume = f"sweep.resume={sweep_folder(outputs)}"
    with pytest.raises(UserError, match="repeat it"):
        run(["-m", resume])
    assert run(["-m", resume, *words]) == 0


def test_damaged_records_count_as_missing(outputs: Path, finished: Path) -> None:
    folder = finished
    (folder / ".jobs" / "0-seed_0.json").write_text("{")
    (folder / ".jobs" / "1-seed_3.json").write_text('{"host": 1, "pid": "x", "seconds": []}')
    (folder / ".jobs" / "0-seed_0.json").write_text('{"host": "a", "pid": 1, "seconds": 1e300, "exit_code": 0}')
    (folder / "0-seed_0" / "best.json").write_text("{")
    (folder / "1-seed_3" / "best.json").write_text("[3]")
    assert run(["-m", f"sweep.resume={folder}"]) == 0
    assert [row["state"] for row in table(outputs)] == ["done", "done"]


@pytest.mark.parametrize(("repeated", "downloads"), [([], False), (["data.root=elsewhere"], True)])
def test_an_untrusted_sweep_does_not_choose_where_data_are_downloaded(
    repeated: list[str], downloads: bool, finished: Path
) -> None:
    words = ["data=mnist", "data.root=elsewhere"]
    plan = {"words": ["seed=0,3", *words], "jobs": [{"words": ["seed=0", *words], "name": "0-a"}]}
    (finished / "sweep.json").write_text(json.dumps(plan))
    assert run(["-m", f"sweep.resume={finished}", *repeated]) == 0
    source = OmegaConf.load(finished / "0-a" / "config.yaml").data.source
    assert (source.root, source.download) == ("elsewhere", downloads)
