"""One call of the command: compose, check, then print or run."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from genimg.common.quoting import quoted
from genimg.config.check import check
from genimg.config.compose import Composer, without_hydra
from genimg.config.defaults import plain
from genimg.config.hydra_keys import check_one_run
from genimg.launch import start as launch


class Session:
    """The task, the overrides and the folders of one call, and what to do with them."""

    def __init__(
        self, task: str, words: list[str], config_dir: Path | None, worker: Sequence[str] = launch.WORKER
    ) -> None:
        self.task, self.words, self.config_dir, self.worker = task, words, config_dir, worker
        self.composer = Composer(task, config_dir)

    def __reduce__(self) -> tuple[Any, ...]:
        """A process that a job of a sweep is sent to makes its own."""
        return Session, (self.task, self.words, self.config_dir, self.worker)

    def run(self, cfg: str | None, resolve: bool) -> int:
        """Prints the configuration (`cfg`), or runs it; the exit code."""
        config = check(self.composer, self.words, on_this_machine=cfg is None)
        if cfg is not None:
            print(_printed(config, cfg, resolve), end="")
            return 0
        for override in self.composer.parse(self.words):
            check_one_run(override)
        return self.start(config, self.words)

    def start(self, config: DictConfig, words: list[str], folder: Path | None = None) -> int:
        """Starts the worker of a checked configuration and returns its exit code. folder: of a job of a sweep."""
        chosen = config.hydra.runtime.choices
        model, data = (str(chosen.get(group, "")) for group in ("model", "data"))
        name = f"{model}-{data}".replace("/", "-")
        own = OmegaConf.masked_copy(config, [str(key) for key in config if key not in ("hydra", "sweep")])
        defaults = partial(plain, self.composer, model, data)
        words = [
            f"resume={quoted(str(config.resume))}" if word == "resume=last" else word for word in words
        ]  # last is soon another
        return launch.start(own, name, words, self.command(words), folder, defaults, self.worker)

    def command(self, words: list[str]) -> str:
        """The shell command that does the same again."""
        task = [] if self.task == "train" else [f"task={self.task}"]
        folder = [] if self.config_dir is None else ["--config-dir", str(self.config_dir.resolve())]
        return shlex.join(["genimg-train", *folder, *task, *words])


def _printed(config: DictConfig, part: str, resolve: bool) -> str:
    shown = {"job": without_hydra(config), "hydra": OmegaConf.masked_copy(config, ["hydra"]), "all": config}[part]
    return OmegaConf.to_yaml(shown, resolve=resolve)
