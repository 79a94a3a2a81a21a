from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from dragflow.core.text import lines, one_line


def test_escape_codes_marks_of_direction_and_half_characters_are_removed() -> None:
    assert one_line("\x1b[2J\x1b]0;owned\x07hi\x9b31m") == " [2J ]0;owned hi 31m"
    assert one_line("a\u202eb\u2066c\u200bd\ufeffe\udcfff") == "abcdef"
    assert one_line("a\r\nb\u2028c\td\x00e") == "a  b c d e"


def test_words_of_every_script_stay() -> None:
    assert one_line("Zoë fährt, 猫が走る, кот 🐈") == "Zoë fährt, 猫が走る, кот 🐈"


def test_lines_stay_apart_only_at_line_feeds() -> None:
    assert lines("a\x1b\nb\r\x85c") == "a \nb  c"


@given(st.text(st.characters(exclude_categories=())))
def test_nothing_is_left_that_a_terminal_obeys(text: str) -> None:
    cleaned = one_line(text)
    assert not {unicodedata.category(c) for c in cleaned} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert one_line(cleaned) == cleaned
    cleaned.encode()
