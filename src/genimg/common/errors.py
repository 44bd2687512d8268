"""The one error a user's mistake raises, and the one way it reads."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches

EXIT_CODE = 2  # what the command ends with after a UserError
STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)  # and where Ctrl-C or SIGTERM has stopped it


class UserError(Exception):
    """A mistake in what the user gave, told in one message that says what to do.

    key: what the value is called where the user wrote it (`model.lr`, `data.root`).
    got: what arrived, as it arrived; None where nothing did.
    expected: what would have been right, with range and unit.
    hint: what to do: the nearest correct name, or the command that repairs it.
    default_in: the file that sets the default (`configs/model/gan.yaml`).
    """

    def __init__(
        self, key: str, got: object, expected: str, hint: str | None = None, default_in: str | None = None
    ) -> None:
        super().__init__(key, got, expected, hint, default_in)
        self.key, self.got, self.expected = key, got, expected
        self.hint, self.default_in = hint, default_in

    def __str__(self) -> str:
        lines = [
            self.key if self.got is None else f"{self.key}: got {self.got}",
            f"expected: {self.expected}",
        ]
        if self.hint:
            lines.append(f"hint:     {self.hint}")
        if self.default_in:
            lines.append(f"default:  set in {self.default_in}")
        return "\n  ".join(lines)


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The one of `known` that `name` most likely misspells, or None.

    The last parts of dotted keys must be similar too: sharing `model.` is not enough. cutoff: difflib's ratio.
    """
    last = name.rpartition(".")[2]
    near = get_close_matches(name, list(known), n=5, cutoff=cutoff)
    return next((key for key in near if SequenceMatcher(None, last, key.rpartition(".")[2]).ratio() >= cutoff), None)


def first_line(error: BaseException) -> str:
    """What another's error says in its first line; its class where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def in_a_line(message: str) -> str:
    """A message of several lines, as a `UserError` is, where there is room for one: in a table, in brackets."""
    return "; ".join(" ".join(line.split()) for line in message.splitlines())


class PeersUnavailable(Exception):
    """Other processes of the same run do not come (back): for this machine it has ended, and another try is in vain."""


class RunFinished(Exception):
    """The others have done all there was to do while this process was started anew."""


class PeerLost(Exception):
    """Another process of the same run has ended, and this one cannot go on without it. What that one said is why."""
