"""Text from files and from the user, made safe to print."""

import unicodedata

_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # controls, bidi and other formats, surrogates, line separators


def printable(text: str) -> str:
    """Returns `text` with control characters, bidi controls and surrogates as backslash escapes.

    A byte of a file name that is not UTF-8 is written as that byte.

    >>> printable("caf\\udce9\\n")
    'caf\\\\xe9\\\\n'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(char) if unicodedata.category(char) in _UNSAFE else char for char in text)


def printable_line(value: object, most: int = 300) -> str:
    """Returns the text of `value` on one line, made printable; the middle of a long one is left out."""
    text = str(value)
    if len(text) > most:
        text = f"{text[: most // 2]} ... {text[-most // 2 :]}"
    return printable(text)


def _escaped(char: str) -> str:
    if 0xDC80 <= ord(char) <= 0xDCFF:  # the escape of an undecodable byte, PEP 383
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape").decode("ascii")
