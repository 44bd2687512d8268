"""What the command sets in a worker's environment for its speed."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from genimg.launch import environment as worker_environment

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
def test_memory_is_asked_of_the_system_once() -> None:
    given = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_", "LD_"))}
    environment = worker_environment.worker_environment(given)
    faults = int(subprocess.check_output([sys.executable, "-c", FAULTS], env=environment, text=True))
    assert faults < 2 * 40_000_000 / os.sysconf("SC_PAGESIZE")


@pytest.mark.parametrize("given", [{"MALLOC_TOP_PAD_": "2"}, {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}])
def test_a_malloc_tuned_by_its_user_stays_theirs(given: dict[str, str]) -> None:
    assert not worker_environment.KEEPS_MEMORY.keys() & worker_environment.worker_environment(given).keys()


@pytest.mark.parametrize("given", [{"MALLOC_ARENA_MAX": "2"}, {"GLIBC_TUNABLES": "glibc.rtld.optional_static_tls=2"}])
def test_what_is_no_matter_of_keeping_memory_does_not_turn_it_off(given: dict[str, str]) -> None:
    assert worker_environment.KEEPS_MEMORY.items() <= worker_environment.worker_environment(given).items()


def test_what_is_given_wins() -> None:
    assert worker_environment.worker_environment({"OMP_WAIT_POLICY": "mine"})["OMP_WAIT_POLICY"] == "mine"


@pytest.mark.parametrize(("busy", "policy"), [(0, "ACTIVE"), (1, "ACTIVE"), (10, "PASSIVE"), (20, "PASSIVE")])
def test_threads_sleep_where_others_work(
    busy: int, policy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 0 50 1000 5 0 0 0 0 0\n")
    monkeypatch.setattr(
        worker_environment.time,
        "sleep",
        lambda _: stat.write_text(f"cpu  {100 + busy} 0 50 {1020 - busy} 5 0 0 0 0 0\n"),
    )
    assert worker_environment.how_threads_wait(stat) == policy
    assert worker_environment.how_threads_wait(tmp_path / "no such file") == "ACTIVE"
