"""The pages of the documentation: links lead somewhere, and the commands that they show compose."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from genimg.cli.main import run
from tests.pages import ROOT, commands, read_page

PAGES = ["README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]
RUN_ELSEWHERE = ("README.md", "docs/tutorial.md", "docs/extending.md")
# what only a run, a sweep or another machine can answer
NEEDS_MORE = ("resume=", "hparams_search=", "hydra/", "genimg ", "--help", "num_nodes")


def anchors(page: str) -> set[str]:
    """The anchors of the headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", PAGES)
def test_every_relative_link_leads_to_a_file_and_its_heading(name: str) -> None:
    page = re.sub(r"```.*?```", "", read_page(name), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", page):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), link


def test_every_page_that_the_source_names_exists() -> None:
    for path in (*ROOT.glob("src/**/*.py"), *ROOT.glob("configs/**/*.yaml"), *ROOT.glob("benchmarks/*.py")):
        for page in re.findall(r"docs/[\w/]+\.(?:md|png|gif)", path.read_text(encoding="utf-8")):
            assert (ROOT / page).is_file(), f"{path.relative_to(ROOT)} names {page}"


@pytest.mark.parametrize("name", PAGES)
def test_every_file_that_a_page_names_exists(name: str) -> None:
    page = re.sub(r"```.*?```", "", read_page(name), flags=re.DOTALL)
    for path in re.findall(r"`((?:src|tests|configs|benchmarks|docs)/[\w./]+)`", page):
        assert "NAME" in path or (ROOT / path).exists(), path


@pytest.mark.parametrize("name", [name for name in PAGES if name not in RUN_ELSEWHERE])
def test_every_training_command_composes(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("my_images", "my_clips"):
        (tmp_path / folder).mkdir()
    for command in commands(read_page(name)):
        if not any(mark in command for mark in NEEDS_MORE):
            words = shlex.split(command)[1:]
            if "-m" in words:  # the first of a sweep's jobs
                words = [re.sub(r"=([^\[,]*),.*", r"=\1", word) for word in words if word != "-m"]
            assert run([*words, "--cfg", "job"]) == 0, command
    capsys.readouterr()


def test_the_architecture_describes_every_package_and_names_files_that_exist() -> None:
    page, source = read_page("docs/architecture.md"), ROOT / "src" / "genimg"
    described = re.findall(r"^- \*\*`(\w+)/`\*\*", page, re.MULTILINE)
    assert set(described) == {path.parent.name for path in source.glob("*/__init__.py")}
    for path in re.findall(r"`((?:\w+/)+\w+\.(?:py|yaml))`", page):
        assert "NAME" in path or (source / path).exists() or (ROOT / path).exists(), path
