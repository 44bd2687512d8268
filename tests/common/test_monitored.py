"""The figure that a model is judged by: which of two is better, and where that is not told."""

from dataclasses import replace
from pathlib import Path

import pytest

from genimg.common.monitored import Monitored, compare, read_best

FIGURE = Monitored("frechet_random", 0.5, "min", 500)


def test_figures_compare_where_name_and_number_of_images_are_one() -> None:
    assert compare([]) and compare([FIGURE]) and compare([FIGURE, replace(FIGURE, value=0.1)])
    assert not compare([FIGURE, FIGURE, replace(FIGURE, n=501)])
    assert not compare([FIGURE, replace(FIGURE, name="elbo")])


def test_a_figure_of_a_version_that_did_not_tell_its_number_compares() -> None:
    """Else a resumed run of one would take the next figure for its best."""
    old = replace(FIGURE, n=None)
    assert compare([old, FIGURE]) and compare([old, old]) and not compare([old, FIGURE, replace(FIGURE, n=501)])


def test_the_better_figure_costs_less() -> None:
    assert FIGURE.cost > replace(FIGURE, value=0.4).cost
    elbo = Monitored("elbo", -90.0, "max", 64)
    assert elbo.cost > replace(elbo, value=-80.0).cost


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"name": "frechet_random", "value": 0.5, "direction": "min", "n": 500, "images_seen": 64}', FIGURE),
        ('{"name": "frechet_random", "value": 0.5, "direction": "min", "images_seen": 64}', replace(FIGURE, n=None)),
        ('{"name": "frechet_random", "value": null, "direction": "min", "n": 500}', None),
        ('{"name": "frechet_random", "value": "[b]", "direction": "min", "n": 500}', None),
        ('{"name": 3, "value": 0.5, "direction": "min", "n": 500}', None),
        ("[3]", None),
        ("{", None),
    ],
)
def test_a_best_figure_is_read_or_there_is_none(tmp_path: Path, text: str, found: Monitored | None) -> None:
    path = tmp_path / "best.json"
    assert read_best(path) is None
    path.write_text(text)
    assert read_best(path) == found
