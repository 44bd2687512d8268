"""The flags of the command. Every other word is `key=value`."""

from __future__ import annotations

FLAGS = {
    "--help": "print this text; with a task, print its keys: genimg sample --help",
    "--version": "print the version",
    "--cfg": "job, hydra or all: print the configuration and exit",
    "--info": "print versions, and the YAML files that the configuration is made of",
    "--resolve": "with --cfg: replace every ${...} by its value",
    "--config-dir": "a folder of YAML files that add to or replace the packaged ones",
    "--config-name": "a root YAML file in --config-dir",
    "--multirun": "run every combination of comma-separated values: -m model=gan,vae",
    "--completion": "bash, zsh or fish: print the completion script",
}
#: Other spellings, which Hydra has too.
SHORT = {
    "-h": "--help", "-m": "--multirun", "-c": "--cfg", "-i": "--info", "-cd": "--config-dir", "-cn": "--config-name",
    "-cp": "--config-dir", "--config-path": "--config-dir",
}  # fmt: skip
#: The group of searches: its choice is a sweep, with or without -m.
SEARCH = "hparams_search"
WITH_VALUE = ("--cfg", "--config-dir", "--config-name", "--completion")


def is_sweep(words: list[str]) -> bool:
    """Whether the overrides ask for a sweep without -m, as Hydra's `hydra.mode` does."""
    values = dict(word.lstrip("+").split("=", 1) for word in words if "=" in word)
    return values.get("hydra.mode") == "MULTIRUN" or values.get(SEARCH, "null") != "null"
