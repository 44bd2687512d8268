"""run=, runs= and resume= become absolute paths in the command, so that the worker never looks for a run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from genimg.common.errors import UserError
from genimg.common.run_folder import RunFolder
from genimg.config.compose import Composer
from genimg.config.yaml_text import tasks
from genimg.launch.session import check
from genimg.sampling.load import checkpoint_file
from genimg.tasks import checks_of


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[RunFolder]:
    monkeypatch.chdir(tmp_path)
    return [_finished(tmp_path, name, seconds) for seconds, name in enumerate(("10-00-00-a", "11-00-00-b"))]


def _finished(folder: Path, name: str, seconds: int) -> RunFolder:
    """A run folder with a configuration of that modification time, which orders the runs, and a checkpoint."""
    run = RunFolder(folder / "outputs" / "2026-01-01" / name)
    run.checkpoints.mkdir(parents=True)
    run.best.touch()
    run.config.write_text("task: train\n")
    os.utime(run.config, (seconds, seconds))
    return run


def test_a_run_that_finishes_after_the_check_does_not_change_what_is_sampled(
    tmp_path: Path, runs: list[RunFolder]
) -> None:
    config = check(Composer("sample"), ["run=last"])
    _finished(tmp_path, "12-00-00-c", 2)
    assert checkpoint_file(config.run, config.checkpoint) == runs[1].best


@pytest.mark.parametrize("task", ["sample", "evaluate", "export", "report"])
@pytest.mark.parametrize(
    "given", ["last", "'last'", "11-00-00-b", "2026-01-01/11-00-00-b", "outputs/2026-01-01/11-00-00-b"]
)
def test_every_spelling_of_a_run_becomes_its_absolute_path(task: str, given: str, runs: list[RunFolder]) -> None:
    assert check(Composer(task), [f"run={given}"]).run == str(runs[1].path)
    assert check(Composer(task), [f"++run={given}"]).run == str(runs[1].path)


def test_a_checkpoint_file_becomes_an_absolute_path(tmp_path: Path, runs: list[RunFolder]) -> None:
    given = runs[0].best.relative_to(tmp_path)
    assert check(Composer("sample"), [f"run={given}"]).run == str(runs[0].best)


def test_lists_of_runs_become_absolute_paths(tmp_path: Path, runs: list[RunFolder]) -> None:
    paths = [str(run.path) for run in runs]
    for task in ("compare", "rate"):
        assert check(Composer(task), ["runs=[10-00-00-a,last]"]).runs == paths
    assert check(Composer("compare"), ["runs=outputs/2026-01-01"]).runs == str(tmp_path / "outputs" / "2026-01-01")
    assert check(Composer("rate"), ["runs=last"]).runs == paths[1:]


def test_a_printed_configuration_keeps_the_reference() -> None:
    assert check(Composer("sample"), ["run=last"], on_this_machine=False).run == "last"


def test_every_task_declares_checks_and_an_undeclared_task_is_an_error() -> None:
    assert all(checks_of(task) for task in tasks(None))
    for unknown in ("nothing", "a.b", ""):
        with pytest.raises(UserError, match="task"):
            checks_of(unknown)
