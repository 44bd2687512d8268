"""init_from=: found by the command; a saved run only records it."""

from __future__ import annotations

from pathlib import Path

import pytest

from genimg.common.errors import UserError
from genimg.common.run_folder import RunFolder
from genimg.config.check import with_resolved_run
from genimg.config.compose import Composer
from tests.config.resumed import checked, plain, rewrite, run

__all__ = ["run"]  # the fixture


def test_it_takes_what_run_takes_and_becomes_a_path(run: RunFolder) -> None:
    for given, found in (("last", run.path), (run.path.name, run.path), (str(run.last), run.last)):
        words = [f"init_from={given}", "seed=3"]
        config = checked(*words)
        assert config.init_from == str(found) and config.resume is None
        assert with_resolved_run(Composer("train"), words, config) == [f"init_from={found}", "seed=3"]


def test_a_run_without_a_checkpoint_and_no_run_are_refused(run: RunFolder) -> None:
    run.last.unlink()
    for given in (str(run.path), "nowhere"):
        with pytest.raises(UserError, match=r"checkpoint") as mistake:
            checked(f"init_from={given}")
        assert mistake.value.key == "init_from"


def test_the_choice_of_weights_needs_a_run(run: RunFolder) -> None:
    with pytest.raises(UserError, match="init_from=RUN beside it"):
        checked("init_weights=ema")
    assert checked("init_weights=ema", "init_from=last").init_weights == "ema"


@pytest.mark.parametrize("word", ["init_from=last", "init_weights=ema", "init_from=null"])
def test_a_resumed_run_does_not_start_from_another(word: str, run: RunFolder) -> None:
    for allowed in ([], ["allow_changes=true"]):
        with pytest.raises(UserError, match="start a new run") as mistake:
            checked(f"resume={run.path}", word, *allowed)
        assert mistake.value.key == word.partition("=")[0]


def test_a_saved_run_keeps_what_it_started_from_and_nobody_looks_for_it(run: RunFolder) -> None:
    rewrite(run, "init_from", "/elsewhere/of/a/stranger.pt")
    rewrite(run, "init_weights", "ema")
    config = plain(checked("resume=last"))
    assert (config["init_from"], config["init_weights"]) == ("/elsewhere/of/a/stranger.pt", "ema")


@pytest.mark.parametrize(("key", "value"), [("init_from", ["a"]), ("init_weights", "both"), ("freeze", "a")])
def test_their_values_in_a_saved_run_are_checked(key: str, value: object, run: RunFolder) -> None:
    rewrite(run, key, value)
    with pytest.raises(UserError, match=f"its {key} is"):
        checked("resume=last")


def test_freezing_may_change_on_resume_if_allowed(run: RunFolder) -> None:
    rewrite(run, "freeze", ["generator.mapping"])
    assert plain(checked("resume=last"))["freeze"] == ["generator.mapping"]
    with pytest.raises(UserError, match="allow_changes=true"):
        checked("resume=last", "freeze=[]")
    assert plain(checked("resume=last", "allow_changes=true", "freeze=[]"))["freeze"] == []


def test_other_data_on_resume_are_refused_with_a_hint_at_a_new_run(run: RunFolder, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    with pytest.raises(UserError, match="init_from=RUN"):
        checked("resume=last", "data=mnist")
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
