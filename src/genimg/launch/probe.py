"""model.fit=auto: measures some widths in a worker before the run, and replaces the key by the width that it chose.

The run is then one with plain numbers: its folder, `resume=` and the printed command have them, and measure nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from genimg.common.errors import UserError
from genimg.common.reading import read_json
from genimg.common.widths import CHOICE, widths_to_try
from genimg.config.compose import Composer, line, without_hydra
from genimg.launch.start import run_workers, write

KEY, CHOSEN = "model.fit", ("model.width", "data.batch_size")


def is_wanted(config: DictConfig) -> bool:
    """Whether a checked configuration asks for a width."""
    return bool(OmegaConf.select(config, KEY) == "auto")


def choose(composer: Composer, words: list[str], config: DictConfig, worker: Sequence[str]) -> tuple[int, list[str]]:
    """Returns the exit code of the worker that measures, and if it is 0, `words` with the chosen numbers.

    config: checked, composed from `words`.
    """
    _check_free(composer, words)
    with tempfile.TemporaryDirectory(prefix="genimg-") as folder:
        request = OmegaConf.create({**_plain(config), "candidates": _candidates(config), "run_dir": folder})
        exit_code = run_workers(request, write(request, Path(folder, "config.yaml")), worker)
        if exit_code:
            return exit_code, words
        choice = read_json(Path(folder, CHOICE))
    return 0, _with_numbers(composer, words, choice)


def _check_free(composer: Composer, words: list[str]) -> None:
    """Raises UserError for a key that model.fit=auto chooses and the user sets, in a word or in an experiment."""
    expected = f"not set beside {KEY}=auto, which chooses it"
    overrides = composer.parse(words)
    for key in CHOSEN:
        given = [line(override).partition("=")[2] for override in overrides if override.key_or_group == key]
        source = composer.source_of(key, [line(override) for override in overrides if override.key_or_group != key])
        by_experiment = source is not None and Path(source).parent.name == "experiment"
        if given or by_experiment:
            got = given[-1] if given else "a value of the experiment"
            raise UserError(key, got, expected, "remove one of the two", source)


def _candidates(config: DictConfig) -> list[Any]:
    """The node of the model at each width to try, resolved."""
    candidate = config.copy()
    default = OmegaConf.select(config, "model.width")
    if default is None:
        raise UserError(KEY, "auto", "a network with the key model.width", "model.fit=null")
    nodes = []
    for width in widths_to_try(default):
        candidate.model.width = width
        nodes.append(_plain(candidate)["model"])
    return nodes


def _plain(config: DictConfig) -> dict[Any, Any]:
    plain = OmegaConf.to_container(without_hydra(config), resolve=True)
    assert isinstance(plain, dict)
    return plain


def _with_numbers(composer: Composer, words: list[str], choice: dict[str, int]) -> list[str]:
    """`words` without model.fit, and with the chosen numbers."""
    overrides = composer.parse(words)
    kept = [line(override) for override in overrides if override.key_or_group != KEY]
    off = [f"{KEY}=null"] if is_wanted(composer.compose(kept)) else []  # an experiment sets it
    numbers = [f"{key}={choice[key.rpartition('.')[2]]}" for key in CHOSEN]
    return [*kept, *off, *numbers]
