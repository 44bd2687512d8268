"""The kinds of values that a key accepts, which describe, check and convert a value, and hint at what was meant.

Values are plain: numbers, text, lists and dictionaries.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from genimg.common.errors import nearest
from genimg.common.limits import LARGEST_INTEGER
from genimg.common.seeds import MOST_SEEDS, read_seeds


@dataclass(frozen=True)
class Rule:
    """The values that a key accepts. Bounds are inclusive, except `above`."""

    low: float | None = None
    high: float | None = None
    above: float | None = None
    choices: tuple[str, ...] = ()  # accepted words, besides values of the kind
    registry: tuple[str, str] | None = None  # (module, registry) whose names are the choices, or those of a list
    null: bool = False  # null is accepted
    everywhere: bool = False  # applies to user-defined classes too
    hint: str | None = None  # the hint if no choice is near

    words: ClassVar[str]  # the kind in an error message

    def __str__(self) -> str:
        """The accepted values, as an error message lists them."""
        parts = [*self._described(), *self.choices, *(["null"] if self.null else [])]
        return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} or {parts[-1]}"

    @property
    def completions(self) -> tuple[str, ...]:
        """The words that a shell completes."""
        return self.choices

    def accepts(self, value: object) -> bool:
        """Whether `value` is one of the accepted values."""
        if value is None:
            return self.null
        return (is_word(value) and str(value) in self.choices) or self._accepts(value)

    def converted(self, value: object, written: str | None) -> object:
        """`value`, if YAML parsed it as the kind means it; else the value that was meant.

        Args:
            written: the text of a number on the command line; None if the value is not from there.
        """
        return value

    def hint_for(self, key: str, value: object) -> str | None:
        """How to write what the user most likely meant by a value that is not accepted."""
        text = str(value)
        near = next((c for c in self.choices if text and c.startswith(text)), None) or nearest(text, self.choices)
        return f"did you mean {key}={near}?" if near else self.hint

    def with_names(self, names: tuple[str, ...]) -> Self:
        """The rule with the names of its registry, besides its own choices."""
        return replace(self, choices=(*self.choices, *names))

    def applies(self, key: str, target: object) -> bool:
        """Whether the rule applies to `key`: those of model.* and data.* do to classes of this package.

        target: the `_target_` of the group of the key.
        """
        return self.everywhere or not key.startswith(("model.", "data.")) or str(target).startswith("genimg.")

    def _described(self) -> list[str]:
        return [self.words + self._range()]

    def _accepts(self, value: object) -> bool:
        raise NotImplementedError

    def _in_range(self, value: float) -> bool:
        if not is_finite(value) or (self.above is not None and not value > self.above):
            return False
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    def _range(self) -> str:
        if self.above is not None:
            return f" above {_plain(self.above)}" + (f", at most {_plain(self.high)}" if self.high is not None else "")
        if self.low is not None and self.high is not None:
            return f" from {_plain(self.low)} to {_plain(self.high)}"
        return f", {_plain(self.low)} or more" if self.low is not None else ""


class Anything(Rule):
    """A value that another check reads."""

    words = "a value"

    def _accepts(self, value: object) -> bool:
        return True


class Flag(Rule):
    """True or false."""

    words = "true or false"

    @property
    def completions(self) -> tuple[str, ...]:
        return (*self.choices, "true", "false")

    def _accepts(self, value: object) -> bool:
        return isinstance(value, bool)


class Text(Rule):
    """Text that is not empty, or one of the choices if there are any."""

    words = "text"

    def converted(self, value: object, written: str | None) -> object:
        """A folder named 2024 is text."""
        return (written or str(value)) if is_number(value) and not self.choices else value

    def _described(self) -> list[str]:
        return [] if self.choices else [self.words]

    def _accepts(self, value: object) -> bool:
        return not self.choices and is_word(value) and value != ""


class Number(Rule):
    """A finite number."""

    words = "a number"

    def converted(self, value: object, written: str | None) -> object:
        """torch and a checkpoint cannot hold an integer of more than 64 bits, but a float."""
        return _as_float(value) if too_large(value) else value

    def _accepts(self, value: object) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and self._in_range(value)

    def _accepts_two(self, value: object) -> bool:
        one = Number(self.low, self.high, self.above)
        return isinstance(value, list) and len(value) == 2 and all(map(one.accepts, value))


class Two(Number):
    """A list of two numbers."""

    words = "a list of two numbers"

    def hint_for(self, key: str, value: object) -> str | None:
        if is_number(value):
            return f"{key}=[{shown(value)},{shown(value)}]"
        return super().hint_for(key, value)

    def _accepts(self, value: object) -> bool:
        return self._accepts_two(value)


class Numbers(Number):
    """A list of different numbers."""

    words = "a list of different numbers"

    def hint_for(self, key: str, value: object) -> str | None:
        return f"{key}=[{shown(value)}]" if is_number(value) else super().hint_for(key, value)

    def _accepts(self, value: object) -> bool:
        one = Number(self.low, self.high, self.above)
        return isinstance(value, list) and 0 < len(value) == len(set(map(str, value))) and all(map(one.accepts, value))


class Ends(Number):
    """One number, or the two ends of a schedule."""

    words = "one number or [start,end]"

    def _accepts(self, value: object) -> bool:
        return self._accepts_two(value) or super()._accepts(value)


class Integer(Rule):
    """An integer of at most 64 bits."""

    words = "an integer"

    def converted(self, value: object, written: str | None) -> object:
        """1e5 is an integer."""
        return int(value) if isinstance(value, float) and value.is_integer() and not self.choices else value

    def hint_for(self, key: str, value: object) -> str | None:
        if too_large(value):
            return f"an integer has at most 64 bits: {LARGEST_INTEGER}"
        return super().hint_for(key, value)

    def _accepts(self, value: object) -> bool:
        return is_number(value) and isinstance(value, int) and not too_large(value) and self._in_range(value)


class Pair(Integer):
    """One integer, or a list of two."""

    words = "one number or [least,most]"

    def _accepts(self, value: object) -> bool:
        one = Integer(self.low, self.high)
        return all(map(one.accepts, value if isinstance(value, list) and len(value) == 2 else [value]))


class Size(Pair):
    """The height and the width of an image: one integer for both, or a list of two."""

    words = "one number or [height,width]"

    def hint_for(self, key: str, value: object) -> str | None:
        """The usual order of image sizes is 64x48; the key takes (height, width)."""
        if isinstance(value, str) and "x" in value:
            width, _, height = value.partition("x")
            return f"{key}=[{height},{width}] is {width} wide and {height} high"
        return super().hint_for(key, value)


class Grid(Integer):
    """The columns and rows of a grid."""

    words = "[columns,rows]"

    def hint_for(self, key: str, value: object) -> str | None:
        columns, by, rows = str(value).partition("x")
        return f"{key}=[{columns},{rows}]" if by and columns.isdecimal() and rows.isdecimal() else None

    def _accepts(self, value: object) -> bool:
        one = Integer(self.low, self.high)
        return isinstance(value, list) and len(value) == 2 and all(map(one.accepts, value))


class List(Rule):
    """A list."""

    words = "a list: [a,b]"

    def hint_for(self, key: str, value: object) -> str | None:
        return super().hint_for(key, value) if isinstance(value, list) else f"{key}=[{shown(value)}]"

    def _accepts(self, value: object) -> bool:
        return isinstance(value, list)


class Seeds(List):
    """A list of seeds and ranges."""

    words = f"a list of seeds, each once, and ranges, at most {MOST_SEEDS:,} in total: [1,5,9-12]"

    def _accepts(self, value: object) -> bool:
        try:
            return isinstance(value, list) and len(read_seeds(value)) > 0
        except ValueError:
            return False


@dataclass(frozen=True)
class Names(Rule):
    """A list of names."""

    names: tuple[str, ...] = ()

    def with_names(self, names: tuple[str, ...]) -> Self:
        return replace(self, names=names)

    def hint_for(self, key: str, value: object) -> str | None:
        """The list with the nearest known names, or the nearest choice."""
        given = value if isinstance(value, list) else [value]
        if len(given) == 1 and (word := nearest(str(given[0]), self.choices)):
            return f"did you mean {key}={word}?"
        meant = [name for one in given if (name := nearest(str(one), self.names))]
        return f"did you mean {key}=[{','.join(meant)}]?" if meant else None

    def _described(self) -> list[str]:
        return [f"a list of {', '.join(self.names)}"]

    def _accepts(self, value: object) -> bool:
        return isinstance(value, list) and all(name in self.names for name in value)


class Mapping(Rule):
    """Names that the user chooses, with values that have a rule of their own."""

    words = "a mapping: {a:1,b:2}"

    def _accepts(self, value: object) -> bool:
        return isinstance(value, dict)


class Paths(Text):
    """A path, or a list of paths."""

    words = "a path or a list of them"

    def converted(self, value: object, written: str | None) -> object:
        if isinstance(value, list):
            return [str(one) if is_number(one) else one for one in value]
        return super().converted(value, written)

    def _accepts(self, value: object) -> bool:
        return bool(value) if isinstance(value, list) else super()._accepts(value)


def one_of(*choices: str) -> Text:
    return Text(choices=choices)


def registered(module: str, name: str, *also: str, hint: str | None = None) -> Text:
    """`also`, or a name in a registry of this package, which is read from its source when the rule is used."""
    return Text(choices=also, registry=(f"genimg.{module}", name), hint=hint)


def is_word(value: object) -> bool:
    """Whether `value` is text or a number."""
    return isinstance(value, str) or is_number(value)


def is_number(value: object) -> bool:
    """Whether `value` is an integer or a float, and not a bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_finite(value: float) -> bool:
    """Whether `value` is a finite float or an integer that a float can hold, to some precision."""
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer of hundreds of digits
        return False


def too_large(value: object) -> bool:
    """Whether `value` is an integer of more than 64 bits, or a list with one."""
    if isinstance(value, list):
        return any(map(too_large, value))
    return isinstance(value, int) and abs(value) > LARGEST_INTEGER


def shown(value: object) -> str:
    """`value` as it is written on the command line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value).replace("'", "") if isinstance(value, list) else str(value) or "nothing"


def _as_float(value: object) -> object:
    """Numbers as floats, in lists too; an integer that no float can hold stays, and its rule refuses it."""
    if isinstance(value, list):
        return [_as_float(one) for one in value]
    return float(value) if isinstance(value, int) and is_number(value) and is_finite(value) else value


def _plain(bound: float) -> str:
    return str(int(bound)) if float(bound).is_integer() else str(bound)
