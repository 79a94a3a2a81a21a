"""Telling people how work on many samples goes, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dragflow.cli.terminal import complain, console, say
from dragflow.core.text import one_line

if TYPE_CHECKING:
    from dragflow.bench.runs import RunRecord

T = TypeVar("T")


def follow(records: Iterator[RunRecord], total: int, out: Path) -> int:
    """Show progress, and at the end what failed; gives the exit code."""
    found = list(track(records, total, str(out)))
    counts = {status: [r for r in found if r.status == status] for status in ("done", "failed", "unreadable")}
    for status in ("failed", "unreadable"):
        for record in counts[status]:
            complain(one_line(f"{status}: {record.sample}: {record.error}"))
    say(f"{out}: " + ", ".join(f"{len(records)} {status}" for status, records in counts.items()))
    return 0 if counts["done"] else 1


def track(items: Iterable[T], total: int, title: str) -> Iterator[T]:
    """The items, with a progress bar on stderr."""
    from rich.progress import track

    yield from track(items, title, total, console=console(stderr=True))
