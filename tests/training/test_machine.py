"""The `auto` settings, resolved and overridden."""

import os
from dataclasses import replace

import pytest
import torch

from genimg.common import hardware
from genimg.training import machine
from genimg.training.settings import TrainerSettings

AUTO = TrainerSettings(
    accelerator="cpu", devices=1, num_nodes=1, strategy="auto",
    precision="auto", memory_format="auto", fused="auto", deterministic=False, graph="auto",
    detect_anomaly=False, profiler=None, accumulate_grad_batches=1, gradient_clip_val=None,
    gradient_clip_algorithm="norm", threads=1,
)  # fmt: skip


@pytest.mark.parametrize("bf16", [True, False])
def test_auto_precision_follows_the_hardware(bf16: bool) -> None:
    chosen = machine.configure(AUTO, bf16)
    assert chosen.precision == ("bf16-mixed" if bf16 else "32-true")
    assert chosen.layout == torch.channels_last
    with chosen.autocast():
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if bf16 else torch.float32)


def test_every_choice_can_be_overridden() -> None:
    chosen = machine.configure(replace(AUTO, precision="32-true", memory_format="contiguous", fused=False))
    assert (chosen.precision, chosen.layout, chosen.fused) == ("32-true", torch.contiguous_format, False)
    assert "32-true" in str(chosen) and "contiguous" in str(chosen) and "1 threads" in str(chosen)


@pytest.mark.parametrize(
    ("omp_num_threads", "threads"), [("1", 1), ("3", 3), ("3,2", 3), ("64", 4), ("0", 4), ("all", 4)]
)
def test_threads_are_limited_by_the_environment(
    monkeypatch: pytest.MonkeyPatch, omp_num_threads: str, threads: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)), raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", omp_num_threads)
    before = torch.get_num_threads()
    try:
        assert machine.configure(replace(AUTO, threads=None)).threads == threads
        assert machine.configure(replace(AUTO, threads=None, devices=4)).threads == 1
        assert machine.configure(replace(AUTO, threads=2)).threads == 2, "an explicit setting wins"
    finally:
        torch.set_num_threads(before)


def test_the_default_of_one_thread_that_torchrun_sets_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)), raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert hardware.count_threads() == 1
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    assert hardware.count_threads() == 4


def test_deterministic_enables_torchs_deterministic_algorithms() -> None:
    try:
        assert "deterministic" in str(machine.configure(replace(AUTO, deterministic=True)))
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


def test_the_machine_has_kernels_for_the_chosen_precision() -> None:
    chosen = machine.configure(AUTO)
    convolution = torch.nn.Conv2d(2, 2, 3).to(memory_format=chosen.layout)
    with chosen.autocast():
        assert convolution(torch.ones(1, 2, 5, 5)).isfinite().all()
