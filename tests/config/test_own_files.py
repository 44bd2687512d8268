"""The YAML files of the user's folder have an effect, or one message says why not."""

from pathlib import Path

import pytest

from genimg.common.errors import UserError
from genimg.config.compose import Composer
from genimg.launch.session import check

GLOBAL = "# @package _global_\n"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"# Mine.\n" + GLOBAL.encode() + b"seed: 7\n", "make its first line # @package _global_"),
        (b"seed: 7\n", "make its first line # @package _global_"),
        (b"\xef\xbb\xbf" + GLOBAL.encode() + b"seed: 7\n", "byte order mark"),
        (GLOBAL.encode() + b"- seed: 7\n", "not a list"),
        (GLOBAL.encode() + b"hydra: {sweeper: {params: {seed: '1,2'}}}\n", "-m key=1,2"),
        (GLOBAL.encode() + b"seed: [\n", "a YAML file of settings"),
    ],
)
def test_an_experiment_without_effect_is_a_message(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "experiment" / "mine.yaml"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(UserError, match="mine") as error:
        check(Composer("train", tmp_path), ["experiment=mine"], on_this_machine=False)
    assert told in str(error.value)


def test_an_experiment_has_an_effect_with_its_header(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("\n# @package _global_\n# Mine.\nseed: 7\n")
    assert check(Composer("train", tmp_path), ["experiment=mine"], on_this_machine=False).seed == 7


def test_a_root_file_that_replaces_ours_in_part_is_a_message(tmp_path: Path) -> None:
    (tmp_path / "train.yaml").write_text("seed: 7\n")
    with pytest.raises(UserError, match="experiment/NAME"):
        check(Composer("train", tmp_path), [], on_this_machine=False)
