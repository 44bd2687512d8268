"""Flags and words that Hydra has too: --info, -cn, --config-path, -m --cfg job, glob, and python -m genimg."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from omegaconf import OmegaConf

from tests.conftest import Answer


def test_info_names_the_files_of_the_configuration(command: Callable[..., Answer], tmp_path: Path) -> None:
    (tmp_path / "own" / "model").mkdir(parents=True)
    (tmp_path / "own" / "model" / "mine.yaml").write_text("defaults: [vae]\nlr: 0.5\n")
    answer = command("--info", "model=mine", "data=digits", "-cp", "own")
    files = [line.split()[0] for line in answer.out.splitlines() if line.startswith("  ")]
    assert files[0] == "configs/train.yaml" and "configs/model/vae.yaml" in files
    assert files.index("configs/model/vae.yaml") < files.index(str(tmp_path / "own" / "model" / "mine.yaml"))
    assert "hydra-core 1.3" in answer.out
    assert answer.imported == ""
    for wrong in (["model=vea"], ["modle=gan"], ["model.foo=3"], ["-m", "model=gan,vae"]):
        assert command("--info", *wrong).code == 2, wrong


def test_cfg_of_a_sweep_prints_every_job(command: Callable[..., Answer], tmp_path: Path) -> None:
    answer = command("-m", "model=glob(*rnn,exclude=[p*])", "seed=3,4", "--cfg", "job")
    assert answer.code == 0, answer.err
    texts = [text.partition("\n") for text in answer.out.split("--- # ")[1:]]
    assert [name for name, _, _ in texts] == [
        f"{number}-model_{model}+seed_{seed}"
        for number, (model, seed) in enumerate((m, s) for m in ("code_rnn", "rnn") for s in (3, 4))
    ]
    found = [OmegaConf.create(text) for _, _, text in texts]
    assert [(one.model.name, one.seed) for one in found] == [("code_rnn", 3), ("code_rnn", 4), ("rnn", 3), ("rnn", 4)]
    assert list(tmp_path.iterdir()) == []
    assert command("-m", "seed=1,2", "--cfg", "all", "--resolve").code in (0, 2)
    assert command("-m", "hydra/sweeper=optuna", "model.lr=interval(1e-4,1e-2)", "--cfg", "job").code == 2


def test_the_package_is_the_command(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "genimg", "--version"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("genimg-train ")


def test_config_name_has_a_short_form(command: Callable[..., Answer]) -> None:
    assert "run: last" in command("-cn", "sample", "--cfg", "job").out
