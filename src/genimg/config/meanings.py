"""Settings of Lightning and of templates for it, as the words that mean them here.

`trainer.max_epochs=3` is `budget.epochs=3`: such words are replaced before anything is composed, and the command says
so. Only what has one meaning is replaced; for names of keys that are merely similar, an error has a hint (`names.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from genimg.common.errors import UserError

_UNITS = {"weeks": 10080.0, "days": 1440.0, "hours": 60.0, "minutes": 1.0, "seconds": 1 / 60}  # in minutes
_CLOCK = re.compile(r"(\d+):(\d+):(\d+):(\d+)")  # DD:HH:MM:SS
_PART = rf"[\"']?({'|'.join(_UNITS)})[\"']?\s*:\s*(\d+(?:\.\d+)?)"
_PARTS = re.compile(rf"\{{\s*{_PART}(?:\s*,\s*{_PART})*\s*\}}")

Meaning = Callable[[str, str], str]  # of the key and the text of its value: the word instead


def _same(key: str) -> Meaning:
    return lambda _, value: f"{key}={value}"


def _choice(key: str, ours: dict[str, str]) -> Meaning:
    """A key with other words for some of its values, whatever their case; a list of values is a sweep."""
    return lambda _, value: f"{key}={','.join(ours.get(one.lower(), one) for one in value.split(','))}"


def _limit(key: str) -> Meaning:
    return _choice(key, {"-1": "null", "none": "null"})


def _minutes(key: str, value: str) -> str:
    """Lightning's `max_time`: DD:HH:MM:SS, or a mapping of units like {hours:2,minutes:30}."""
    text = value.strip("\"'")
    if text.lower() in ("null", "none"):
        return "budget.minutes=null"
    if clock := _CLOCK.fullmatch(text):
        days, hours, minutes, seconds = map(int, clock.groups())
        total = 1440 * days + 60 * hours + minutes + seconds / 60
    else:
        total = sum(_UNITS[unit] * float(count) for unit, count in re.findall(_PART, text) if _PARTS.fullmatch(text))
    if not total:
        raise UserError(key, value, "more than no time, as DD:HH:MM:SS or {hours:2,minutes:30}", "budget.minutes=10")
    return f"budget.minutes={total:g}"


def _dry_run(key: str, value: str) -> str:
    """Lightning's `fast_dev_run`: a switch, or a number of batches."""
    if value.lower() in ("false", "0"):
        return "dry_run=false"
    if value.lower() != "true" and not value.isdigit():
        raise UserError(key, value, "true, false or a number of batches", "dry_run=true")
    return "dry_run=true"


def _devices(key: str, value: str) -> str:
    """Lightning's list of GPUs: the first ones are a number here, and a variable of CUDA chooses others."""
    if value == "-1":
        return f"{key}=auto"
    if not re.fullmatch(r"\[\d+(,\d+)*\]", text := value.replace(" ", "")):
        return f"{key}={value}"
    numbers = text.strip("[]").split(",")
    if sorted(map(int, numbers)) != list(range(len(numbers))):
        hint = f"CUDA_VISIBLE_DEVICES={','.join(numbers)} genimg-train {key}={len(numbers)}"
        raise UserError(key, value, "a number of devices, or the list of the first ones", hint)
    return f"{key}={len(numbers)}"


def _items(key: str, *defaults: float) -> Meaning:
    """Lightning's limits of batches: a number of batches, or a share of the items. The defaults are no limit."""

    def meaning(name: str, value: str) -> str:
        share = re.fullmatch(r"\d*\.\d+|0", value)  # 1 is one batch, and 1.0 is all of them
        if value.lower() in ("null", "none") or (share and float(value) in defaults):
            return ""
        if value.isdigit() and int(value):
            return f'{key}="${{times:{value},${{data.batch_size}}}}"'  # Hydra's grammar nests them in quotes only
        if key == "data.limit" and share and 0 < float(value) < 1:
            return f"{key}={value}"
        raise UserError(name, value, "a number of batches", f"{key}=512 limits the items themselves")

    return meaning


#: Words of Lightning's Trainer that change nothing here, and why.
NEEDLESS = {
    "trainer.num_sanity_val_steps": "a run does not begin with a validation",
    "trainer.enable_model_summary": "the log has one line about the model",
    "trainer.sync_batchnorm": "batch normalisation always sees the batch of all processes",
    "trainer.use_distributed_sampler": "the processes always share the items of a batch",
}

#: By task; the empty one is any other task.
MEANINGS: dict[str, dict[str, Meaning]] = {
    "train": {
        "trainer.max_epochs": _limit("budget.epochs"),
        "trainer.max_steps": _limit("budget.steps"),
        "trainer.max_time": _minutes,
        "trainer.fast_dev_run": _dry_run,
        "trainer.limit_train_batches": _items("data.limit", 1.0),
        "trainer.overfit_batches": _items("data.limit", 0.0),
        "trainer.limit_val_batches": _items("callbacks.validation.num_images", 1.0),
        "trainer.log_every_n_steps": _same("log_every_steps"),
        "trainer.default_root_dir": _same("outputs"),
        "trainer.devices": _devices,
        "trainer.accelerator": _choice("trainer.accelerator", {"cuda": "gpu"}),
        "trainer.precision": _choice("trainer.precision", {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}),
        "hydra.run.dir": _same("run_dir"),
        "ckpt_path": _same("resume"),
        "logger": _choice("logger", {"null": "none", "false": "none", "[]": "none"}),
        "callbacks": _choice("callbacks", {"null": "none", "false": "none", "[]": "none"}),
    },
    "": {"ckpt_path": _same("run")},
}


def translate(words: Sequence[str], task: str) -> tuple[list[str], list[str]]:
    """Returns the words of a task with those in `MEANINGS` replaced, and a line for each that was.

    Raises:
        UserError: for a value that has no meaning here.
    """
    meanings = MEANINGS.get(task, MEANINGS[""])
    ours: list[str] = []
    notes: list[str] = []
    for word in words:
        key, equals, value = word.lstrip("+").partition("=")
        if equals and task == "train" and key in NEEDLESS:
            notes.append(f"{word} changes nothing: {NEEDLESS[key]}")
            continue
        instead = meanings[key](key, value) if equals and key in meanings else word
        if not instead:
            notes.append(f"{word} changes nothing: it is no limit")
            continue
        if instead == word.lstrip("+"):  # a key that exists here
            instead = word
        ours.append(instead)
        if instead != word:
            notes.append(f"{word} means {instead}")
    return ours, notes
