"""Checks a pickle before it is read: it may build plain types and tensors only, as `torch.save` writes them.

The content of an object that runs methods of its own, or that takes long to build, cannot be checked afterwards.
"""

from __future__ import annotations

import pickletools
import re
from typing import Any

MOST_OPERATIONS = 10**6  # a tensor takes about 30

#: Names that `torch.save` of plain types and tensors writes.
_GLOBALS = re.compile(
    r"collections OrderedDict|torch\._utils _rebuild_(tensor_v2|parameter)"
    r"|torch (Size|\w+Storage|bfloat16|float\d+|u?int\d+|bool)"
)
#: Operations that push a value, and the kind of that value. Integers of more than 32 bits are LONG1.
_VALUES = {
    "BINUNICODE": "key", "BININT": "key", "BININT1": "key", "BININT2": "key", "LONG1": "value", "BINFLOAT": "value",
    "NONE": "value", "NEWTRUE": "value", "NEWFALSE": "value", "EMPTY_DICT": "value", "EMPTY_LIST": "value",
    "EMPTY_TUPLE": "()", "MARK": "mark", "GLOBAL": "name",
}  # fmt: skip
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def check_pickle(pickled: bytes) -> None:
    """Follows the kinds of the values on the stack of the pickle, without building them.

    Keys are strings or integers of 32 bits: equal hashes of others can be chosen, and a dictionary of n of them takes
    time n^2.

    Raises:
        ValueError: for an operation, a name or a key that plain types and tensors do not need, or too many operations.
    """
    stack: list[str] = []
    memo: dict[Any, str] = {}
    try:
        for number, (operation, argument, _) in enumerate(pickletools.genops(pickled)):
            if number >= MOST_OPERATIONS:
                raise ValueError(f"its pickle has more than {MOST_OPERATIONS:,} operations")
            _follow(operation.name, argument, stack, memo)
    except (IndexError, KeyError) as error:
        raise ValueError("its pickle is damaged") from error


def _follow(name: str, argument: Any, stack: list[str], memo: dict[Any, str]) -> None:
    if name in _VALUES:
        if name == "GLOBAL" and not _GLOBALS.fullmatch(str(argument)):
            raise ValueError(f"it names {argument}; only plain types and tensors are allowed")
        stack.append(argument if name == "GLOBAL" else _VALUES[name])
    elif name in _TUPLES:
        del stack[-_TUPLES[name] :]
        stack.append("value")
    elif name == "TUPLE":
        _pop_to_mark(stack)
        stack.append("value")
    elif name in ("SETITEM", "SETITEMS"):
        items = [stack.pop(), stack.pop()][::-1] if name == "SETITEM" else _pop_to_mark(stack)
        if any(key != "key" for key in items[::2]):
            raise ValueError("it has a dictionary with other keys than strings and small integers")
    elif name == "APPEND":
        stack.pop()
    elif name == "APPENDS":
        _pop_to_mark(stack)
    elif name in ("BINPUT", "LONG_BINPUT"):
        memo[argument] = stack[-1]
    elif name in ("BINGET", "LONG_BINGET"):
        stack.append(memo[argument])
    elif name == "BINPERSID":
        stack[-1] = "value"
    elif name == "REDUCE":
        given, called = stack.pop(), stack.pop()
        if called == "collections OrderedDict" and given != "()":
            raise ValueError("it has an OrderedDict that is not built from nothing")
        stack.append("value")
    elif name not in ("PROTO", "STOP"):
        raise ValueError(f"its pickle contains {name}, which plain types and tensors do not need")


def _pop_to_mark(stack: list[str]) -> list[str]:
    """Removes the values after the last mark, and the mark. Returns the values."""
    start = len(stack) - 1
    while stack[start] != "mark":
        start -= 1
        if start < 0:
            raise IndexError("no mark")
    values = stack[start + 1 :]
    del stack[start:]
    return values
