"""Where the processes of a run meet, and after a death meet again: a store, which the first machine's agent keeps.

An agent sees the deaths of its own machine's processes only. Those of the others lose their connection, end, and are
started anew by their agents. How often a group was started is its number, and processes of one number are one group.
"""

from __future__ import annotations

import time
from datetime import timedelta

from torch.distributed import DistError, PrefixStore, Store, TCPStore  # pyright: ignore[reportPrivateImportUsage]
from torch.distributed.elastic.rendezvous.utils import parse_rendezvous_endpoint
from torch.distributed.elastic.utils.store import barrier
from torch.distributed.rendezvous import rendezvous

from genimg.common import ranks
from genimg.common.errors import PeerLost, PeersUnavailable, RunFinished

PATIENCE = 900  # seconds, for machines and processes that start
PATIENCE_AGAIN = 300  # for those that come back: a machine that has died says nothing
PATIENCE_FOR_STORE = 10  # for a store that was there before: its agent starts no one anew by ending
_ENDED, _THROUGH = "genimg/ended", "genimg/through"
_AGENTS_ARE_DONE = "torchelastic/agent/terminal_state"  # what torch's agents call it
_INTERVAL = 0.1  # seconds between two looks at the store


class Meeting:
    """The store as one process of a group sees it. rank: this one's of `processes`; attempt: the group's number."""

    def __init__(self, store: Store, rank: int, processes: int, attempt: int) -> None:
        self._store, self._rank, self._processes, self._attempt = store, rank, processes, attempt

    @classmethod
    def of_environment(cls, rank: int, processes: int) -> Meeting:
        """At MASTER_ADDR:MASTER_PORT. Raises PeersUnavailable where nobody keeps a store there any more."""
        seconds = PATIENCE_FOR_STORE if ranks.restarts() else PATIENCE
        try:
            store, _, _ = next(rendezvous("env://", rank, processes, timeout=timedelta(seconds=seconds)))
        except DistError as error:
            why = "the first machine of the run has ended" if ranks.restarts() else f"nobody is there after {seconds} s"
            raise PeersUnavailable(why) from error
        return cls(store, rank, processes, ranks.restarts())

    @property
    def store(self) -> Store:
        """The group's own part: the whole outlives a group that has died, and so would the addresses in it."""
        return PrefixStore(f"attempt-{self._attempt}", self._store)

    def wait_for_all(self, seconds: float | None = None) -> None:
        """Until every process of the group is there, `seconds` at most: by default as long as those of its attempt may
        need to come.

        Raises PeerLost where some were started anew meanwhile, PeersUnavailable where they do not come, and RunFinished
        where no group is needed any more.
        """
        self._set(_here(self._attempt, self._rank), _started(self._attempt))
        if seconds is None:
            seconds = PATIENCE_AGAIN if self._attempt else PATIENCE
        end = time.monotonic() + seconds
        while not self._has(*(_here(self._attempt, rank) for rank in range(self._processes))):
            if self._has(_THROUGH):
                raise RunFinished
            if self._has(_ENDED):
                raise PeersUnavailable("another machine of the run has ended, and cannot be waited for")
            if any(self._has(_started(later)) for later in self._later()):
                raise PeerLost("others were started anew")
            if time.monotonic() > end:
                raise PeersUnavailable(f"not all processes of the run came within {seconds:.0f} s")
            time.sleep(_INTERVAL)

    def be_through(self) -> None:
        """Called by the first process when it has done what it does alone at the end."""
        self._set(_THROUGH)

    def wait_for_first(self) -> None:
        """Waits until it is through.

        Raises PeerLost where it was started anew, PeersUnavailable where its machine has ended.
        """
        while not self._has(_THROUGH):
            if any(self._has(_here(later, 0)) for later in self._later()):
                raise PeerLost("the first process was started anew")
            time.sleep(_INTERVAL)

    def _later(self) -> range:
        return range(self._attempt + 1, ranks.max_restarts() + 1)

    def _has(self, *keys: str) -> bool:
        try:
            return self._store.check(list(keys))
        except DistError as error:
            raise PeersUnavailable("the first machine of the run has ended") from error

    def _set(self, *keys: str) -> None:
        try:
            for key in keys:
                self._store.set(key, "")
        except DistError as error:
            raise PeersUnavailable("the first machine of the run has ended") from error


def say_goodbye(endpoint: str, run_id: str, machines: int) -> None:
    """Called by the agent of a machine that ends before the run does: so that the others do not wait for it, neither
    its processes to begin nor its agent to be done.
    """
    host, port = parse_rendezvous_endpoint(endpoint, default_port=-1)
    try:
        store = TCPStore(host, port, timeout=timedelta(seconds=2), wait_for_workers=False)
        store.set(_ENDED, "")
        barrier(PrefixStore(run_id, store), machines, _AGENTS_ARE_DONE, barrier_timeout=0.1)
    except DistError:  # the first machine has ended itself, or is not done
        return


def _here(attempt: int, rank: int) -> str:
    return f"genimg/here-{attempt}-{rank}"


def _started(attempt: int) -> str:
    return f"genimg/started-{attempt}"
