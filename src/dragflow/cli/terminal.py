"""Everything that the command line shows goes through here, where it loses what a terminal would obey."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dragflow.core.models import DOWNLOADS
from dragflow.core.text import lines

if TYPE_CHECKING:
    from rich.console import Console


def say(text: str = "") -> None:
    """A line on stdout, or several."""
    print(lines(text))


def complain(text: str = "") -> None:
    """A line on stderr, or several."""
    print(lines(text), file=sys.stderr)


def emit(data: dict[str, Any]) -> None:
    """One JSON object on its own line of stdout, at once; what is not ASCII is escaped, so nothing in it acts."""
    print(json.dumps(data), flush=True)


def console(*, stderr: bool = False) -> Console:
    """A console of rich on which text is text: no markup, no links, no codes but rich's own."""
    from rich.console import Console, RenderableType
    from rich.segment import Segment

    class Plain(Console):
        def render(self, renderable: RenderableType, options: Any = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else segment._replace(text=lines(segment.text))

    return Plain(stderr=stderr, markup=False, emoji=False, highlight=False, soft_wrap=False)


def show_log(*, verbose: bool) -> None:
    """Send the library's warnings and what it downloads to `complain`, one line each; with `verbose` all it tells."""
    log = logging.getLogger("dragflow")
    handler = next((one for one in log.handlers if isinstance(one, _Complaints)), None)
    if handler is None:
        log.addHandler(handler := _Complaints())
    handler.least = logging.INFO if verbose else logging.WARNING
    for name in (DOWNLOADS, *(["dragflow"] if verbose else [])):
        logging.getLogger(name).setLevel(logging.INFO)


def is_verbose() -> bool:
    """Whether all is shown that the library tells."""
    return any(
        isinstance(one, _Complaints) and one.least < logging.WARNING for one in logging.getLogger("dragflow").handlers
    )


class _Complaints(logging.Handler):
    least = logging.WARNING
    """Of what is shown, beside downloads."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= self.least or record.name == DOWNLOADS:
            complain(" ".join(record.getMessage().split()))
