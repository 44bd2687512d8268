"""Text made safe to print."""

from genimg.common.errors import UserError
from genimg.common.text import printable, printable_line


def test_control_characters_bidi_controls_and_surrogates_are_escaped() -> None:
    assert printable("caf\u00e9 \u65e5\u672c") == "caf\u00e9 \u65e5\u672c"
    assert printable("a\x1b[31m\nerror: \u202eb\udcff\ud800") == r"a\x1b[31m\nerror: \u202eb\xff\ud800"


def test_a_value_cannot_forge_a_line_of_a_message() -> None:
    told = str(UserError("a\n", "1\nerror: forged\x1b[2J", "x\ry", hint="\nerror: no"))
    assert told.splitlines() == [r"a\n: got 1\nerror: forged\x1b[2J", r"  expected: x\ry", r"  hint:     \nerror: no"]


def test_the_middle_of_a_long_value_is_left_out() -> None:
    assert printable_line("a" * 5000 + "b") == "a" * 150 + " ... " + "a" * 149 + "b"
