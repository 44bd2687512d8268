"""The display of progress: a bar only where it can be drawn."""

from __future__ import annotations

import io

import pytest

from genimg.training.callbacks.progress import draws_bars


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("kind", "encoding", "columns", "bar"),
    [
        ("xterm", "utf-8", 80, True),
        ("xterm", "utf-8", 20, False),
        ("dumb", "utf-8", 80, False),
        ("xterm", "ascii", 80, False),
        ("xterm", "latin-1", 80, False),
    ],
)
def test_a_bar_is_drawn_only_where_it_can_be(
    kind: str, encoding: str, columns: int, bar: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("TERM", kind), ("COLUMNS", str(columns)), ("LINES", "25")):
        monkeypatch.setenv(name, value)
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.stdout", Terminal(io.BytesIO(), encoding=encoding))
    assert draws_bars() is bar
    monkeypatch.setenv("NO_COLOR", "1")
    assert draws_bars() is bar
