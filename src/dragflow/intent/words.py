"""The rules for text from a model: plain English, without markup or web addresses."""

from __future__ import annotations

import re
import unicodedata

from dragflow.core.text import one_line
from dragflow.intent.base import MAX_WORDS, TaskLabel

MAX_CHARACTERS = 10 * MAX_WORDS

_LABEL_WORDS: dict[TaskLabel, tuple[str, ...]] = {
    "relocation": (
        *("relocation", "relocate", "relocating", "move", "moving", "movement", "translation", "translate", "shift"),
        *("shifting", "displacement", "displace", "reposition", "repositioning", "transformation"),
    ),
    "deformation": (
        *("deformation", "deform", "deforming", "stretch", "stretching", "shrink", "shrinking", "squeeze", "compress"),
        *("extend", "extension", "elongate", "elongation", "lengthen", "shorten", "reshape", "reshaping"),
    ),
    "rotation": (
        *("rotation", "rotate", "rotating", "turn", "turning", "spin", "spinning", "swing", "swinging", "tilt"),
        *("tilting", "pivot", "pivoting"),
    ),
}
_LABELS = {word: label for label, words in _LABEL_WORDS.items() for word in words}
_ADDRESS = re.compile(
    r"[a-z][a-z0-9+.-]*://|\b(?:mailto|javascript|data):\S|\bwww\.|\b[\w-]+\.(?:com|net|org|info|biz|io|ai|co|dev|app)\b",
    re.IGNORECASE,
)
_MARKUP = re.compile(r"<[a-z/!?|][^<>]*>", re.IGNORECASE)


def label_of(word: object) -> object:
    """The label that a word means, by the table above; anything else is given back for the schema to refuse."""
    return _LABELS.get(word.strip().casefold(), word) if isinstance(word, str) else word


def plain_english(text: str) -> str:
    """A text without control and invisible characters, its white space made single.

    The text encoders of the models read English. Which language Latin letters spell is not judged; a letter of any
    other script is refused.

    Raises:
        ValueError: empty, too long, letters that are not Latin, an address or markup; the message is a sentence.
    """
    plain = " ".join(unicodedata.normalize("NFC", one_line(text)).split())
    letters = [c for c in plain if c.isalpha()]
    if not letters:
        raise ValueError("has no words: write at least one")
    foreign = next((c for c in letters if not unicodedata.name(c, "").startswith(("LATIN", "FULLWIDTH LATIN"))), None)
    if foreign is not None:
        raise ValueError(f"is not in English (it has the letter {foreign!r}): write it in English")
    if len(plain.split()) > MAX_WORDS or len(plain) > MAX_CHARACTERS:
        raise ValueError(
            f"has {len(plain.split())} words and {len(plain)} characters: at most {MAX_WORDS} words and "
            f"{MAX_CHARACTERS} characters are allowed"
        )
    if _ADDRESS.search(plain) or _MARKUP.search(plain):
        raise ValueError("holds a web address or markup: describe the picture in plain words")
    return plain


def same_words(text: str) -> str:
    """What is equal for two texts that differ in case, punctuation and spaces alone."""
    return " ".join(re.findall(r"\w+", text.casefold()))
