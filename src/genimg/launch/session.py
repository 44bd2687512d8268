"""One call of the command: composes and checks the configuration, then prints or runs it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from genimg.common.display import show
from genimg.common.errors import UserError
from genimg.common.text import printable
from genimg.config import check as config_check
from genimg.config.choices import check_run_keys, split
from genimg.config.compose import Composer, line, without_hydra
from genimg.config.meanings import translate
from genimg.launch import probe
from genimg.launch import start as launch
from genimg.tasks import checks_of


def check(composer: Composer, words: list[str], on_this_machine: bool = True) -> DictConfig:
    """Composes and checks a configuration with the checks of its task; see `genimg.config.check.check`."""
    return config_check.check(composer, words, checks_of, on_this_machine)


class Session:
    """The task, the overrides and the YAML folder of one call."""

    def __init__(
        self, task: str, words: list[str], config_dir: Path | None, worker: Sequence[str] = launch.WORKER
    ) -> None:
        self.task, self.config_dir, self.worker = task, config_dir, worker
        self.words, self.notes = translate(words, task)
        self.run_dir: Path | None = None  # of the run that `start` has trained
        self.composer = Composer(task, config_dir)

    def __reduce__(self) -> tuple[Any, ...]:
        """A sweep's process that receives a session creates a new composer."""
        return Session, (self.task, self.words, self.config_dir, self.worker)

    def run(self, cfg: str | None, resolve: bool) -> int:
        """Prints a part of the configuration (`cfg`: job, hydra or all), or runs it. Returns the exit code."""
        self.say()
        config = check(self.composer, self.words, on_this_machine=cfg is None)
        if cfg is not None:
            show(printed(config, cfg, resolve))
            return 0
        for override in self.composer.parse(self.words):
            check_run_keys(override)
        if not probe.is_wanted(config):
            return self.start(config, self.words)
        exit_code, words = probe.choose(self.composer, self.words, config, self.worker)
        return exit_code or self.start(check(self.composer, words), words)

    def info(self) -> int:
        """Prints versions and the YAML files of the configuration. Returns the exit code."""
        self.say()
        check(self.composer, self.words, on_this_machine=False)
        names = ("genimg-train", "hydra-core", "omegaconf", "pytorch-lightning", "torch")
        show("  ".join(f"{name} {version(name)}" for name in names) + "\n\n")
        choices, _ = split(self.composer, self.composer.parse(self.words))
        files = [file for file in self.composer.files(list(map(line, choices))) if not file.package.startswith("hydra")]
        show("The YAML files of the configuration; a later one replaces the values of an earlier one:\n")
        for file in reversed(files):
            show(f"  {file.name:44} {file.package}\n")
        return 0

    def say(self) -> None:
        """Prints what words of other programs mean here, also before an error about what they mean."""
        for note in self.notes:
            print(f"note      {printable(note)}", file=sys.stderr)

    def start(self, config: DictConfig, words: list[str], folder: Path | None = None) -> int:
        """Starts the worker of a checked configuration and returns its exit code. folder: of a job of a sweep."""
        chosen = config.hydra.runtime.choices
        model, data = (str(chosen.get(group, "")) for group in ("model", "data"))
        name = config.get("name") or f"{model}-{data}".replace("/", "-")
        own = OmegaConf.masked_copy(config, [str(key) for key in config if key not in ("hydra", "sweep")])
        defaults = partial(self.composer.package_defaults, model, data)
        words = config_check.with_resolved_run(self.composer, words, config)
        exit_code = launch.start(own, name, words, self.command(words), folder, defaults, self.worker)
        if (run_dir := own.get("run_dir")) is not None and Path(run_dir).is_dir():  # a run that was refused has none
            self.run_dir = Path(run_dir)
        return exit_code

    def command(self, words: list[str]) -> str:
        """The shell command that repeats this call with `words`."""
        task = [] if self.task == "train" else [f"task={self.task}"]
        folder = [] if self.config_dir is None else ["--config-dir", str(self.config_dir.resolve())]
        return shlex.join(["genimg-train", *folder, *task, *words])


def printed(config: DictConfig, part: str, resolve: bool) -> str:
    """A part of a configuration as YAML: job, hydra or all."""
    shown = {"job": without_hydra(config), "hydra": OmegaConf.masked_copy(config, ["hydra"]), "all": config}[part]
    try:
        return OmegaConf.to_yaml(shown, resolve=resolve)
    except OmegaConfBaseException as error:  # Hydra's own node has values that only a job of a sweep has
        reason = str(error).splitlines()[0]
        raise UserError("--resolve", None, f"values that resolve: {reason}", "--cfg job, or omit --resolve") from error
