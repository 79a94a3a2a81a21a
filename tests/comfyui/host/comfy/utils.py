"""The progress bar: notes what it shows."""

from typing import Any

SHOWN: list[tuple[int, int, Any]] = []
"""Value, total and preview."""


class ProgressBar:
    """A bar on the node that runs."""

    def __init__(self, total: int) -> None:
        self.total = total

    def update_absolute(self, value: int, total: int | None = None, preview: Any = None) -> None:
        SHOWN.append((value, total or self.total, preview))
