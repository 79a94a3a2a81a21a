"""What is at a place of the picture: the thing under points."""

from __future__ import annotations

from dragflow.select.chosen import BUILT_IN, Selector, selector
from dragflow.select.thing import select_at

__all__ = ["BUILT_IN", "Selector", "select_at", "selector"]
