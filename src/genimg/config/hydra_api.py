"""The private APIs of Hydra and OmegaConf that this project needs. No other module may use them.

Verified with the versions in tests/config/test_hydra_api.py, which also states what each of these must do.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, IntervalSweep, Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, RunMode
from hydra.version import setbase
from omegaconf import DictConfig, Node, OmegaConf

__all__ = ["Glob", "HydraConfig", "IntervalSweep", "Override", "RangeSweep"]

PACKAGE = "pkg://genimg.configs"


class File(NamedTuple):
    """One YAML file of a composition. package: the dotted key that its content is placed at; '' is the root."""

    name: str
    package: str
    config: DictConfig


class Loader:
    """Hydra's configuration loader over the packaged YAML files and the user's folder, which takes precedence."""

    def __init__(self, config_dir: Path | None) -> None:
        setbase("1.3")
        path = create_config_search_path(PACKAGE)
        if config_dir is not None:
            path.prepend("--config-dir", f"file://{config_dir.resolve()}", anchor="main")
        GlobalHydra.instance().clear()
        self._hydra = Hydra.create_main_hydra2("genimg-train", path)
        self._loader: ConfigLoader = self._hydra.config_loader

    def parse(self, words: list[str]) -> list[Override]:
        """Parses overrides. Raises HydraException for a word that is not one."""
        return OverridesParser.create(config_loader=self._loader).parse_overrides(words)

    def compose(self, task: str, words: list[str], multirun: bool) -> DictConfig:
        """Composes the configuration, unresolved and with its `hydra` node."""
        mode = RunMode.MULTIRUN if multirun else RunMode.RUN
        return self._hydra.compose_config(task, words, mode, with_log_configuration=False)

    def choices(self, group: str) -> list[str]:
        """The choices of a group, hidden ones (`_name`) included; an empty list if there is no such group."""
        return self._options(group, ObjectType.CONFIG)

    def subgroups(self, group: str) -> list[str]:
        """The groups inside `group`; '' is the root."""
        return self._options(group, ObjectType.GROUP)

    def _options(self, group: str, kind: ObjectType) -> list[str]:
        # the loader's own get_group_options copies its sources and their cached files at each call, 10 ms
        return self._loader.repository.get_group_options(group, kind)  # type: ignore[attr-defined]

    def files(self, task: str, words: list[str]) -> Iterator[File]:
        """The YAML files that compose `words`, the last one to take effect first."""
        defaults = self._loader.compute_defaults_list(task, words, RunMode.RUN).defaults
        for default in reversed(defaults):
            if default.config_path is None:
                continue
            loaded = self._loader.repository.load_config(default.config_path)  # type: ignore[attr-defined]
            if loaded is not None and isinstance(loaded.config, DictConfig):
                from_user = loaded.provider == "--config-dir"
                folder = Path(loaded.path.removeprefix("file://")) if from_user else Path("configs")
                yield File(str(folder / f"{default.config_path}.yaml"), default.package or "", loaded.config)

    def launch(self, run_job: Any, config: DictConfig, jobs: list[list[str]], joblib_options: dict[str, Any]) -> None:
        """Runs the overrides of each job with the Hydra launcher that `config` names.

        joblib_options: further keyword arguments for joblib's processes.
        """
        context = HydraContext(config_loader=self._loader, callbacks=Callbacks(config))
        launcher = Plugins.instance().instantiate_launcher(context, run_job, config)
        if isinstance(options := getattr(launcher, "joblib", None), dict):
            options |= joblib_options
        launcher.launch(jobs, initial_job_idx=0)


def compose_packaged(task: str, choices: list[str], config_dir: Path | None) -> DictConfig:
    """Composes `choices` from the packaged YAML files; the user's folder only adds files that the package lacks."""
    path = create_config_search_path(PACKAGE)
    if config_dir is not None:
        path.prepend("--config-dir", f"file://{config_dir.resolve()}", anchor="schema")  # the last one searched
    return ConfigLoaderImpl(path).load_configuration(task, choices, RunMode.RUN)


def apply_overrides(overrides: list[Override], config: DictConfig) -> None:
    """Sets the values of the overrides in `config`, which keeps its struct flag."""
    ConfigLoaderImpl._apply_overrides_to_config(overrides, config)


def split_sweep(overrides: list[Override]) -> list[list[str]]:
    """The overrides of every combination of the values, as Hydra's basic sweeper enumerates them."""
    return [job for batch in BasicSweeper.split_arguments(overrides, None) for job in batch]


def has_key(config: DictConfig, key: str) -> bool:
    """Whether the dotted `key` is set in `config`, without resolving anything."""
    node: object = config
    for part in key.split("."):
        if not isinstance(node, DictConfig) or part not in node._content:  # type: ignore[operator]
            return False
        node = node._get_node(part)
    return True


def flatten(config: DictConfig) -> dict[str, object]:
    """Every node of `config` by its dotted key, unresolved. Mappings are included; lists are single nodes."""
    found: dict[str, object] = {}
    waiting: list[tuple[str, DictConfig]] = [("", config)]
    while waiting:
        prefix, node = waiting.pop()
        for name in node:
            key = f"{prefix}{name}"
            child = node._get_node(name)
            found[key] = child
            if isinstance(child, DictConfig) and not child._is_none() and not child._is_interpolation():
                waiting.append((f"{key}.", child))
    return found


def missing_keys(nodes: dict[str, object]) -> list[str]:
    """The keys whose value is `???`."""
    return [key for key, node in nodes.items() if isinstance(node, Node) and node._is_missing()]


def interpolation(node: object) -> Any:
    """The text of a node that is an interpolation (`${...}`), else None."""
    return node._value() if isinstance(node, Node) and node._is_interpolation() else None


def plain_value(config: DictConfig, key: str) -> Any:
    """The resolved value of the dotted `key`, as plain types. Raises OmegaConfBaseException if it does not resolve."""
    value = OmegaConf.select(config, key)
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
