"""The parts of dragflow that nodes and routes share."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dragflow.files.pictures import SourceImage
    from dragflow.service import Canvas

    from .tensors import Picture


@cache
def canvas() -> Canvas:
    """What answers a canvas: with SAM 2.1 where its weights are."""
    from dragflow.select import selector
    from dragflow.service import Canvas

    return Canvas(selector())


def source(picture: Picture) -> SourceImage:
    """A picture of an IMAGE as the library takes it.

    Raises:
        UserError: it is too small or too large.
    """
    from dragflow.files.pictures import as_source

    return as_source(picture)
