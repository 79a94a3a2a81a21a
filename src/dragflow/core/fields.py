"""What the fields of a configuration may hold: ranges and strictness, which pydantic reads where a value is checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Gt, Interval

if TYPE_CHECKING:  # `import dragflow` needs no pydantic
    from pydantic import ConfigDict

STRICT: ConfigDict = {"extra": "forbid", "strict": True, "allow_inf_nan": False}
"""`__pydantic_config__` of a dataclass that a file holds: an unknown key, another type or an infinite number is an
error. The dataclasses of its fields are read as strictly."""

Count = Annotated[int, Ge(0)]
AtLeastOne = Annotated[int, Ge(1)]
Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]
Share = Annotated[float, Interval(ge=0, le=1)]
Seed = Annotated[int, Interval(ge=0, lt=2**63)]
"""What torch takes as a seed."""
Area = Annotated[int, Ge(4096)]
"""Pixels of a working size."""
