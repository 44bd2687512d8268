"""Where processes meet: all of one attempt, none of another, and none waits for those that do not come."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest
from torch.distributed import HashStore, PrefixStore, TCPStore  # pyright: ignore[reportPrivateImportUsage]
from torch.distributed.elastic.utils.store import barrier

from genimg.common.errors import PeerLost, PeersUnavailable, RunFinished
from genimg.distributed import rendezvous as meeting
from genimg.distributed.rendezvous import Meeting, say_goodbye
from tests.together import free_port


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> HashStore:
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "3")
    monkeypatch.setattr(meeting, "_INTERVAL", 0.01)
    return HashStore()


def test_processes_of_one_attempt_meet(store: HashStore) -> None:
    other = threading.Timer(0.1, Meeting(store, 1, 2, attempt=1).wait_for_all)
    other.start()
    Meeting(store, 0, 2, attempt=1).wait_for_all()
    other.join()


def test_those_that_died_do_not_count(store: HashStore) -> None:
    with pytest.raises(PeersUnavailable, match="within 0 s"):
        Meeting(store, 1, 2, attempt=0).wait_for_all(seconds=0.05)
    with pytest.raises(PeersUnavailable):
        Meeting(store, 0, 2, attempt=1).wait_for_all(seconds=0.05)


@pytest.mark.parametrize(("attempt", "patience"), [(0, "PATIENCE"), (1, "PATIENCE_AGAIN")])
def test_those_that_start_have_longer_than_those_that_come_back(
    attempt: int, patience: str, store: HashStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meeting, "PATIENCE", 60)
    monkeypatch.setattr(meeting, "PATIENCE_AGAIN", 60)
    monkeypatch.setattr(meeting, patience, 0.05)
    with pytest.raises(PeersUnavailable, match="within 0 s"):
        Meeting(store, 0, 2, attempt).wait_for_all()


def test_one_that_was_left_behind_by_an_attempt_follows(store: HashStore) -> None:
    with pytest.raises(PeersUnavailable):
        Meeting(store, 1, 2, attempt=2).wait_for_all(seconds=0.05)
    with pytest.raises(PeerLost):
        Meeting(store, 0, 2, attempt=0).wait_for_all()


def test_nobody_is_needed_when_the_first_is_through(store: HashStore) -> None:
    Meeting(store, 0, 2, attempt=0).be_through()
    Meeting(store, 1, 2, attempt=0).wait_for_first()
    with pytest.raises(RunFinished):
        Meeting(store, 1, 2, attempt=1).wait_for_all()


def test_who_waits_for_the_first_hears_that_it_was_started_anew_and_not_of_others(store: HashStore) -> None:
    waiting, through = Meeting(store, 1, 3, attempt=0), threading.Timer(0.1, Meeting(store, 0, 3, 0).be_through)
    with pytest.raises(PeersUnavailable):
        Meeting(store, 2, 3, attempt=1).wait_for_all(seconds=0.05)
    through.start()
    waiting.wait_for_first()
    store.delete_key(meeting._THROUGH)
    with pytest.raises(PeersUnavailable):
        Meeting(store, 0, 3, attempt=1).wait_for_all(seconds=0.05)
    with pytest.raises(PeerLost):
        waiting.wait_for_first()


def test_a_machine_that_says_goodbye_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=20))
    say_goodbye(f"127.0.0.1:{store.port}", "genimg", machines=2)
    with pytest.raises(PeersUnavailable, match="another machine"):
        Meeting(store, 0, 2, attempt=1).wait_for_all()
    began = time.monotonic()
    barrier(PrefixStore("genimg", store), 2, meeting._AGENTS_ARE_DONE, barrier_timeout=20)
    assert time.monotonic() - began < 5


def test_a_goodbye_that_nobody_hears_is_none() -> None:
    say_goodbye(f"127.0.0.1:{free_port()}", "genimg", machines=2)
