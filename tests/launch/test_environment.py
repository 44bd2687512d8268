"""The environment variables that make a worker fast."""

import math
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from genimg.common.hardware import cpu_quota, cpu_times
from genimg.launch import environment
from genimg.launch.environment import KEEP_MEMORY, SPIN, idle_share, openmp, worker_environment

# 40 MB, more than malloc ever keeps by itself, written and freed over and over
FAULTS = """
import resource
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    block = b"x" * 40_000_000
    del block  # before the next is made
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another malloc")
def test_memory_is_requested_from_the_system_once() -> None:
    given = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_", "LD_"))}
    environment = worker_environment(given)
    faults = int(subprocess.check_output([sys.executable, "-c", FAULTS], env=environment, text=True))
    assert faults < 2 * 40_000_000 / os.sysconf("SC_PAGESIZE")


@pytest.mark.parametrize("given", [{"MALLOC_TOP_PAD_": "2"}, {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}])
def test_malloc_settings_of_the_user_are_kept(given: dict[str, str]) -> None:
    assert not KEEP_MEMORY.keys() & worker_environment(given).keys()


@pytest.mark.parametrize("given", [{"MALLOC_ARENA_MAX": "2"}, {"GLIBC_TUNABLES": "glibc.rtld.optional_static_tls=2"}])
def test_other_malloc_settings_do_not_disable_the_default(given: dict[str, str]) -> None:
    assert KEEP_MEMORY.items() <= worker_environment(given).items()


def test_given_variables_take_precedence() -> None:
    assert worker_environment({"OMP_WAIT_POLICY": "mine"})["OMP_WAIT_POLICY"] == "mine"


@pytest.mark.parametrize(
    ("busy", "cores", "expected"),
    [
        (0, 2, {"OMP_WAIT_POLICY": "ACTIVE", "GOMP_SPINCOUNT": SPIN}),
        (1, 2, {"OMP_WAIT_POLICY": "ACTIVE", "GOMP_SPINCOUNT": SPIN}),
        (10, 2, {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1", "GENIMG_BUSY": "1"}),
        (20, 2, {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1", "GENIMG_BUSY": "1"}),
        (10, 16, {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "8", "GENIMG_BUSY": "1"}),
    ],
)
def test_a_run_has_as_many_threads_as_there_are_idle_cores(
    busy: int, cores: int, expected: dict[str, str], tmp_path: Path
) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 0 50 1000 5 0 0 0 0 0\n")
    before = cpu_times(stat)
    stat.write_text(f"cpu  {100 + busy} 0 50 {1020 - busy} 5 0 0 0 0 0\n")
    assert openmp(idle_share(before, cpu_times(stat)), cores) == expected


def test_a_machine_of_unknown_load_counts_as_idle() -> None:
    assert idle_share([], []) == 1


@pytest.mark.parametrize("threads", ["1", "2"])
def test_the_number_of_threads_of_the_user_is_kept(threads: str, monkeypatch: pytest.MonkeyPatch) -> None:
    busy = ([0] * 8, [100, *[0] * 7])
    monkeypatch.setattr(environment, "_measure_cpu_times", lambda: busy)
    found = worker_environment({"OMP_NUM_THREADS": threads, "GOMP_SPINCOUNT": "7"})
    assert (found["OMP_NUM_THREADS"], found["GOMP_SPINCOUNT"]) == (threads, "7")
    assert "GENIMG_BUSY" not in found
    assert worker_environment({})["GENIMG_BUSY"] == "1"


def test_a_container_that_numbers_its_cores_from_0_has_the_load_of_all(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  7 0 0 9 0 0 0 0 0 0\ncpu1000 1 0 0 1 0 0 0 0 0 0\nintr 5\n")
    assert cpu_times(stat) == [7, 0, 0, 9, 0, 0, 0, 0]


def test_the_quota_of_a_container_limits_the_cores(tmp_path: Path) -> None:
    limit = tmp_path / "cpu.max"
    for text, expected in (("150000 100000\n", 1.5), ("max 100000\n", math.inf)):
        limit.write_text(text)
        assert cpu_quota(limit) == expected
    assert cpu_quota(tmp_path / "missing") == math.inf
