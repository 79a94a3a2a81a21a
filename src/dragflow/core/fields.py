"""Types for the fields of a configuration, with their ranges, which pydantic checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Gt, Interval

if TYPE_CHECKING:  # `import dragflow` needs no pydantic
    from pydantic import ConfigDict

STRICT: ConfigDict = {"extra": "forbid", "strict": True, "allow_inf_nan": False}
"""`__pydantic_config__` of a dataclass that is read from a file: an unknown key, another type or an infinite number is
an error, also in the dataclasses of its fields."""

Count = Annotated[int, Ge(0)]
AtLeastOne = Annotated[int, Ge(1)]
Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]
Share = Annotated[float, Interval(ge=0, le=1)]
Seed = Annotated[int, Interval(ge=0, lt=2**63)]
"""A seed that torch accepts."""
Area = Annotated[int, Ge(4096)]
"""Number of pixels of a working size."""
