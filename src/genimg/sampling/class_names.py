"""Classes as a user writes them, by name or number, and the labels that they are."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from genimg.common.errors import UserError

Classes = str | int | Sequence[str | int]

_NAMED = 20  # classes that an error message lists


def class_numbers(classes: Classes | None, names: Sequence[str]) -> list[int]:
    """The labels of `classes`: each a name (first) or a number; None = all."""
    if classes is None:
        return list(range(len(names)))
    wanted = [str(one) for one in ([classes] if isinstance(classes, str | int) else classes)]
    folded = [name.casefold() for name in names]
    numbers = []
    for one in wanted:
        if one in names:  # before the case is folded: letters come in both
            numbers.append(names.index(one))
        elif one.casefold() in folded:
            numbers.append(folded.index(one.casefold()))
        elif one.isdecimal() and int(one) < len(names):
            numbers.append(int(one))
        else:
            near = difflib.get_close_matches(one.casefold(), folded, n=1)
            known = ", ".join(names[:_NAMED]) + (" ..." if len(names) > _NAMED else "")
            hint = f"did you mean {names[folded.index(near[0])]}?" if near else None
            raise UserError("classes", one, f"of {known}, or 0 to {len(names) - 1}", hint)
    if not numbers:
        raise UserError("classes", "[]", "at least one class, or null for all")
    return numbers
