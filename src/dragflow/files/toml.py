"""Values as TOML, which the standard library reads and does not write."""

from __future__ import annotations

import json
from typing import Any


def toml_value(value: Any) -> str:
    """A string, number, truth value, tuple or flat dict as TOML, on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml_value(key)} = {toml_value(one)}" for key, one in value.items()) + "}"
    if isinstance(value, tuple):
        return "[" + ", ".join(toml_value(one) for one in value) + "]"
    # JSON writes strings and numbers as TOML does, but for one character that TOML wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
