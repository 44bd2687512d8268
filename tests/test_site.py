"""The site that `make docs` builds: all pages, the docstrings of what users call and extend, and no broken link."""

from __future__ import annotations

import importlib
import inspect
import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from playwright.sync_api import Page

import genimg
from genimg.sampling.sampler import Sampler
from tests.browser import browser, needs_chromium, opened  # noqa: F401  pyright: ignore[reportUnusedImport]
from tests.pages import ROOT, read_page

pytestmark = pytest.mark.slow


class Content(HTMLParser):
    """The text and the anchors of a page, the addresses it links to, and those that it loads."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.anchors, self.links, self.loaded = {""}, list[str](), list[str]()
        self._words: list[str] = []
        self.feed(file.read_text(encoding="utf-8"))
        self.text = " ".join("".join(self._words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.anchors.add(value or "")
            elif name in ("href", "src"):
                (self.links if tag == "a" else self.loaded).append(value or "")

    def handle_data(self, data: str) -> None:
        self._words.append(data)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site, built with the command of the Makefile."""
    folder = tmp_path_factory.mktemp("docs")
    (command,) = re.findall(r"^\t\$\(BIN\)/python (-m sphinx -q -W .*)$", read_page("Makefile"), re.MULTILINE)
    words = shlex.split(command.replace("build/", f"{folder}/"))
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return folder / "site"


@pytest.fixture(scope="module")
def contents(site: Path) -> dict[Path, Content]:
    return {file: Content(file) for file in site.rglob("*.html")}


def test_every_page_is_in_the_navigation(site: Path) -> None:
    home = (site / "index.html").read_text(encoding="utf-8")
    entries = re.findall(r'<li class="toctree-l1"><a class="reference internal" href="(.*?)\.html">', home)
    assert sorted(entries) == sorted(["CONTRIBUTING", *(f"docs/{file.stem}" for file in ROOT.glob("docs/*.md"))])


def documented() -> list[str]:
    """What users call, the models that `model=` names, and what the page about extensions imports."""
    names = [f"genimg.{name}" for name in genimg.__all__ if name != "__version__"]
    sampler = f"{Sampler.__module__}.Sampler"
    names += [sampler, *(f"{sampler}.{name}" for name in vars(Sampler) if not name.startswith("_"))]
    for file in sorted(ROOT.glob("configs/model/*.yaml")):
        names += re.findall(r"^_target_: (\S+)", file.read_text(encoding="utf-8"), re.MULTILINE)
    for module, imported in re.findall(r"^from (genimg\S*) import (.+)$", read_page("docs/extending.md"), re.MULTILINE):
        names += [f"{module}.{name}" for name in imported.split(", ")]
    return names


def docstring(name: str) -> str:
    """The first paragraph of the docstring of an object, as it is displayed."""
    parts, found = name.split("."), None
    for count in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            found = getattr(found, part)
        break
    text = inspect.getdoc(found)
    assert text, name
    return " ".join(text.split("\n\n")[0].replace("`", "").removesuffix("::").split())


def test_what_users_call_and_extend_has_its_docstring_in_the_reference(
    site: Path, contents: dict[Path, Content]
) -> None:
    reference = contents[site / "docs" / "api.html"]
    for name in documented():
        assert name in reference.anchors
        assert docstring(name) in reference.text, name


def test_every_link_leads_to_a_page_and_its_heading(contents: dict[Path, Content]) -> None:
    for file, content in contents.items():
        for link in content.links:
            if not link.startswith("https://"):
                path, _, anchor = link.partition("#")
                target = (file.parent / path).resolve() if path else file
                assert target.is_file(), (file.name, link)
                assert not anchor or anchor in contents[target].anchors, (file.name, link)


def test_tables_are_tables(contents: dict[Path, Content]) -> None:
    assert not [file.name for file, content in contents.items() if re.search(r"\|\s*:?-{3}", content.text)]


def test_pages_load_nothing_from_other_sites(site: Path, contents: dict[Path, Content]) -> None:
    for file, content in contents.items():
        for address in content.loaded:
            assert (file.parent / address.partition("?")[0].partition("#")[0]).exists(), (file.name, address)
    for file in site.rglob("*.css"):
        assert not re.search(r"@import|url\(\W*(?:https?:)?//", file.read_text(encoding="utf-8")), file.name


@needs_chromium
def test_pages_fit_a_phone_and_need_no_network(
    site: Path,
    opened: Page,  # noqa: F811
) -> None:
    for page in ("index.html", "docs/results.html", "docs/api.html"):
        opened.goto((site / page).as_uri())
        assert opened.evaluate("document.documentElement.scrollWidth") <= 390, page
