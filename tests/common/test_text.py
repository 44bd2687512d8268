"""Text made safe to print."""

from genimg.common.text import printable


def test_control_characters_bidi_controls_and_surrogates_are_escaped() -> None:
    assert printable("caf\u00e9 \u65e5\u672c") == "caf\u00e9 \u65e5\u672c"
    assert printable("a\x1b[31m\nerror: \u202eb\udcff\ud800") == r"a\x1b[31m\nerror: \u202eb\xff\ud800"
