"""The monitored metric: which of two values is better, and when they are not comparable."""

from dataclasses import replace
from pathlib import Path

import pytest

from genimg.common.monitored import Monitored, comparable, read_best

VALUE = Monitored("frechet_random", 0.5, "min", 500)


def test_values_are_comparable_if_name_and_number_of_images_are_equal() -> None:
    assert comparable([]) and comparable([VALUE]) and comparable([VALUE, replace(VALUE, value=0.1)])
    assert not comparable([VALUE, VALUE, replace(VALUE, n=501)])
    assert not comparable([VALUE, replace(VALUE, name="elbo")])


def test_the_better_value_costs_less() -> None:
    assert VALUE.cost > replace(VALUE, value=0.4).cost
    elbo = Monitored("elbo", -90.0, "max", 64)
    assert elbo.cost > replace(elbo, value=-80.0).cost


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"name": "frechet_random", "value": 0.5, "direction": "min", "n": 500, "images_seen": 64}', VALUE),
        ('{"name": "frechet_random", "value": 0.5, "direction": "min", "images_seen": 64}', None),
        ('{"name": "frechet_random", "value": null, "direction": "min", "n": 500}', None),
        ('{"name": "frechet_random", "value": "[b]", "direction": "min", "n": 500}', None),
        ('{"name": 3, "value": 0.5, "direction": "min", "n": 500}', None),
        ('{"name": "a\\u001b[2J", "value": 0.5, "direction": "min", "n": 500}', None),
        ('{"name": "a", "value": true, "direction": "min", "n": 500}', None),
        ('{"name": "a", "value": NaN, "direction": "min", "n": 500}', None),
        ('{"name": "a", "value": 0.5, "direction": "min", "n": -1}', None),
        ("[3]", None),
        ("{", None),
    ],
)
def test_a_damaged_best_value_counts_as_missing(tmp_path: Path, text: str, found: Monitored | None) -> None:
    path = tmp_path / "best.json"
    assert read_best(path) is None
    path.write_text(text)
    assert read_best(path) == found
