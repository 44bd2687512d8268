"""The `auto` settings, answered and overridden."""

from typing import Any

import pytest
import torch

from genimg.common import hardware
from genimg.training import machine

AUTO: dict[str, Any] = {
    "accelerator": "cpu", "devices": 1, "num_nodes": 1, "strategy": "auto",
    "precision": "auto", "memory_format": "auto", "fused": "auto", "deterministic": False, "threads": 1,
}  # fmt: skip


@pytest.mark.parametrize("half", [True, False])
def test_half_precision_goes_with_the_hardware(half: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_has_bf16", lambda accelerator: half)
    chosen = machine.choose(AUTO)
    assert chosen.precision == ("bf16-mixed" if half else "32-true")
    assert chosen.channels_last
    with chosen.autocast():
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if half else torch.float32)


def test_every_choice_can_be_overridden() -> None:
    wanted = {"precision": "32-true", "memory_format": "contiguous", "fused": False}
    chosen = machine.choose(AUTO | wanted)
    assert (chosen.precision, chosen.channels_last, chosen.fused) == ("32-true", False, False)
    assert "32-true" in str(chosen) and "contiguous" in str(chosen) and "1 threads" in str(chosen)


@pytest.mark.parametrize(("asked", "threads"), [("1", 1), ("3", 3), ("3,2", 3), ("64", 4), ("0", 4), ("all", 4)])
def test_threads_are_no_more_than_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, asked: str, threads: int
) -> None:
    monkeypatch.setattr(hardware, "count_cores", lambda: 4)
    monkeypatch.setattr(machine, "count_cores", lambda: 4)
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    before = torch.get_num_threads()
    try:
        assert machine.choose(AUTO | {"threads": None}).threads == threads
        assert machine.choose(AUTO | {"threads": None, "devices": 4}).threads == 1
        assert machine.choose(AUTO | {"threads": 2}).threads == 2, "a setting of one's own counts"
    finally:
        torch.set_num_threads(before)


def test_the_one_thread_that_torchrun_asks_for_by_itself_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "count_cores", lambda: 4)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert hardware.count_threads() == 1
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    assert hardware.count_threads() == 4


def test_sums_in_one_order_are_asked_of_torch() -> None:
    try:
        assert "deterministic" in str(machine.choose(AUTO | {"deterministic": True}))
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


def test_the_precision_is_one_the_machine_has_kernels_for() -> None:
    chosen = machine.choose(AUTO)
    convolution = torch.nn.Conv2d(2, 2, 3).to(memory_format=chosen.memory_format)
    with chosen.autocast():
        assert convolution(torch.ones(1, 2, 5, 5)).isfinite().all()
