"""The clock: budgets, progress, and the moments at which callbacks act."""

from collections.abc import Iterator

import pytest

from genimg.training.callbacks.clock import Budget, Clock
from genimg.training.settings import BudgetSettings


def test_the_smaller_of_images_and_epochs_is_the_limit() -> None:
    assert Budget.from_settings(BudgetSettings(1000, 3, None, None), 100, 16).images == 300
    assert Budget.from_settings(BudgetSettings(200, 3, 20, 2), 100, 16) == Budget(200, 2)
    assert Budget.from_settings(BudgetSettings(None, 0.5, None, None), 100, 16).images == 50
    assert Budget.from_settings(BudgetSettings(None, 3, 2, None), 100, 16).images == 32


def test_a_budget_without_limits_is_refused() -> None:
    with pytest.raises(ValueError, match="images or minutes"):
        Budget.from_settings(BudgetSettings(None, None, None, None), 100, 16)


def steps(clock: Clock, count: int) -> Iterator[None]:
    """Advances a clock step by step, without time."""
    for _ in range(count):
        clock.advance(clock.step_size, seconds=0.0)
        yield


@pytest.mark.parametrize("times", [1, 3, 7, 20])
def test_due_is_true_the_given_number_of_times_and_at_the_end(times: int) -> None:
    clock = Clock(Budget(10 * 64, None), 64)
    due = [clock.due(times) for _ in steps(clock, 10)]
    assert sum(due) == min(times, 10)
    assert due[-1]


def test_passed_is_true_once_for_every_multiple() -> None:
    clock = Clock(Budget(1000, None), 30)
    assert sum(clock.passed(100) for _ in steps(clock, 30)) == 900 // 100


def test_progress_follows_images_if_the_budget_has_images() -> None:
    clock = Clock(Budget(100, 0.0001), 10)
    clock.advance(25, seconds=0.0)
    assert clock.progress == 0.25


def test_a_run_cut_short_by_minutes_acts_as_at_its_end() -> None:
    clock = Clock(Budget(100, minutes=1), 10)
    clock.advance(10, seconds=59.0)
    assert not clock.spent and not clock.due(1)
    clock.advance(10, seconds=60.0)
    assert clock.spent and clock.due(1) and clock.progress == 0.2


def test_the_number_of_measured_items_is_a_share_of_the_run_and_constant() -> None:
    def restored(images_seen: int, budget: int, expected_images: int | None = None) -> Clock:
        clock = Clock(Budget(budget, None), 10)
        clock.restore(images_seen, 1.0, expected_images)
        return clock

    clock = restored(images_seen=1000, budget=10_000)  # 500 images between two of 20 moments
    assert clock.affordable(most=512, share=0.2, times=20) == 64, "the power of two below 100"
    assert clock.affordable(most=50, share=0.2, times=20) == 50
    assert clock.affordable(most=512, share=0.001, times=20) == 8
    longer = restored(2000, 100_000, clock.expected_images)  # resumed with a larger budget
    assert longer.affordable(most=512, share=0.2, times=20) == 64


@pytest.mark.parametrize(
    ("budget", "items"),
    [(500_000, [2000] * 10), (60_000, [300] * 10), (90_000, [512] * 10), (25_000, [300] * 5), (2000, [64]), (100, [8])],
)
def test_measurements_have_many_items_or_are_rare_and_their_total_is_a_share(budget: int, items: list[int]) -> None:
    clock = Clock(Budget(budget, None), budget // 100)
    seen = [clock.due_items(times=10, most=2000, share=0.06, fewest=300) for _ in steps(clock, 100)]
    assert [count for count in seen if count] == items and seen[-1], "the end is measured"


def test_a_run_that_becomes_slower_than_estimated_is_measured_less_often() -> None:
    """Budget of ten minutes: 100 images in the first and 10 in each of the others, so 1,000 expected become 190."""
    clock, seen = Clock(Budget(None, minutes=10), 1), []
    for step in range(1, 101):
        clock.advance(10 if step <= 10 else 1, seconds=6.0 * step)
        seen.append(clock.due_items(times=10, most=2000, share=0.5, fewest=8))
    assert {items for items in seen if items} == {32} and seen[-1]
    assert not all(seen[9::10])


@pytest.mark.parametrize("chosen", [1, 3, 4, 7, 10])
def test_chosen_moments_are_evenly_spaced_and_include_the_last(chosen: int) -> None:
    clock, seen = Clock(Budget(1000, None), 10), []
    for step, _ in enumerate(steps(clock, 100), 1):
        if clock.due(10, chosen):
            assert clock.due(10)
            seen.append(step)
    apart = {after - before for before, after in zip([0, *seen], seen, strict=False)}
    assert len(seen) == chosen and seen[-1] == 100 and max(apart) - min(apart) <= 10


def test_the_length_of_a_run_with_a_budget_in_minutes_is_estimated_once_from_its_speed() -> None:
    clock = Clock(Budget(None, minutes=10), 10)
    clock.restore(images_seen=300, seconds=60.0)
    assert clock.affordable(most=512, share=0.5, times=10) == 128  # 3,000 images in all
    clock.restore(6000, 120.0, clock.expected_images)
    assert clock.affordable(most=512, share=0.5, times=10) == 128, "values of one run have the same n"


@pytest.mark.parametrize("slower", [0.9, 1.0, 1.1])
def test_runs_of_nearly_equal_speed_are_measured_with_equal_n(slower: float) -> None:
    clock = Clock(Budget(None, minutes=10), 10)
    clock.restore(images_seen=300, seconds=60.0 * slower)
    assert clock.affordable(most=512, share=0.5, times=10) == 128
