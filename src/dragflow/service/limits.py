"""What a service refuses, and how long it keeps what it made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval

from dragflow.core.checked import Checked
from dragflow.core.errors import UserError
from dragflow.core.fields import AtLeastOne

Seconds = Annotated[float, Interval(ge=0.1, le=30 * 24 * 3600)]


class Busy(UserError):
    """The queue is full; later there may be room."""


@dataclass(frozen=True)
class Limits(Checked, called="`{}`"):
    """Of one service; what is None is not limited."""

    queue: AtLeastOne | None = None
    """Most jobs of one device that run or wait."""
    pixels: Annotated[int, Interval(ge=1, le=10**9)] | None = None
    """Most pixels of a picture."""
    seconds: Seconds | None = None
    """How long a job may run."""
    keep_seconds: Seconds = 3600.0
    """How long an ended job, with its result, can be asked for by its id."""
