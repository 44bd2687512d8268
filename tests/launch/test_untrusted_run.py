"""A worker executes no file of the working folder and connects to no host that only a run names."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from omegaconf import DictConfig, OmegaConf

from genimg.common.run_folder import RunFolder
from genimg.config.compose import Composer, without_hydra
from genimg.launch.environment import worker_environment

NAMES = ("torch", "random", "numpy", "json", "genimg", "omegaconf", "sitecustomize")
MARK = "from pathlib import Path; Path(__file__).with_name('executed').touch()\n"


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run folder with a damaged checkpoint and Python files named like modules."""
    found = RunFolder(tmp_path / "run")
    found.checkpoints.mkdir(parents=True)
    found.last.touch()
    config = without_hydra(Composer("train").compose(["logger=none", "trainer=cpu", f"run_dir={found.path}"]))
    OmegaConf.save(OmegaConf.create(OmegaConf.to_container(config, resolve=True)), found.config)
    for name in NAMES:
        (found.path / f"{name}.py").write_text(MARK)
    return found


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def _command(run: RunFolder, name: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name(name)), *words]
    return subprocess.run(command, cwd=run.path, capture_output=True, text=True, timeout=120, check=False)


def test_no_file_of_a_run_folder_is_executed(run: RunFolder) -> None:
    done = _command(run, "genimg", "sample", "run=.")
    assert done.returncode == 2 and "last.pt" in done.stderr, done.stderr
    assert not (run.path / "executed").exists()


def test_a_resumed_run_connects_to_no_host_that_it_names(run: RunFolder, listener: socket.socket) -> None:
    config = cast(DictConfig, OmegaConf.load(run.config))
    config.trainer.update(num_nodes=2, devices=1)
    config.launch.update(rdzv_endpoint=f"127.0.0.1:{listener.getsockname()[1]}", node_rank=1)
    OmegaConf.save(config, run.config)
    done = _command(run, "genimg-train", "resume=.")
    assert done.returncode == 2 and "last.pt" in done.stderr, done.stderr
    assert "as before: trainer.num_nodes=2" in done.stdout
    with pytest.raises(BlockingIOError):
        listener.accept()
    assert not (run.path / "executed").exists()


def test_children_of_a_worker_do_not_import_from_the_working_folder() -> None:
    assert worker_environment({})["PYTHONSAFEPATH"] == "1"


def test_a_folder_in_the_place_of_a_file_is_one_message(run: RunFolder) -> None:
    run.command.unlink(missing_ok=True)
    run.command.mkdir()
    done = _command(run, "genimg-train", "resume=.")
    assert done.returncode == 2 and "command.txt" in done.stderr and "directory" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
