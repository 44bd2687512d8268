"""`genimg runs`: which runs there are, and in what state."""

from pathlib import Path

import pytest

from genimg.common.errors import UserError
from genimg.common.files import hold_lock, write_json
from genimg.common.run_folder import RunFolder
from genimg.report.listing import ListSettings, show, size, state, tags


def run(outputs: Path, name: str, configuration: str = "task: train\n") -> RunFolder:
    folder = RunFolder(outputs / "2026-01-02" / name)
    folder.checkpoints.mkdir(parents=True)
    folder.config.write_text(configuration)
    return folder


def shown(capsys: pytest.CaptureFixture[str], outputs: Path, name: str | None = None, tag: str | None = None) -> str:
    show(ListSettings(str(outputs), name, tag))
    return capsys.readouterr().out


def test_the_state_follows_what_the_folder_contains(tmp_path: Path) -> None:
    folder = run(tmp_path, "first")
    states = [state(folder)]
    folder.last.write_bytes(b"")
    states.append(state(folder))
    folder.final.mkdir(parents=True)
    folder.report.write_text("")
    states.append(state(folder))
    with hold_lock(folder.lock, "run_dir"):
        states.append(state(folder))
    assert states == ["empty", "stopped", "complete", "training"]
    assert state(folder) == "complete"


def test_a_row_has_the_best_metric_the_size_and_the_tags(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run(tmp_path, "first", "task: train\ntags: [baseline, grey]\n")
    write_json(folder.best_metric, {"name": "elbo", "value": -12.5, "direction": "max", "n": 64, "images_seen": 1})
    folder.last.write_bytes(bytes(3_000_000))
    assert 3_000_000 < size(folder) < 3_001_000
    _, row = shown(capsys, tmp_path).strip().splitlines()
    for cell in ("first", "stopped", "elbo", "-12.5", "3 MB", "baseline grey"):
        assert cell in row


def test_runs_are_chosen_by_name_and_tag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, words in (("cats", "[small]"), ("dogs", "[small, old]"), ("birds", "[]")):
        run(tmp_path, name, f"task: train\ntags: {words}\n")
    for name, tag, expected in (("o", None, {"dogs"}), (None, "small", {"cats", "dogs"}), ("cat", "small", {"cats"})):
        table = shown(capsys, tmp_path, name and f"/{name}" if name == "cat" else name, tag)
        assert {one for one in ("cats", "dogs", "birds") if one in table} >= expected
    assert "birds" not in shown(capsys, tmp_path, tag="old")
    with pytest.raises(UserError, match="tag=none"):
        shown(capsys, tmp_path, tag="none")


def test_a_damaged_configuration_has_no_tags(tmp_path: Path) -> None:
    for text in ("tags: [", "tags: 3\n", "[]\n"):
        assert tags(run(tmp_path, f"run{len(text)}", text)) == []
