"""The clock: budgets, progress, and what is due when."""

import pytest

from genimg.training.callbacks.clock import Budget, Clock


def test_the_smaller_of_images_and_epochs_ends_first() -> None:
    assert Budget.of(images=1000, epochs=3, minutes=None, num_items=100).images == 300
    assert Budget.of(images=200, epochs=3, minutes=2, num_items=100) == Budget(200, 2)
    assert Budget.of(images=None, epochs=0.5, minutes=None, num_items=100).images == 50


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="images or minutes"):
        Budget.of(None, None, None, 100)


def advance(clock: Clock) -> None:
    """A step's end, without a trainer."""
    clock.images_seen += clock.batch_size
    clock._progress_before, clock._progress_now = clock._progress_now, clock.progress


@pytest.mark.parametrize("times", [1, 3, 7, 20])
def test_due_is_true_exactly_so_many_times_and_at_the_end(times: int) -> None:
    clock = Clock(Budget(10 * 64, None), 64)
    clock._progress_now = 0.0
    due = []
    for _ in range(10):
        advance(clock)
        due.append(clock.due(times))
    assert sum(due) == min(times, 10)
    assert due[-1]


def test_passed_is_true_once_for_every_multiple() -> None:
    clock = Clock(Budget(1000, None), 30)
    clock._progress_now = 0.0
    passed = []
    for _ in range(30):
        advance(clock)
        passed.append(clock.passed(100))
    assert sum(passed) == 900 // 100


def test_progress_follows_images_where_there_is_a_budget_of_images() -> None:
    clock = Clock(Budget(100, 0.0001), 10)
    clock.images_seen = 25
    assert clock.progress == 0.25


def test_measuring_takes_a_share_of_what_is_trained_and_as_much_all_along() -> None:
    def at(images_seen: int, budget: int, state: dict[str, object] | None = None) -> Clock:
        clock = Clock(Budget(budget, None), 10)
        clock.load_state_dict({"images_seen": images_seen, "seconds": 1.0, **(state or {})})
        clock._progress_now = clock.progress
        return clock

    clock = at(images_seen=1000, budget=10_000)  # 500 images between two of 20 moments
    assert clock.affordable(most=512, share=0.2, times=20) == 100
    assert clock.affordable(most=50, share=0.2, times=20) == 50
    assert clock.affordable(most=512, share=0.001, times=20) == 8
    longer = at(images_seen=2000, budget=100_000, state=clock.state_dict())  # resumed with a larger budget
    assert longer.affordable(most=512, share=0.2, times=20) == 100


@pytest.mark.parametrize(
    ("budget", "looks"), [(500_000, [2000] * 10), (60_000, [360] * 10), (25_000, [300] * 5), (2000, [64]), (100, [8])]
)
def test_a_look_is_of_many_items_or_rare_and_all_together_are_a_share(budget: int, looks: list[int]) -> None:
    clock, seen = Clock(Budget(budget, None), budget // 100), []
    for _ in range(100):
        clock.images_seen += clock.batch_size
        clock._progress_before, clock._progress_now = clock._progress_now, clock.progress
        seen.append(clock.due_items(times=10, most=2000, share=0.06, fewest=300))
    assert [items for items in seen if items] == looks and seen[-1], "the end is looked at"


def test_a_run_that_becomes_slower_than_was_expected_is_looked_at_fewer_times() -> None:
    """By the clock: 100 images a minute, and from the second of ten minutes on 10: the expected 1,000 become 190."""
    clock, seen = Clock(Budget(None, minutes=10), 1), []
    for step in range(1, 101):
        clock.images_seen += 10 if step <= 10 else 1
        clock.seconds = 6.0 * step
        clock._progress_before, clock._progress_now = clock._progress_now, clock.progress
        seen.append(clock.due_items(times=10, most=2000, share=0.5, fewest=8))
    assert {items for items in seen if items} == {50} and seen[-1]
    assert [bool(items) for items in seen[9::10]] == [True] * 5 + [False] * 4 + [True]


@pytest.mark.parametrize("chosen", [1, 3, 4, 7, 10])
def test_of_so_many_moments_some_are_chosen_and_the_last_is_one(chosen: int) -> None:
    clock, seen = Clock(Budget(1000, None), 10), []
    for step in range(100):
        clock._progress_before, clock._progress_now = step / 100, (step + 1) / 100
        if clock.due(10, chosen):
            assert clock.due(10)
            seen.append(step + 1)
    apart = {after - before for before, after in zip([0, *seen], seen, strict=False)}
    assert len(seen) == chosen and seen[-1] == 100 and max(apart) - min(apart) <= 10


def test_the_length_of_a_run_by_the_clock_is_estimated_from_its_speed() -> None:
    clock = Clock(Budget(None, minutes=10), 10)
    clock.load_state_dict({"images_seen": 300, "seconds": 60.0})
    assert clock.affordable(most=512, share=0.5, times=10) == 150  # 3,000 images in all
    clock.load_state_dict({**clock.state_dict(), "images_seen": 6000, "seconds": 120.0})
    assert clock.affordable(most=512, share=0.5, times=10) == 150, "figures of one run are of one number"
