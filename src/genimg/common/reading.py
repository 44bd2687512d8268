"""Readers of JSON, JSON Lines and YAML files that may be untrusted: bounded in size, nesting and digits. Torch-free.

Each raises ValueError, or OSError for a file that cannot be opened. What they return holds finite numbers, no integer
of more than 64 bits and no surrogates other than those of file names that are not UTF-8 (PEP 383).
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LARGEST = 2**26  # bytes of a file
LONGEST_LINE = 2**20  # bytes of a line of JSON Lines
LARGEST_YAML = 2**18  # bytes: ours have a few thousand, and PyYAML reads a megabyte in ten seconds
DEEPEST = 100  # nested lists and mappings
_SURROGATE = re.compile("[\ud800-\udc7f\udd00-\udfff]")
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]')


def read_text(path: Path, most: int = LARGEST) -> str:
    """Returns the text of a regular file. A pipe or a device is refused, not waited for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is not a regular file")
        if status.st_size > most:
            raise ValueError(f"it has more than {most:,} bytes")
        return file.read(most + 1).decode()


def read_json(path: Path, most: int = LARGEST) -> Any:
    """Returns the content of a JSON file."""
    return parse_json(read_text(path, most))


def read_json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """Yields (number, content) of each line of a JSON Lines file, with a ValueError as the content of a damaged one."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("it is not a regular file")
        number = 0
        while line := file.readline(LONGEST_LINE):
            number += 1
            if not line.endswith(b"\n") and len(line) == LONGEST_LINE:
                while len(rest := file.readline(LONGEST_LINE)) == LONGEST_LINE and not rest.endswith(b"\n"):
                    pass
                yield number, ValueError(f"it has more than {LONGEST_LINE:,} bytes")
                continue
            yield number, _line(line)


def parse_json(text: str) -> Any:
    """Returns the content of a JSON document."""
    depth = deepest = 0
    for token in _BRACKETS.findall(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token, 0)
        deepest = max(deepest, depth)
    if deepest > DEEPEST:
        raise ValueError(f"it has more than {DEEPEST} levels")
    content = json.loads(text, parse_int=_integer, parse_float=_float, parse_constant=_constant)
    if "\\u" in text or not text.isascii():
        _check_text(content)
    return content


def check_plain(content: Any, depth: int = 0) -> None:
    """Raises ValueError unless the numbers and the nesting of parsed YAML are within the bounds of this module."""
    if depth > DEEPEST:
        raise ValueError(f"it has more than {DEEPEST} levels")
    if isinstance(content, dict):
        for name, part in content.items():
            check_plain(name, depth + 1)
            check_plain(part, depth + 1)
    elif isinstance(content, list):
        for part in content:
            check_plain(part, depth + 1)
    elif isinstance(content, int) and abs(content) >= 2**63:
        raise ValueError("it has an integer of more than 64 bits")
    elif isinstance(content, str) and _SURROGATE.search(content):
        raise ValueError("it has text that is not Unicode")


def _line(line: bytes) -> Any:
    try:
        return parse_json(line.decode())
    except ValueError as error:
        return error


def _integer(digits: str) -> int:
    if len(digits) > 20 or abs(int(digits)) >= 2**63:
        raise ValueError("it has an integer of more than 64 bits")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError("it has a number that is not finite")
    return value


def _constant(name: str) -> float:
    raise ValueError(f"it has {name}, which is no JSON")


def _check_text(content: Any) -> None:
    if isinstance(content, str) and _SURROGATE.search(content):
        raise ValueError("it has text that is not Unicode")
    for part in (
        (*content, *content.values()) if isinstance(content, dict) else content if isinstance(content, list) else ()
    ):
        _check_text(part)
