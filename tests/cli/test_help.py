"""--help lists everything that can be chosen, from the YAML files, before Hydra could be imported."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from genimg.config import yaml_text as pages
from tests.conftest import Answer


def test_help_shows_every_task_group_choice_and_common_key(
    command: Callable[..., Answer], hydra_imports: Callable[..., float]
) -> None:
    answer = command("--help")
    assert answer.code == 0
    assert answer.imported == ""
    assert hydra_imports("--help", below=1) < 1
    for task in pages.tasks(None):
        assert f"  {task}" in answer.out
    for group, choices in pages.groups(None).items():
        assert f"{group}=..." in answer.out
        assert all(f"  {choice}" in answer.out for choice in choices)
    for key in ("seed=0", "budget.minutes", "data.batch_size=", "model.lr=", "trainer.devices=1"):
        assert key in answer.out
    examples = answer.out.partition("examples:\n")[2]
    assert len(examples.strip().splitlines()) == 4


def test_every_choice_and_task_has_a_one_line_description() -> None:
    for group in (pages.tasks(None), *pages.groups(None).values()):
        for choice, line in group.items():
            assert line and not re.search(r"\. [A-Z]", line), f"{choice}: one sentence"


def test_every_common_key_has_a_comment() -> None:
    for task in pages.tasks(None):
        root = pages.find("", task, None)
        assert root is not None
        assert [key.name for key in pages.keys(root) if key.default and not key.comment and key.name != "task"] == []


@pytest.mark.parametrize("words", [["sample", "--help"], ["--help", "task=sample"]])
def test_help_of_a_task_shows_its_keys(words: list[str], command: Callable[..., Answer]) -> None:
    out = command(*words).out
    assert "num_images=10" in out
    assert "budget.images" not in out


@pytest.mark.parametrize("words", [["--help", "model=rnn"], ["model=rnn", "--help"]])
def test_help_of_a_choice_shows_its_keys(words: list[str], command: Callable[..., Answer]) -> None:
    """Also of the data that the model picks; a key that two files set has the value that composition takes."""
    out = command(*words).out
    for shown in ("model.lr=2.0e-3", "data.batch_size=16 ", "data.image_size=32 ", "data.channels=1 "):
        assert shown in out
    assert re.search(r"data.channels=1 +1 = grey", out), "the comment is in the inherited file"
    assert "data.root=" in command(*words, "data=frame_folder").out, "the user's choice wins over the model's"
    for odd in ("model=nosuch", "model=", "model", "model=gan,vae"):
        assert "model.lr=1.6e-3" in command("--help", odd).out
    assert "model.lr" not in command("sample", "--help", "model=rnn").out


def test_help_shows_user_defined_choices(command: Callable[..., Answer], tmp_path: Path) -> None:
    (tmp_path / "mine" / "model").mkdir(parents=True)
    (tmp_path / "mine" / "model" / "wings.yaml").write_text("# Birds only\nlr: 1e-3\n")
    (tmp_path / "mine" / "model" / "_part.yaml").write_text("# Hidden\n")
    out = command("--help", "--config-dir", "mine").out
    assert "Birds only" in out
    assert "_part" not in out


def test_version(command: Callable[..., Answer]) -> None:
    assert command("--version").out.startswith("genimg-train 0.")


def test_keys_and_comments_are_read_from_a_yaml_file(tmp_path: Path) -> None:
    page = tmp_path / "page.yaml"
    page.write_text(
        "# First\n\ndefaults:\n  - _self_\n  - trainer: auto   # here\nkey: 1.0  # a number\n"
        "outer:   # holds one\n  inner: '#1'  # a colour\nbare:\n"
    )
    found = {key.name: (key.default, key.comment) for key in pages.keys(page)}
    assert found["key"] == ("1.0", "a number")
    assert found["outer"] == ("", "holds one")
    assert found["outer.inner"] == ("'#1'", "a colour")
    assert list(pages.defaults(page)) == [("trainer", "auto")]
