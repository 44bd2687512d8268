"""Rendezvous of the processes of a run, at its start and after each restart, through a key-value store.

An agent of torchrun notices only deaths on its own machine. Processes on the other machines lose their connection, end,
and are restarted by their agents. Processes with the same restart count form one group. The store is kept by the agent
of the first machine, so it outlives the processes.

torchrun's c10d rendezvous does not replace this: it assigns ranks by arrival, restarts also the processes of healthy
machines (so a death elsewhere would repeat the final sampling of rank 0), and does not count those restarts, so the
restart counts of the machines differ.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta

from torch.distributed import DistError, PrefixStore, Store, TCPStore  # pyright: ignore[reportPrivateImportUsage]
from torch.distributed.elastic.rendezvous.utils import parse_rendezvous_endpoint
from torch.distributed.elastic.utils.store import barrier
from torch.distributed.rendezvous import rendezvous

from genimg.common import ranks
from genimg.common.errors import PeerLost, PeersUnavailable, RunFinished

_STORE_TIMEOUT = 10  # seconds, to connect to a store that existed before the restart
_MACHINE_ENDED, _FINISHED = "genimg/machine_ended", "genimg/finished"
_AGENTS_EXIT = "torchelastic/agent/terminal_state"  # the key of torch's barrier between agents that exit


@dataclass(frozen=True)
class Rendezvous:
    """The store as one process sees it."""

    agent_store: Store  # shared by all attempts
    rank: int
    world_size: int
    attempt: int = 0  # how often the group was restarted
    max_restarts: int = 0
    start_timeout: float = 900.0  # seconds, until all machines and processes have started
    restart_timeout: float = 300.0  # seconds, until all are back: a machine that lost its power does not report it
    interval: float = 0.1  # seconds between two reads of the store

    @classmethod
    def from_environment(cls, rank: int, world_size: int) -> Rendezvous:
        """Connects to MASTER_ADDR:MASTER_PORT. Raises PeersUnavailable if there is no store."""
        attempt = ranks.restarts()
        seconds = _STORE_TIMEOUT if attempt else cls.start_timeout
        try:
            store, _, _ = next(rendezvous("env://", rank, world_size, timeout=timedelta(seconds=seconds)))
        except DistError as error:
            why = "the first machine of the run has ended" if attempt else f"no answer within {seconds:.0f} s"
            raise PeersUnavailable(why) from error
        return cls(store, rank, world_size, attempt, ranks.max_restarts())

    @property
    def store(self) -> Store:
        """The part of the store for this attempt, without the addresses of the previous processes."""
        return PrefixStore(f"attempt-{self.attempt}", self.agent_store)

    def wait_for_all(self) -> None:
        """Waits until every process of this attempt has arrived.

        Raises:
            PeerLost: others were restarted meanwhile, so this attempt cannot complete.
            PeersUnavailable: a machine has ended, or the timeout has passed.
            RunFinished: rank 0 has finished the run.
        """
        self._set(_arrived(self.attempt, self.rank), _started(self.attempt))
        timeout = self.restart_timeout if self.attempt else self.start_timeout
        end = time.monotonic() + timeout
        while not self._has(*(_arrived(self.attempt, rank) for rank in range(self.world_size))):
            if self._has(_FINISHED):
                raise RunFinished
            if self._has(_MACHINE_ENDED):
                raise PeersUnavailable("another machine of the run has ended and will not come back")
            if any(self._has(_started(later)) for later in self._later_attempts()):
                raise PeerLost("the other processes were restarted")
            if time.monotonic() > end:
                raise PeersUnavailable(f"not all processes of the run arrived within {timeout:.0f} s")
            time.sleep(self.interval)

    def mark_finished(self) -> None:
        """Declares the run finished. Called by rank 0 after the work that it does alone at the end."""
        self._set(_FINISHED)

    def wait_for_finish(self) -> None:
        """Waits until rank 0 has finished the run, so that its machine can restart the group if it dies before.

        Raises PeerLost if rank 0 was restarted, PeersUnavailable if its machine has ended.
        """
        while not self._has(_FINISHED):
            if any(self._has(_arrived(later, 0)) for later in self._later_attempts()):
                raise PeerLost("rank 0 was restarted")
            time.sleep(self.interval)

    def _later_attempts(self) -> range:
        return range(self.attempt + 1, self.max_restarts + 1)

    def _has(self, *keys: str) -> bool:
        try:
            return self.agent_store.check(list(keys))
        except DistError as error:
            raise PeersUnavailable("the first machine of the run has ended") from error

    def _set(self, *keys: str) -> None:
        try:
            for key in keys:
                self.agent_store.set(key, "")
        except DistError as error:
            raise PeersUnavailable("the first machine of the run has ended") from error


def announce_machine_end(endpoint: str, run_id: str, machines: int, timeout: float = 2) -> None:
    """Called by the agent of a machine that leaves early, so that neither processes nor agents wait for it."""
    host, port = parse_rendezvous_endpoint(endpoint, default_port=-1)
    try:
        store = TCPStore(host, port, timeout=timedelta(seconds=timeout), wait_for_workers=False)
        store.set(_MACHINE_ENDED, "")
        barrier(PrefixStore(run_id, store), machines, _AGENTS_EXIT, barrier_timeout=0.1)
    except DistError:  # the first machine has ended, or is not about to exit
        return


def _arrived(attempt: int, rank: int) -> str:
    return f"genimg/arrived-{attempt}-{rank}"


def _started(attempt: int) -> str:
    return f"genimg/started-{attempt}"
