"""Exceptions and exit codes that all packages share."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches

from genimg.common.text import printable_line

_LONGEST = 2_000  # characters of a phrase of ours, with what it quotes
EXIT_CODE = 2  # of the command after a UserError
STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)  # exit codes of a run that Ctrl-C or SIGTERM stopped


class UserError(Exception):
    """A mistake in the user's input. Printed as one message, without a traceback.

    Args:
        key: the name of the value where the user wrote it (`model.lr`, `data.root`).
        got: the value; None if there was none.
        expected: a noun phrase for a valid value, with range and unit.
        hint: what to do: the nearest valid name, or a command.
        default_in: the file that sets the default (`configs/model/gan.yaml`).
    """

    def __init__(
        self, key: str, got: object, expected: str, hint: str | None = None, default_in: str | None = None
    ) -> None:
        super().__init__(key, got, expected, hint, default_in)
        self.key, self.got, self.expected = key, got, expected
        self.hint, self.default_in = hint, default_in

    def __str__(self) -> str:
        key = printable_line(self.key)
        lines = [key if self.got is None else f"{key}: got {printable_line(self.got)}"]
        lines.append(f"expected: {printable_line(self.expected, _LONGEST)}")
        if self.hint:
            lines.append(f"hint:     {printable_line(self.hint, _LONGEST)}")
        if self.default_in:
            lines.append(f"default:  set in {printable_line(self.default_in)}")
        return "\n  ".join(lines)


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The one of `known` that `name` most likely misspells, or None.

    The last parts of dotted keys must be similar too: sharing `model.` is not enough. cutoff: difflib's ratio.
    """
    last = name.rpartition(".")[2]
    near = get_close_matches(name, list(known), n=5, cutoff=cutoff)
    return next((key for key in near if SequenceMatcher(None, last, key.rpartition(".")[2]).ratio() >= cutoff), None)


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's message, or the name of its class if the message is empty."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def in_a_line(message: str) -> str:
    """Joins the lines of a message, for a table cell or for brackets."""
    return "; ".join(" ".join(line.split()) for line in message.splitlines())


class PeersUnavailable(Exception):
    """Other processes of the run do not start or do not come back. A restart on this machine cannot help."""


class RunFinished(Exception):
    """The other processes finished the run while this one was being restarted."""


class PeerLost(Exception):
    """A collective operation failed because another process of the run has ended. That process logs the reason."""
