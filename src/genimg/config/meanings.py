"""Settings of Lightning and of templates for it, as the words that mean them here.

`trainer.max_epochs=3` is `budget.epochs=3`: such words are replaced before anything is composed, and the command says
so. Only what has one meaning is replaced; for names of keys that are merely similar, an error has a hint (`names.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from genimg.common.errors import UserError

_NOTHING = ("-1", "null", "None", "false", "False", "0")  # of a limit or a switch: as if it were not given
_UNITS = {"weeks": 10080.0, "days": 1440.0, "hours": 60.0, "minutes": 1.0, "seconds": 1 / 60}  # in minutes
_CLOCK = re.compile(r"(\d+):(\d+):(\d+):(\d+)")  # DD:HH:MM:SS

Meaning = Callable[[str, str], list[str]]  # of the key and the text of its value: the words instead


def _same(key: str) -> Meaning:
    return lambda _, value: [f"{key}={value}"]


def _limit(key: str) -> Meaning:
    return lambda _, value: [] if value in _NOTHING else [f"{key}={value}"]


def _minutes(key: str, value: str) -> list[str]:
    """The words for Lightning's `max_time`: DD:HH:MM:SS, or a mapping of units like {hours:2,minutes:30}."""
    if value in _NOTHING:
        return []
    text = value.strip("\"'")
    if clock := _CLOCK.fullmatch(text):
        days, hours, minutes, seconds = map(int, clock.groups())
        return [f"budget.minutes={1440 * days + 60 * hours + minutes + seconds / 60:g}"]
    given = re.findall(r"(\w+)\s*:\s*([\d.]+)", text) if text.startswith("{") else []
    if not given or any(unit not in _UNITS for unit, _ in given):
        raise UserError(key, value, "DD:HH:MM:SS or {hours:2}", "budget.minutes=10")
    return [f"budget.minutes={sum(_UNITS[unit] * float(count) for unit, count in given):g}"]


def _dry_run(_: str, value: str) -> list[str]:
    return [] if value in _NOTHING else ["dry_run=true"]


def _choice(key: str, others: dict[str, str]) -> Meaning:
    return lambda _, value: [f"{key}={others.get(value, value)}"]


_PRECISIONS = {"32": "32-true", "32-full": "32-true", "bf16": "bf16-mixed"}

MEANINGS: dict[str, Meaning] = {
    "trainer.max_epochs": _limit("budget.epochs"),
    "trainer.max_steps": _limit("budget.steps"),
    "trainer.max_time": _minutes,
    "trainer.fast_dev_run": _dry_run,
    "trainer.log_every_n_steps": _same("log_every_steps"),
    "trainer.default_root_dir": _same("outputs"),
    "trainer.accelerator": _choice("trainer.accelerator", {"cuda": "gpu"}),
    "trainer.precision": _choice("trainer.precision", _PRECISIONS),
    "hydra.run.dir": _same("run_dir"),
    "ckpt_path": _limit("resume"),
    "logger": _choice("logger", {"null": "none", "false": "none"}),
    "callbacks": _choice("callbacks", {"null": "none"}),
}


def translate(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Returns the words with those in `MEANINGS` replaced, and a line for each that was.

    Raises:
        UserError: for a value that has no meaning here.
    """
    ours: list[str] = []
    notes: list[str] = []
    for word in words:
        key, equals, value = word.lstrip("+").partition("=")
        instead = MEANINGS[key](key, value) if equals and key in MEANINGS else [word]
        ours += instead
        if instead != [word] and instead != [word.lstrip("+")]:
            notes.append(f"{word} means {' '.join(instead) or 'the default'}")
    return ours, notes
