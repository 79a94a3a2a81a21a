"""Text of any origin, made safe to show: a terminal obeys some characters, and others change how a line is read."""

from __future__ import annotations

import unicodedata

_BLANKS = ("Cc", "Zl", "Zp")
"""Categories that become a blank: escape codes of both sets (C0, C1), tabs and breaks of lines."""
_INVISIBLE = ("Cf", "Cs", "Co", "Cn")
"""Categories that are left out: marks of direction and of width, half characters, those that no font must have."""


def one_line(text: str) -> str:
    """A text without control and invisible characters, on one line; what was a control character is a blank."""
    if text.isascii() and text.isprintable():
        return text
    kinds = ((c, unicodedata.category(c)) for c in text)
    return "".join(" " if kind in _BLANKS else c for c, kind in kinds if kind not in _INVISIBLE)


def lines(text: str) -> str:
    """The same for a text of several lines, which stay apart."""
    return "\n".join(one_line(line) for line in text.split("\n"))


def file_size(count: int) -> str:
    """A number of bytes as people read sizes of files, in decimal units."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
