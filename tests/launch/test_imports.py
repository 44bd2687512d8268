"""A worker imports installed packages, and the working folder only for classes that the user names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from genimg.launch.imports import named_packages
from genimg.launch.start import AGENT, WORKER

MARKED = "open({marker!r}, 'a').write(__name__)\n"
SHADOWED = ("random", "json", "torch", "numpy", "omegaconf", "genimg", "yaml")


@pytest.mark.parametrize("command", [WORKER, AGENT], ids=["worker", "agent"])
def test_modules_in_the_working_folder_are_not_run(command: tuple[str, ...], tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    for name in SHADOWED:
        (tmp_path / f"{name}.py").write_text(MARKED.format(marker=str(marker)))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run([*command, "missing.yaml"], cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert not marker.exists()
    assert b"missing.yaml" in done.stderr, "it started, and looked for the configuration"


def test_lightning_is_imported_without_heavy_modules_which_still_work() -> None:
    code = """
import sys
from genimg.common.lightning import import_lightning
import_lightning()
late = ("scipy.signal", "torch._dynamo", "torchvision")
assert not [name for name in late if name in sys.modules]
import scipy.signal, torch
from pytorch_lightning import LightningModule
from pytorch_lightning.utilities.compile import from_compiled, to_uncompiled
from torchmetrics.functional.detection import intersection_over_union
module = LightningModule()
try:
    to_uncompiled(module)
except ValueError as error:
    assert "Found a non-compiled LightningModule" in str(error)
assert to_uncompiled(from_compiled(torch.compile(module))) is module
box = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
assert intersection_over_union(box, 2 * box) == 0.25
print(scipy.signal.hilbert([1.0, 0.0]).real, scipy.signal.windows.hamming(1))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "[1. 0.] [1.]\n"), done.stderr


def appended_folders(tmp_path: Path, **config: Any) -> list[str]:
    """The end of `sys.path` that a worker has with this configuration, relative to the working folder."""
    (tmp_path / "mynets.py").touch()
    OmegaConf.save(OmegaConf.create(config), tmp_path / "config.yaml")
    program = (
        "import sys; from omegaconf import OmegaConf; from genimg.launch.imports import allow_own_classes\n"
        "before = list(sys.path)\n"
        "allow_own_classes(OmegaConf.to_container(OmegaConf.load(sys.argv[1])))\n"
        "assert sys.path[: len(before)] == before; print(*sys.path[len(before) :])\n"
    )
    words = [sys.executable, "-P", "-c", program, "config.yaml"]
    return subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize(
    ("config", "appended"),
    [
        ({"task": "train", "resume": None, "model": {"_target_": "mynets.Net"}}, True),
        ({"task": "train", "resume": None, "model": {"_target_": "genimg.models.gan.GAN"}}, False),
        ({"task": "train", "resume": "RUN", "trust": [], "model": {"_target_": "mynets.Net"}}, False),
        ({"task": "train", "resume": "RUN", "trust": ["mynets"], "model": {}}, True),
        ({"task": "sample", "trust": []}, False),
        ({"task": "sample", "trust": ["mynets.Net"]}, True),
        ({"task": "sample", "trust": ["torch"]}, False),
        ({"task": "evaluate", "trust": [], "features": "auto"}, False),
        ({"task": "evaluate", "trust": [], "features": "mynets.Features"}, True),
    ],
)
def test_the_working_folder_comes_last_and_only_for_classes_that_the_user_names(
    config: dict[str, Any], appended: bool, tmp_path: Path
) -> None:
    assert appended_folders(tmp_path, **config) == ([str(tmp_path)] if appended else [])


def test_a_saved_run_names_no_package() -> None:
    saved = {"task": "train", "resume": "RUN", "trust": [], "callbacks": {"mine": {"_target_": "mynets.Mine"}}}
    assert named_packages(saved) == set()
