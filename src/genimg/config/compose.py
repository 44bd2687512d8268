"""Composes the configuration of a task with Hydra, from the packaged YAML files and the user's folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from genimg.common.errors import UserError
from genimg.common.nodes import of_installed_lightning
from genimg.config import hydra_api, resolvers
from genimg.config import yaml_text as pages
from genimg.config.hydra_api import File, Override, flatten, interpolation, plain_value


class Composer:
    """Composes the configurations of one task and answers questions about its groups and defaults."""

    def __init__(self, task: str, config_dir: Path | None = None) -> None:
        resolvers.register()
        self.task, self.config_dir = task, config_dir
        self.loader = hydra_api.Loader(config_dir)
        self._defaults: dict[tuple[str, ...], DictConfig] = {}

    def parse(self, words: list[str]) -> list[Override]:
        """Parses the overrides. Raises UserError for one that Hydra's grammar does not accept."""
        parsed = []
        for word in words:
            try:
                parsed += self.loader.parse([word])
            except RecursionError as error:
                expected = "a value with fewer nested lists and mappings"
                raise UserError(word.split("=")[0], word, expected) from error
            except HydraException as error:
                key = word.split("=")[0]
                raise UserError(key, word, "key=value in Hydra's grammar", hint=_grammar_hint(word, error)) from error
        return parsed

    def compose(self, words: list[str], multirun: bool = False) -> DictConfig:
        """Composes the configuration, unresolved, with its `hydra` node. Raises UserError if Hydra cannot."""
        try:
            return with_installed_lightning(self.loader.compose(self.task, words, multirun))
        except (HydraException, OmegaConfBaseException) as error:
            raise _user_error(error, words) from error
        except YAMLError as error:
            raise UserError("--config-dir", self.config_dir, f"valid YAML: {_one_line(error)}") from error

    def defaults(self, choices: list[str]) -> DictConfig:
        """Composes `choices` of groups. The jobs of a sweep share the cached result: do not change it."""
        asked = tuple(choices)
        if asked not in self._defaults:
            self._defaults[asked] = self.compose(choices)
        return self._defaults[asked]

    def package_defaults(self, model: str, data: str, config: DictConfig) -> DictConfig | None:
        """The packaged defaults of this model and this data, to compare `config` with.

        A setting that follows another setting, in the defaults and in `config`, takes its value from `config`: with
        data.image_size=16 the sizes of the networks are not differences. Returns None if the user's YAML needs keys
        that the packaged root does not have.
        """
        try:
            composed = hydra_api.compose_packaged(self.task, [f"model={model}", f"data={data}"], self.config_dir)
            defaults = OmegaConf.masked_copy(composed, [str(key) for key in composed if key in config])  # no sweep
            given = flatten(config)
            values = {
                key: plain_value(config if interpolation(given.get(key)) == written else defaults, key)
                for key, node in flatten(defaults).items()
                if (written := interpolation(node)) is not None
            }
        except (HydraException, OmegaConfBaseException):
            return None
        with open_dict(defaults):
            for key, value in values.items():
                OmegaConf.update(defaults, key, value)
        return defaults

    def apply(self, overrides: list[Override], config: DictConfig) -> None:
        """Sets the values of the overrides in `config`, which keeps its struct flag."""
        try:
            hydra_api.apply_overrides(overrides, config)
        except (HydraException, OmegaConfBaseException) as error:
            raise _user_error(error, [line(override) for override in overrides]) from error

    def is_group(self, name: str) -> bool:
        """Whether `name=...` chooses a file: `name` is a folder of YAML, or in the root's defaults list."""
        found = bool(name) and bool(self.loader.choices(name) or self.loader.subgroups(name))
        return found or name in self.chosen_groups()

    def chosen_groups(self) -> list[str]:
        """The groups in the defaults list of the task's root YAML."""
        root = pages.find("", self.task, self.config_dir)
        return [group for group, choice in pages.defaults(root) if choice] if root is not None else []

    def choices(self, group: str) -> list[str]:
        """The choices of a group, without the hidden ones (`_name`)."""
        return [name for name in self.loader.choices(group) if not name.startswith("_")]

    def groups(self) -> list[str]:
        """Every group; nested groups are written as `model/network`."""
        found = []
        waiting = [group for group in self.loader.subgroups("") if not group.startswith("_")]
        while waiting:
            group = waiting.pop(0)
            if self.loader.choices(group):
                found.append(group)
            if group != "hydra":
                waiting += [f"{group}/{inner}" for inner in self.loader.subgroups(group)]
        return found

    def files(self, words: list[str]) -> Iterator[File]:
        """The YAML files that compose `words`, the last one to take effect first."""
        return self.loader.files(self.task, words)

    def source_of(self, key: str, words: list[str]) -> str | None:
        """The YAML file that sets the value of `key` when `words` are composed, for example configs/model/gan.yaml."""
        for file in self.files(words):
            if file.package and not key.startswith(f"{file.package}."):
                continue
            inner = key[len(file.package) + 1 :] if file.package else key
            if hydra_api.has_key(file.config, inner):
                return file.name
        return None


def with_installed_lightning(config: DictConfig) -> DictConfig:
    """The configuration with the classes of `lightning.pytorch` named as those of `pytorch_lightning`."""
    for group in ("callbacks", "logger"):
        node = config.get(group)
        for key, value in flatten(node).items() if isinstance(node, DictConfig) else ():
            if key.endswith("_target_") and (name := str(value)) != of_installed_lightning(name):
                OmegaConf.update(config, f"{group}.{key}", of_installed_lightning(name))
    return config


def line(override: Override) -> str:
    """The word of the command line that `override` was parsed from."""
    assert override.input_line is not None
    return override.input_line


def without_hydra(config: DictConfig) -> DictConfig:
    """A copy of a composed configuration without Hydra's own node."""
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def _grammar_hint(word: str, error: Exception) -> str:
    """The hint for a word that Hydra's grammar does not accept."""
    key, _, value = word.partition("=")
    if value.startswith("~"):
        home, _, rest = value.partition("/")
        if home == "~":
            return f"the shell expands ~ only at the start of a word: write {key}=$HOME{'/' if rest else ''}{rest}"
    reason = str(error).splitlines()[0].split(" expecting ")[0]
    if "LexerNoViableAlt" in reason:
        return f"it has a character that is special to Hydra; quote the value: '{key}=\"{value}\"'"
    return f"{reason}; quote values with special characters: 'data.root=\"my, images\"'"


def _user_error(error: Exception, words: list[str]) -> UserError:
    """An error of Hydra or OmegaConf as a UserError that names the word it is about."""
    text = _one_line(error)
    about = next((word for word in words if word in text or word.split("=")[0].lstrip("+~") in text), None)
    return UserError(about.split("=")[0] if about else "configuration", about, f"a configuration that composes: {text}")


def _one_line(error: Exception) -> str:
    cause = f" ({error.__cause__})" if error.__cause__ is not None else ""
    return " ".join(f"{error}{cause}".split())
