"""Rendezvous: processes of one attempt meet, and nobody waits for processes that will not come."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
from torch.distributed import DistStoreError, HashStore, PrefixStore, TCPStore  # pyright: ignore
from torch.distributed.elastic.utils.store import barrier

from genimg.common.errors import PeerLost, PeersUnavailable, RunFinished
from genimg.distributed.rendezvous import Rendezvous, announce_machine_end
from tests.together import free_port


@pytest.fixture
def process() -> Callable[..., Rendezvous]:
    """`process(rank, world_size, attempt)`: the view of one process on a common store; it waits a moment at most."""
    return partial(Rendezvous, HashStore(), max_restarts=3, start_timeout=0.05, restart_timeout=0.05, interval=0.01)


def test_processes_of_one_attempt_meet(process: Callable[..., Rendezvous]) -> None:
    other = threading.Timer(0.1, process(1, 2, 1, restart_timeout=60).wait_for_all)
    other.start()
    process(0, 2, 1, restart_timeout=60).wait_for_all()
    other.join()


def test_processes_of_an_earlier_attempt_do_not_count(process: Callable[..., Rendezvous]) -> None:
    with pytest.raises(PeersUnavailable, match="within 0 s"):
        process(1, 2, attempt=0).wait_for_all()
    with pytest.raises(PeersUnavailable):
        process(0, 2, attempt=1).wait_for_all()


@pytest.mark.parametrize(("attempt", "short"), [(0, "start_timeout"), (1, "restart_timeout")])
def test_a_start_and_a_restart_have_timeouts_of_their_own(
    attempt: int, short: str, process: Callable[..., Rendezvous]
) -> None:
    with pytest.raises(PeersUnavailable, match="within 0 s"):
        process(0, 2, attempt, **{"start_timeout": 60, "restart_timeout": 60, short: 0.05}).wait_for_all()


def test_a_process_of_an_earlier_attempt_ends_to_be_restarted(process: Callable[..., Rendezvous]) -> None:
    with pytest.raises(PeersUnavailable):
        process(1, 2, attempt=2).wait_for_all()
    with pytest.raises(PeerLost):
        process(0, 2, attempt=0, start_timeout=60).wait_for_all()


def test_nobody_waits_for_a_group_once_the_run_is_finished(process: Callable[..., Rendezvous]) -> None:
    process(0, 2).mark_finished()
    process(1, 2).wait_for_finish()
    with pytest.raises(RunFinished):
        process(1, 2, attempt=1, restart_timeout=60).wait_for_all()


def test_a_process_that_waits_for_the_finish_ignores_restarts_of_others(process: Callable[..., Rendezvous]) -> None:
    with pytest.raises(PeersUnavailable):
        process(2, 3, attempt=1).wait_for_all()
    threading.Timer(0.1, process(0, 3).mark_finished).start()
    process(1, 3).wait_for_finish()


def test_a_process_that_waits_for_the_finish_ends_if_rank_0_is_restarted(process: Callable[..., Rendezvous]) -> None:
    with pytest.raises(PeersUnavailable):
        process(0, 3, attempt=1).wait_for_all()
    with pytest.raises(PeerLost):
        process(1, 3).wait_for_finish()


def test_nobody_waits_for_a_machine_that_announced_its_end() -> None:
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=20))
    agents = PrefixStore("genimg", store)
    with pytest.raises(DistStoreError):
        barrier(agents, 2, "torchelastic/agent/terminal_state", barrier_timeout=0.01)
    announce_machine_end(f"127.0.0.1:{store.port}", "genimg", machines=2)
    with pytest.raises(PeersUnavailable, match="another machine"):
        Rendezvous(store, 0, 2, attempt=1).wait_for_all()
    assert agents.check(["torchelastic/agent/terminal_state/last_member"]), "the agents' barrier is complete"


def test_an_announcement_without_a_store_is_ignored() -> None:
    announce_machine_end(f"127.0.0.1:{free_port()}", "genimg", machines=2, timeout=0.2)
