"""What is at a place of the picture: the thing under points."""

from __future__ import annotations

from dragflow.select.thing import select_at

__all__ = ["select_at"]
