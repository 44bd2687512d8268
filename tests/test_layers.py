"""The arrows of the architecture: who may import whom, by reading the import statements of every module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src"

# Each package, from the bottom up, and the packages it may import besides itself. A new package gets one line.
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
    "tasks": {"common", "config", "evaluation", "report", "sampling", "training"},
    "launch": {"common", "config", "distributed", "tasks"},
    "sweeps": {"common", "config", "launch"},
    "cli": {"common", "config", "launch", "sweeps"},
    "": {"sampling"},  # genimg itself: `from genimg import load`
}

# Modules that the command imports before its checks are done; they and all they import stay light.
TORCH_FREE = ("cli", "sweeps", "config", "launch.session", "launch.start", "launch.worker", "launch.environment")
TORCH_FREE += (
    "common.errors",
    "common.run_folder",
    "common.ranks",
    "common.processes",
    "common.hardware",
    "data.listing",
)
HEAVY = {"torch", "torchvision", "pytorch_lightning", "lightning", "numpy", "sklearn", "PIL", "tensorboard"}


def _modules() -> dict[str, Path]:
    """Every module below genimg by its name without `genimg.`; the package itself is ''."""
    found = {}
    for path in sorted((SOURCE / "genimg").rglob("*.py")):
        parts = path.relative_to(SOURCE / "genimg").with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


def _imports(path: Path) -> Iterator[str]:
    """What a file imports, wherever the statement stands; `from a import b` as a.b."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the arrow"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _project_imports(path: Path, modules: dict[str, Path]) -> set[str]:
    """The project's modules among them, names of things inside a module cut off."""
    found = set()
    for name in _imports(path):
        if name == "genimg" or name.startswith("genimg."):
            inner = name.removeprefix("genimg").removeprefix(".")
            while inner not in modules:
                inner = inner.rpartition(".")[0]
            found.add(inner)
    return found


MODULES = _modules()
GRAPH = {name: _project_imports(path, MODULES) for name, path in MODULES.items()}


@pytest.mark.parametrize("name", MODULES)
def test_imports_only_go_down(name: str) -> None:
    part = name.split(".")[0]
    assert part in MAY_IMPORT, f"say in MAY_IMPORT what {part} may import"
    allowed = MAY_IMPORT[part] | {part, ""}
    upward = {target for target in GRAPH[name] if target.split(".")[0] not in allowed}
    assert not upward, f"{name} may import {sorted(allowed)}"


def test_no_module_imports_itself_in_a_circle() -> None:
    # the package's own `load` is imported when it is asked for, so it closes no circle
    graph = {name: targets - {""} for name, targets in GRAPH.items() if name}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("name", [m for m in MODULES if m.startswith(TORCH_FREE)])
def test_the_command_stays_light(name: str) -> None:
    reached, waiting = set(), [name]
    while waiting:
        module = waiting.pop()
        if module not in reached and module:
            reached.add(module)
            waiting += GRAPH[module]
    heavy = {m: sorted({n.split(".")[0] for n in _imports(MODULES[m])} & HEAVY) for m in reached}
    assert {m: names for m, names in heavy.items() if names} == {}


def test_the_table_names_nothing_that_is_gone() -> None:
    assert set(MAY_IMPORT) - {name.split(".")[0] for name in MODULES} == set()
