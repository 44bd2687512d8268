"""Shell completion: in an interactive bash through a terminal, its candidates, and its speed."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from genimg.cli.completion import candidates, script
from tests.conftest import Answer

BIN = Path(sysconfig.get_path("scripts"))


class Bash:
    """An interactive bash in a terminal, with the command's completion loaded."""

    def __init__(self, cwd: Path) -> None:
        self.process, self.terminal = pty.fork()
        if self.process == 0:
            os.chdir(cwd)
            path = f"{BIN}:{os.environ['PATH']}"
            environment = {**os.environ, "PATH": path, "PS1": "$ ", "TERM": "dumb", "INPUTRC": "/dev/null"}
            os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], environment)
        for setting in ("bell-style none", "completion-query-items 0", "page-completions off"):
            self.type(f'bind "set {setting}"\n')
        self.type('eval "$(genimg-train --completion bash)"; echo load"ed"\n', until="loaded\r\n$ ")

    def type(self, keys: str, until: str = "$ ", seconds: float = 60.0) -> str:
        """What the terminal shows after `keys`, once `until` is in it."""
        os.write(self.terminal, keys.encode())
        shown, end = "", time.monotonic() + seconds
        while until not in shown and time.monotonic() < end:
            if select.select([self.terminal], [], [], 0.1)[0]:
                shown += os.read(self.terminal, 65536).decode(errors="replace")
        return shown

    def close(self) -> None:
        os.write(self.terminal, b"\x15exit\n")
        os.close(self.terminal)
        os.waitpid(self.process, 0)


@pytest.fixture
def bash(tmp_path: Path) -> Iterator[Bash]:
    (tmp_path / "images of mine").mkdir()
    shell = Bash(tmp_path)
    yield shell
    shell.close()


@pytest.mark.skipif(not (BIN / "genimg-train").exists(), reason="the command is not installed beside this Python")
@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("genimg-train data=fash\t", "data=fashion_mnist "),
        ("genimg-train budg\t", "budget."),
        ("genimg-train budget.min\t", "budget.minutes="),
        ("genimg-train model=gan model.lat\t", "model.latent_dim="),
        ("genimg-train trainer=\t\t", "cpu"),
        ("genimg sample num_im\t", "num_images="),
        ("genimg-train data.root=imag\t", "images\\ of\\ mine/"),
        ("genimg-train --vers\t", "--version "),
    ],
)
def test_bash_completes(bash: Bash, typed: str, completed: str) -> None:
    shown = bash.type(typed, until=completed)
    assert completed in shown, shown


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_zsh_and_fish_scripts_parse(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    file = tmp_path / "completion"
    file.write_text(script(shell))
    subprocess.run([shell, "-n", str(file)], check=True)


def test_keys_are_those_of_the_chosen_model_and_data() -> None:
    assert "data.root=" in candidates(["data=image_folder", "data.ro"])
    assert "data.root=" not in candidates(["data=digits", "data.ro"])
    assert "data.batch_size=" in candidates(["data.batch"]), "a key of an inherited file"


def test_values_of_a_key_with_choices() -> None:
    assert candidates(["sample", "start="]) == candidates(["evaluate", "weights="]) == ["<file>"]
    assert candidates(["sample", "run=la"]) == ["run=last"]
    assert candidates(["model.objective=h"]) == ["model.objective=hinge"]
    assert candidates(["trainer.accelerator="]) == [f"trainer.accelerator={name}" for name in ("auto", "cpu", "gpu")]
    assert candidates(["dry_run="]) == ["dry_run=true", "dry_run=false"]


def test_user_defined_choices_are_offered(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("# Mine\nwings: 2  # how many\n")
    assert candidates(["--config-dir", str(tmp_path), "model=mi"]) == ["model=mine"]
    assert candidates([f"--config-dir={tmp_path}", "model=mine", "model.w"]) == ["model.wings="]


def test_completion_is_faster_than_importing_hydra(
    command: Callable[..., Answer], hydra_imports: Callable[..., float]
) -> None:
    for words in (["model="], ["model.l"], ["task=sample", "num"], [""], ["model.objective="], ["run="]):
        answer = command("--complete", *words)
        assert answer.code == 0
        assert answer.out.strip()
        assert hydra_imports("--complete", *words, below=1) < 1
        assert answer.imported == ""


def test_completion_does_not_import_hydra() -> None:
    code = "import sys; from genimg.cli.main import run; run(['--complete', 'model.']); print('hydra' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("False\n")
