"""Readers of untrusted files."""

import os
from pathlib import Path

import pytest

from genimg.common.reading import read_json, read_json_lines, read_yaml


@pytest.mark.parametrize(
    "content",
    [b"[" * 100_000, b"[" * 80 + b"]" * 80, b"1" * 400, b"1e999", b"NaN", b'"\xed\xa0\x80"', b'"\\ud800"', b"", b"{"],
)
def test_json_that_is_not_plain_is_refused_with_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"\A[^\n]{1,200}\Z"):
        read_json(path)


@pytest.mark.parametrize(
    "content",
    [
        "a: &x [1]\nb: *x",
        "[" * 2_000,
        "a: " + "9" * 400,
        "a: 0x" + "f" * 200_000,
        "a: 1" + ":1" * 100_000,
        'a: "\\ud800"',
        "a: !!binary aGk=",
        "a: !!set {x}",
        "? [1, 2]\n: 3",
        "x" * 300_000,
    ],
)
def test_yaml_that_is_no_configuration_is_refused_in_time(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"\A[^\n]{1,200}\Z"):
        read_yaml(path)


def test_a_pipe_a_folder_and_a_missing_file_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "missing"):
        with pytest.raises(ValueError, match=r"regular|No such"):
            read_json(path)


def test_a_damaged_line_costs_that_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\n[\n{"b": "' + b"x" * 3_000_000 + b'"}\n{"a": 2}\n{"a": 3')
    lines = list(read_json_lines(path))
    assert [line.row for line in lines] == [{"a": 1}, None, None, {"a": 2}, None]
    assert [line.number for line in lines] == [1, 2, 3, 4, 5]
    assert lines[-1].end == path.stat().st_size
    assert [line.complete for line in lines] == [True, True, True, True, False]
