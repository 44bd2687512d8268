"""Composition: Hydra's loader over the packaged configurations, with a user's own folder on top."""

from __future__ import annotations

from pathlib import Path

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from hydra.version import setbase
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from genimg.common.errors import UserError
from genimg.config import resolvers
from genimg.config import yaml_text as pages

PACKAGE = "pkg://genimg.configs"


class Composer:
    """Composes the configuration of one task, and says what can be chosen and where a default comes from."""

    def __init__(self, task: str, config_dir: Path | None = None) -> None:
        resolvers.register()
        setbase("1.3")
        path = create_config_search_path(PACKAGE)
        if config_dir is not None:
            path.prepend("--config-dir", f"file://{config_dir.resolve()}", anchor="main")
        GlobalHydra.instance().clear()
        self.task = task
        self.hydra = Hydra.create_main_hydra2("genimg-train", path)
        self.loader = self.hydra.config_loader
        self.config_dir = config_dir
        self._defaults: dict[tuple[str, ...], DictConfig] = {}

    def parse(self, words: list[str]) -> list[Override]:
        """The overrides that `words` spell. UserError where Hydra's grammar does not read one."""
        parser = OverridesParser.create(config_loader=self.loader)
        parsed = []
        for word in words:
            try:
                parsed += parser.parse_overrides([word])
            except HydraException as error:
                key = word.split("=")[0]
                raise UserError(key, word, "key=value, as Hydra reads it", hint=_how_to_write(word, error)) from error
        return parsed

    def compose(self, words: list[str], multirun: bool = False) -> DictConfig:
        """The configuration with its `hydra` node, unresolved. UserError for what Hydra cannot compose."""
        mode = RunMode.MULTIRUN if multirun else RunMode.RUN
        try:
            return self.hydra.compose_config(self.task, words, mode, with_log_configuration=False)
        except (HydraException, OmegaConfBaseException) as error:
            raise _explained(error, words) from error
        except YAMLError as error:
            raise UserError("--config-dir", self.config_dir, f"YAML that parses: {_one_line(error)}") from error

    def defaults(self, choices: list[str]) -> DictConfig:
        """What `choices` of groups compose to, to be read only: composed once, for the jobs of a sweep share theirs."""
        asked = tuple(choices)
        if asked not in self._defaults:
            self._defaults[asked] = self.compose(choices)
        return self._defaults[asked]

    def shipped(self, choices: list[str]) -> DictConfig:
        """What `choices` of groups compose to by the package's own files; of a user's folder only what no other has."""
        path = create_config_search_path(PACKAGE)
        if self.config_dir is not None:
            path.prepend("--config-dir", f"file://{self.config_dir.resolve()}", anchor="schema")  # the last
        try:
            return ConfigLoaderImpl(path).load_configuration(self.task, choices, RunMode.RUN)
        except (HydraException, OmegaConfBaseException) as error:
            raise _explained(error, choices) from error

    def apply(self, overrides: list[Override], config: DictConfig) -> None:
        """Sets in `config`, which keeps its struct flag, what the overrides say."""
        try:
            ConfigLoaderImpl._apply_overrides_to_config(overrides, config)
        except (HydraException, OmegaConfBaseException) as error:
            raise _explained(error, [line(override) for override in overrides]) from error

    def is_group(self, name: str) -> bool:
        """Whether `name=...` chooses a file: a folder of YAML, or an entry of the root's defaults list."""
        found = bool(name) and bool(self.loader.get_group_options(name) or self.loader.list_groups(name))
        return found or name in self.chosen_groups()

    def chosen_groups(self) -> list[str]:
        """The groups in the defaults list of the task's root YAML."""
        root = pages.find("", self.task, self.config_dir)
        return [group for group, choice in pages.defaults(root) if choice] if root is not None else []

    def choices(self, group: str) -> list[str]:
        """The choices of a group, without the hidden ones (`_name`)."""
        return [name for name in self.loader.get_group_options(group) if not name.startswith("_")]

    def groups(self) -> list[str]:
        """Every group, nested ones as `model/network`."""
        found = []
        waiting = [group for group in self.loader.list_groups("") if not group.startswith("_")]
        while waiting:
            group = waiting.pop(0)
            if self.loader.get_group_options(group, ObjectType.CONFIG):
                found.append(group)
            if group != "hydra":
                waiting += [f"{group}/{inner}" for inner in self.loader.list_groups(group)]
        return found

    def source_of(self, key: str, words: list[str]) -> str | None:
        """The file that sets the value of `key` when `words` are given, as a user would name it."""
        defaults = self.loader.compute_defaults_list(self.task, words, RunMode.RUN).defaults
        for default in reversed(defaults):
            if default.config_path is None or (default.config_path.startswith("hydra") and key[:5] != "hydra"):
                continue
            package = default.package or ""
            if package and key != package and not key.startswith(f"{package}."):
                continue
            loaded = self.loader.repository.load_config(default.config_path)  # type: ignore[attr-defined]
            inner = key[len(package) + 1 :] if package else key
            if loaded is None or not inner:
                continue
            if isinstance(loaded.config, DictConfig) and _holds(loaded.config, inner):
                return _name_of(loaded.provider, loaded.path, default.config_path)
        return None


def _how_to_write(word: str, error: Exception) -> str:
    """The hint for a word that Hydra's grammar does not read."""
    key, _, value = word.partition("=")
    if value.startswith("~"):
        home, _, rest = value.partition("/")
        if home == "~":
            return f"the shell expands ~ only at the start of a word: write {key}=$HOME{'/' if rest else ''}{rest}"
    reason = str(error).splitlines()[0].split(" expecting ")[0]
    if "LexerNoViableAlt" in reason:
        return f"it has a character that is special to Hydra; quote the value: '{key}=\"{value}\"'"
    return f"{reason}; quote what is special to Hydra: 'data.root=\"my, images\"'"


def line(override: Override) -> str:
    """The word of the command line that `override` was read from."""
    assert override.input_line is not None
    return override.input_line


def _holds(config: DictConfig, key: str) -> bool:
    node: object = config
    for part in key.split("."):
        if not isinstance(node, DictConfig) or part not in node._content:  # type: ignore[operator]
            return False
        node = node._get_node(part)
    return True


def _name_of(provider: str, path: str, config_path: str) -> str:
    folder = Path(path.removeprefix("file://")) if provider == "--config-dir" else Path("configs")
    return str(folder / f"{config_path}.yaml")


def _explained(error: Exception, words: list[str]) -> UserError:
    """What Hydra or OmegaConf said, as one message that names the word it is about."""
    text = _one_line(error)
    about = next((word for word in words if word in text or word.split("=")[0].lstrip("+~") in text), None)
    return UserError(about.split("=")[0] if about else "configuration", about, f"a configuration that composes: {text}")


def _one_line(error: Exception) -> str:
    cause = f" ({error.__cause__})" if error.__cause__ is not None else ""
    return " ".join(f"{error}{cause}".split())


def without_hydra(config: DictConfig) -> DictConfig:
    """The user's part of a composed configuration."""
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
