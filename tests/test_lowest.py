"""tests/lowest.txt, which `make lowest` installs, contains every lower bound of pyproject.toml."""

import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parent.parent
ONLY_CHECK = {"pyright", "ruff", "setuptools"}


def test_lowest_txt_pins_every_lower_bound() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    words = [*project["dependencies"], *(word for extra in project["optional-dependencies"].values() for word in extra)]
    lines = (line.partition("#")[0].strip() for line in (ROOT / "tests/lowest.txt").read_text().splitlines())
    tried = dict(line.split("==") for line in lines if line)
    for wanted in map(Requirement, words):
        if wanted.name in ONLY_CHECK or wanted.name == project["name"]:
            continue
        (bound,) = [Version(one.version) for one in wanted.specifier if not one.operator.startswith("<")]
        # the first release of the bound: scipy 1.11 begins with 1.11.1
        assert Version(tried[wanted.name]).release[: len(bound.release)] == bound.release, wanted
