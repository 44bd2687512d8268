"""Imports only point down: checked by reading the import statements of every module."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src"

# Each package, from the bottom up, and the packages it may import besides itself. Each package has one line.
MAY_IMPORT: dict[str, set[str]] = {
    "common": set(),
    "distributed": {"common"},
    "data": {"common"},
    "models": {"common", "distributed"},
    "checkpoints": {"common", "models"},
    "sampling": {"checkpoints", "common", "data", "models"},
    "evaluation": {"checkpoints", "common", "data", "models", "sampling"},
    "report": {"checkpoints", "common", "evaluation"},
    "training": {"checkpoints", "common", "data", "distributed", "evaluation", "models", "report", "sampling"},
    # no torch from here up
    "config": {"common", "data"},
    "tasks": {"common", "config", "data", "evaluation", "report", "sampling", "training"},
    "launch": {"common", "config", "distributed", "tasks"},
    "sweeps": {"common", "config", "launch"},
    "cli": {"common", "config", "launch", "sweeps"},
    "__main__": {"cli"},
    "api": {"common", "config", "evaluation", "launch", "report", "sampling"},
    "": {"api", "common", "sampling"},  # genimg/__init__.py: the names of the Python interface
}

# The command imports these modules before it starts a worker. They and everything they import must stay light.
TORCH_FREE = ("cli", "config", "sweeps", "tasks", "launch.session", "launch.start", "launch.worker")
HEAVY = {"torch", "torchvision", "pytorch_lightning", "lightning", "numpy", "sklearn", "PIL", "tensorboard"}


def _modules() -> dict[str, Path]:
    """Every module of genimg by its name without `genimg.`; the package itself is ''."""
    found = {}
    for path in sorted((SOURCE / "genimg").rglob("*.py")):
        parts = path.relative_to(SOURCE / "genimg").with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


def _imports(path: Path) -> Iterator[str]:
    """Names that a file imports at its top level or in a function; `from a import b` counts as a.b."""
    return _imported_by(ast.walk(ast.parse(path.read_text(encoding="utf-8"))), path)


def _imported_by(nodes: Iterable[ast.AST], path: Path) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports are not checked"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _project_imports(names: Iterable[str], modules: dict[str, Path]) -> set[str]:
    """The modules of genimg among imported names."""
    found = set()
    for name in names:
        if name == "genimg" or name.startswith("genimg."):
            inner = name.removeprefix("genimg").removeprefix(".")
            while inner not in modules:
                inner = inner.rpartition(".")[0]
            found.add(inner)
    return found


MODULES = _modules()
GRAPH = {name: _project_imports(_imports(path), MODULES) for name, path in MODULES.items()}


@pytest.mark.parametrize("name", MODULES)
def test_imports_only_go_down(name: str) -> None:
    part = name.split(".")[0]
    assert part in MAY_IMPORT, f"MAY_IMPORT has no line for {part}"
    allowed = MAY_IMPORT[part] | {part, ""}
    upward = {target for target in GRAPH[name] if target.split(".")[0] not in allowed}
    assert not upward, f"{name} may import {sorted(allowed)}"


def test_there_is_no_import_cycle() -> None:
    # genimg.load is imported lazily, so it is no cycle
    graph = {name: targets - {""} for name, targets in GRAPH.items() if name}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("name", [m for m in MODULES if m.startswith(TORCH_FREE)])
def test_the_command_stays_light(name: str) -> None:
    reached, waiting = dict[str, set[str]](), [name]
    while waiting:
        module = waiting.pop()
        if module not in reached and module:
            reached[module] = set(_before_a_worker(module))
            waiting += _project_imports(reached[module], MODULES)
    heavy = {module: sorted({n.split(".")[0] for n in names} & HEAVY) for module, names in reached.items()}
    assert {module: names for module, names in heavy.items() if names} == {}


def _before_a_worker(module: str) -> Iterator[str]:
    """Imports of a module in the command. The functions of `tasks` run in a worker, so their imports do not count."""
    path = MODULES[module]
    if module.startswith("tasks"):
        return _imported_by(ast.parse(path.read_text(encoding="utf-8")).body, path)
    return _imports(path)


def test_every_line_of_the_table_is_a_package() -> None:
    assert set(MAY_IMPORT) - {name.split(".")[0] for name in MODULES} == set()
