"""Lists of seeds: order, ranges and mistakes."""

import pytest

from genimg.common.seeds import LARGEST_SEED, MOST_SEEDS, read_seeds


def test_a_range_includes_both_ends_and_the_order_is_kept() -> None:
    assert read_seeds([9, "3-5", "0"]) == (9, 3, 4, 5, 0)
    assert read_seeds([f"{LARGEST_SEED}-{LARGEST_SEED}"]) == (LARGEST_SEED,)
    assert len(read_seeds([f"1-{MOST_SEEDS}"])) == MOST_SEEDS


@pytest.mark.parametrize(
    "given",
    [[], [1, 1], ["1-4", 3], ["5-4"], [-1], [1.5], [True], ["a"], ["1-"], [LARGEST_SEED + 1], [f"0-{LARGEST_SEED}"]],
)
def test_what_is_no_list_of_seeds_is_an_error(given: list[int | str]) -> None:
    with pytest.raises(ValueError, match="seed"):
        read_seeds(given)
