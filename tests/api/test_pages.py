"""docs/python.md and the notebook run from top to bottom."""

import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

import genimg
from tests.pages import ROOT, follow, read_page

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.slow
def test_the_page_runs(tmp_path: Path) -> None:
    names = follow(read_page("docs/python.md"), tmp_path)
    assert isinstance(names["run"], genimg.Run)
    assert names["rows"].shape[:2] == (4, 9)
    assert (tmp_path / "digit.png").is_file()
    assert names["metrics"]["recall"] >= 0


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path) -> None:
    """As printed, except for a smaller budget."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    # in a test, a kernel would not show what processes print (ipykernel/iostream.py)
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    for cell in notebook.cells:
        cell.source = cell.source.replace("budget_minutes=1)", "budget_images=2000, trainer_threads=1)")
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    client.execute(env=environment)
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    printed = "".join(output.text for output in shown if output.output_type == "stream")
    assert "trained   2,0" in printed  # the run prints below its cell
    kinds: list[dict[str, Any]] = [output.data for output in shown if output.output_type == "execute_result"]
    assert any("data:image/png;base64," in data.get("text/html", "") for data in kinds)
    assert any("image/png" in data for data in kinds)
