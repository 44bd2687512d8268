"""The installed wheel contains all modules and configurations, and the command runs from any folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed wheel and nothing else; the wheel is built from a copy of the sources."""
    source, wheels, target = (tmp_path_factory.mktemp(name) for name in ("source", "wheels", "target"))
    unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for folder in ("src", "configs"):
        shutil.copytree(ROOT / folder, source / folder, ignore=unwanted)
    for file in ("pyproject.toml", "setup.py", "LICENSE", "README.md"):
        if (ROOT / file).exists():
            shutil.copy(ROOT / file, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"]
    offline = ["--no-deps", "--no-index"]
    subprocess.run([*pip, "wheel", *offline, "--no-build-isolation", "-w", str(wheels), str(source)], check=True)
    (wheel,) = wheels.glob("genimg_train-*.whl")
    subprocess.run([*pip, "install", *offline, "--target", str(target), str(wheel)], check=True)
    return target


def _run(installed: Path, *command: str) -> str:
    """Runs Python from `/` with the wheel and the installed libraries, and returns its output.

    -S ignores .pth files, which would find an editable install.
    """
    path = os.pathsep.join([str(installed), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    done = subprocess.run(
        [sys.executable, "-S", *command],
        cwd="/",
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_modules_of_the_wheel_are_imported(installed: Path) -> None:
    where = _run(installed, "-c", "import genimg, genimg.configs as c; print(genimg.__file__, c.__path__[0])")
    assert all(Path(path).is_relative_to(installed) for path in where.split())


def test_the_wheel_contains_every_module_and_configuration(installed: Path) -> None:
    for suffix, source, place in (
        ("py", ROOT / "src", installed),
        ("yaml", ROOT / "configs", installed / "genimg/configs"),
    ):
        wanted = {path.relative_to(source) for path in source.rglob(f"*.{suffix}")}
        missing = {path for path in wanted if not (place / path).is_file()}
        assert not missing


def test_help_and_configurations_come_from_the_wheel(installed: Path) -> None:
    assert "fashion_mnist" in _run(installed, "-m", "genimg.cli.main", "--help")
    job = _run(installed, "-m", "genimg.cli.main", "--cfg", "job", "--resolve", "data=fashion_mnist", "seed=3")
    assert "name: fashion_mnist" in job
    assert "seed: 3" in job
    assert "task: sample" in _run(installed, "-m", "genimg.cli.main", "sample", "--cfg", "job")


def test_user_defined_yaml_works_with_the_wheel(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.yaml").write_text("# Mine\ndefaults: [digits, _self_]\nimage_size: 20\n")
    job = _run(installed, "-m", "genimg.cli.main", "--config-dir", str(tmp_path), "data=mine", "--cfg", "job")
    assert "image_size: 20" in job
    assert Path(installed, "bin", "genimg-train").exists()
