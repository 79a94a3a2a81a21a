"""Types for the fields of what people and programs give, with their ranges, which pydantic checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval, MaxLen, MinLen

if TYPE_CHECKING:  # `import dragflow` needs no pydantic
    from pydantic import ConfigDict

STRICT: ConfigDict = {"extra": "forbid", "strict": True, "allow_inf_nan": False}
"""`__pydantic_config__` of what is read from a file or made by a program: an unknown key, another type or an infinite
number is an error, also in the dataclasses of its fields."""

FOLDER_BYTES = 16 * 2**30
"""Most bytes of a folder of inverted pictures, where nothing else is said."""

Count = Annotated[int, Interval(ge=0, le=10_000)]
"""How often something is done, or left out."""
AtLeastOne = Annotated[int, Interval(ge=1, le=10_000)]
Positive = Annotated[float, Interval(gt=0, le=1e6)]
NotNegative = Annotated[float, Interval(ge=0, le=1e6)]
Share = Annotated[float, Interval(ge=0, le=1)]
Seed = Annotated[int, Interval(ge=0, lt=2**63)]
"""A seed that torch accepts."""
Area = Annotated[int, Interval(ge=4096, le=64_000_000)]
"""Number of pixels of a working size."""
Guidance = Annotated[float, Interval(ge=-100, le=100)]
Radius = Annotated[int, Interval(ge=0, le=64)]
"""Quarters of a feature cell, or tokens."""
Margin = Annotated[int, Interval(ge=0, le=4096)]
"""Pixels by which something is grown on all sides."""
Fade = Annotated[float, Interval(ge=0, le=4096)]
"""Pixels over which something fades in."""
Name = Annotated[str, MinLen(1), MaxLen(4096)]
"""What is looked up: a path, an id, an address; an empty one is usually a variable of a shell that is not set."""
Prompt = Annotated[str, MaxLen(20_000)]
Coordinate = Annotated[float, Interval(ge=-1e7, le=1e7)]
"""Pixels; the longest side of a picture that is read is shorter."""
Edge = Annotated[int, Interval(ge=0, le=10_000_000)]
"""Pixels from the left or the top to a side of a window."""
Degrees = Annotated[float, Interval(ge=-36_000, le=36_000)]
Factor = Annotated[float, Interval(ge=0.01, le=100)]
"""What a region is scaled by."""
