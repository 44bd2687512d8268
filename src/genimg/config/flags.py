"""The flags of the command: everything else on its line is `key=value`."""

from __future__ import annotations

FLAGS = {
    "--help": "this text; with a task, its keys: genimg sample --help",
    "--version": "the version",
    "--cfg": "job, hydra or all: print the configuration that would run, and stop",
    "--resolve": "with --cfg: with every ${...} replaced by its value",
    "--config-dir": "a folder of your own YAML, laid on top of the packaged ones",
    "--config-name": "a root YAML of your own in --config-dir",
    "--multirun": "run every combination of comma-separated values: -m model=gan,vae",
    "--completion": "bash, zsh or fish: print the completion script",
}
SHORT = {"-h": "--help", "-m": "--multirun", "-c": "--cfg", "-cd": "--config-dir"}
WITH_VALUE = ("--cfg", "--config-dir", "--config-name", "--completion")
