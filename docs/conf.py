"""The site of `make docs`. Sphinx reads the pages where they are, so that a link leads to the same file as on disk."""

import re
import shutil

from sphinx.application import Sphinx

import genimg

project, author = "genimg-train", "The genimg-train authors"
release = genimg.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

root_doc = "README"
include_patterns = ["README.md", "CONTRIBUTING.md", "docs/*.md"]
exclude_patterns = [".*", "build", "outputs"]  # large folders, which are not searched
myst_heading_anchors = 4
highlight_language = "text"
smartquotes_action = "D"  # dashes alone: "best" is a value

default_role = "py:obj"  # `name` in a docstring is a link if the name is documented, else code
autodoc_inherit_docstrings = False  # those of Lightning are written for its own site
autodoc_member_order = "bysource"
napoleon_use_ivar = True
python_maximum_signature_line_length = 100

html_theme = "furo"
html_title = project
html_copy_source = False


def add_navigation(app: Sphinx, page: str, text: list[str]) -> None:
    """The navigation is README's table of pages, in its order."""
    if page == root_doc:
        rows = re.findall(r"^\| \[(.+?)\]\((.+?)\.md\) \|", text[0], re.MULTILINE)
        entries = "\n".join(f"{title} </{target}>" for title, target in rows)
        text[0] += f"\n```{{toctree}}\n:hidden:\n\n{entries}\n```\n"


def add_index(app: Sphinx, error: Exception | None) -> None:
    if error is None:
        shutil.copyfile(app.outdir / "README.html", app.outdir / "index.html")


def setup(app: Sphinx) -> None:
    app.connect("source-read", add_navigation)
    app.connect("build-finished", add_index)
