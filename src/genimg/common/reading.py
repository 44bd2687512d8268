"""Readers of JSON, JSON Lines and YAML files, which may be untrusted. Torch-free.

Each reads regular files only, up to a size, and raises ValueError with a short reason. Values are nested at most
`DEPTH` deep, numbers have at most `DIGITS` digits, and text has no surrogates. Numbers in JSON are finite.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from genimg.common.text import printable

MAX_JSON = 2**26  # bytes
MAX_LINE = 2**20  # bytes of a line of JSON Lines; a row of ours has some hundreds
MAX_YAML = 2**18  # bytes; ours have a few thousand
DEPTH = 64
DIGITS = 300  # of a number, so that every integer is a finite float
_REASON = 200  # characters
# U+DC80 to U+DCFF stand for the bytes of file names that are not UTF-8 (PEP 383)
_SURROGATE = re.compile("[\ud800-\udc7f\udd00-\udfff]")
_NUMBER = re.compile(r"[-+0-9a-fA-FxXoO_.:]+")  # also in YAML's other bases


class Line(NamedTuple):
    """A line of a file of JSON Lines. `row` is None if the line is damaged or cut off."""

    number: int  # from 1
    end: int  # the position in the file after it, in bytes
    row: dict[str, Any] | None
    complete: bool  # whether a line break ends it


def read_bytes(path: Path, largest: int) -> bytes:
    """The content of a regular file. Raises ValueError for any other, for one that cannot be read or is too large."""
    with open_regular(path) as file:
        content = file.read(largest + 1)
    if len(content) > largest:
        raise ValueError(f"it has more than {largest:,} bytes")
    return content


def read_json(path: Path, largest: int = MAX_JSON) -> Any:
    """The value in a JSON file. Raises ValueError."""
    return parse_json(read_bytes(path, largest))


def parse_json(text: str | bytes) -> Any:
    """The value in JSON text. Raises ValueError."""
    try:
        decoded = text.decode("utf-8") if isinstance(text, bytes) else text
        found = json.loads(decoded, parse_int=_integer, parse_float=_finite, parse_constant=_finite)
    except RecursionError as error:
        raise ValueError(f"it is nested more than {DEPTH} deep") from error
    except UnicodeDecodeError as error:
        raise ValueError("it is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    if decoded.count("[") + decoded.count("{") > DEPTH or "\\ud" in decoded.lower():
        _check(found)
    return found


def read_json_lines(path: Path) -> Iterator[Line]:
    """Yields every line of a file of JSON objects; blank lines are damaged. Raises ValueError if it cannot be read."""
    with open_regular(path) as file:
        number, end = 0, 0
        while line := file.readline(MAX_LINE):
            number, end, long = number + 1, end + len(line), False
            while len(line) == MAX_LINE and not line.endswith(b"\n"):
                line, long = file.readline(MAX_LINE), True
                end += len(line)
            complete = line.endswith(b"\n")
            yield Line(number, end, _row(line) if complete and not long else None, complete)


def describe_damage(path: Path, lines: list[Line]) -> str | None:
    """A sentence about the damaged lines, if there are any."""
    damaged = [line.number for line in lines if line.row is None]
    if not damaged:
        return None
    count = "1 damaged line is" if len(damaged) == 1 else f"{len(damaged):,} damaged lines are"
    return f"{path}: {count} skipped, the first is line {damaged[0]}"


def read_yaml(path: Path) -> Any:
    """The plain, unresolved value in a YAML file, as OmegaConf reads it. Raises ValueError, also for aliases.

    With aliases, a few lines can expand to more than memory holds.
    """
    content = read_bytes(path, MAX_YAML)
    try:
        text = content.decode("utf-8-sig")
        _check_events(text)
        found = OmegaConf.to_container(OmegaConf.create(text))
    except yaml.MarkedYAMLError as error:
        place = f" at line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ValueError(f"it is not YAML: {error.problem}{place}") from error
    except (ValueError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise ValueError(_reason(error)) from error
    except Exception as error:  # PyYAML and OmegaConf raise AssertionError, KeyError and more for damaged files
        raise ValueError("it is not YAML") from error
    _check(found)
    return found


def _check_events(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("it has YAML aliases")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH:
            raise ValueError(f"it is nested more than {DEPTH} deep")
        if isinstance(event, yaml.ScalarEvent) and len(event.value) > DIGITS and _NUMBER.fullmatch(event.value):
            raise ValueError(f"it has a number of more than {DIGITS} digits")


def open_regular(path: Path) -> BinaryIO:
    """Opens a regular file to read. Raises ValueError for any other, at once: opening a pipe would wait."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ValueError(_reason(error)) from error
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise ValueError("it is not a regular file")
    return cast(BinaryIO, os.fdopen(file, "rb"))


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = parse_json(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def _integer(digits: str) -> int:
    if len(digits) > DIGITS:
        raise ValueError(f"it has a number of more than {DIGITS} digits")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits) if len(digits) <= DIGITS else math.nan
    if not math.isfinite(number):
        raise ValueError(f"the number {digits[:20]} is not finite, or has more than {DIGITS} digits")
    return number


def _check(value: Any) -> None:
    """Raises ValueError for deep nesting, surrogates and types that JSON does not have, without recursion."""
    level = [value]
    for _ in range(DEPTH + 1):
        for one in level:
            if not isinstance(one, str | int | float | dict | list | None):
                raise ValueError(f"it has a value of type {type(one).__name__}")
            if isinstance(one, str) and _SURROGATE.search(one):
                raise ValueError("its text has surrogates")
        level = [part for one in level for part in _parts(one)]
        if not level:
            return
    raise ValueError(f"it is nested more than {DEPTH} deep")


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value, *value.values()]
    return value if isinstance(value, list) else []


def _reason(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) else str(error).strip().partition("\n")[0]
    return printable(text or type(error).__name__)[:_REASON]
