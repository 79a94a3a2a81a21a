"""The summary of a batch: one page that needs nothing but the results beside it."""

from __future__ import annotations

import base64
import io
import statistics
from collections.abc import Sequence
from functools import lru_cache
from html import escape
from pathlib import Path
from urllib.parse import quote

from dragflow.core.errors import UserError
from dragflow.core.text import one_line
from dragflow.files.atomic import write_text
from dragflow.files.pictures import open_checked, upright
from dragflow.service.batch.records import PAGE, BatchRecord, result_path

_SIDE = 192
_MOST_THUMBNAILS = 500
"""Results with a thumbnail; a page with more would take long to make and to open."""
_MOST_ROWS = 20_000

_STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem }
table { border-collapse: collapse } td, th { text-align: left; padding: .25rem .75rem; vertical-align: top }
ul { display: grid; grid-template-columns: repeat(auto-fill, minmax(12.5rem, 1fr)); gap: 1rem; padding: 0 }
li { list-style: none; overflow-wrap: anywhere } img { max-width: 100%; display: block } small { opacity: .75 }
"""


def write_page(folder: Path, records: Sequence[BatchRecord], title: str, waiting: int = 0, rate: str = "") -> None:
    """Write the summary of a batch, replacing an older one.

    Args:
        folder: of the batch.
        records: of the items that have ended, in the order of the page.
        title: what was run.
        waiting: items that have not ended.
        rate: how fast this run was, in words.

    Raises:
        UserError: it cannot be written.
    """
    done = [record for record in records if record.status == "done"]
    failed = [record for record in records if record.status == "failed"]
    counts = [f"{len(done)} done", f"{len(failed)} failed", *([f"{waiting} waiting"] if waiting else [])]
    pace = [f"median {statistics.median(one.seconds for one in done):.1f} s an item"] if done else []
    parts = [
        f"<h1>{escape(one_line(title))}</h1>",
        f"<p>{escape(', '.join(counts))}</p>",
        f"<p>{escape(', '.join([*pace, *([rate] if rate else [])]))}</p>",
        *(_failures(failed) if failed else []),
        *(_results(folder, done) if done else []),
    ]
    head = f'<meta charset="utf-8"><title>{escape(one_line(title))}</title><style>{_STYLE}</style>'
    write_text(folder / PAGE, f'<!doctype html>\n<html lang="en">{head}\n' + "\n".join(parts) + "\n</html>\n")


def _failures(failed: Sequence[BatchRecord]) -> list[str]:
    rows = [
        f"<tr><td>{escape(record.place)}</td><td>{escape(record.image)}</td><td>{escape(one_line(record.error))}</td>"
        for record in failed[:_MOST_ROWS]
    ]
    head = "<tr><th>where</th><th>picture</th><th>why</th>"
    return ["<h2>Failed</h2>", "<table>", head, *rows, "</table>", *_more(len(failed))]


def _results(folder: Path, done: Sequence[BatchRecord]) -> list[str]:
    parts = ["<h2>Done</h2>", "<ul>"]
    for number, record in enumerate(done[:_MOST_ROWS]):
        path = result_path(folder, record.item)
        picture = _thumbnail(path, record.picture_sha256) if number < _MOST_THUMBNAILS else None
        shown = escape(record.item) if picture is None else f'<img alt="{escape(record.item)}" src="{picture}">'
        told = f"{escape(record.place)}: {escape(record.image)}, {record.seconds:.1f} s"
        parts.append(f'<li><a href="{quote(path.name)}">{shown}</a><small>{told}</small>')
    return [*parts, "</ul>", *_more(len(done))]


def _more(count: int) -> list[str]:
    return [f"<p>and {count - _MOST_ROWS:,} more, which batch.jsonl has</p>"] if count > _MOST_ROWS else []


@lru_cache(maxsize=_MOST_THUMBNAILS)
def _thumbnail(path: Path, sha256: str) -> str | None:
    """A small copy of a result as a data address; None where it cannot be read."""
    try:
        image = upright(open_checked(path, deep=True), path).convert("RGBA")
    except UserError:
        return None
    image.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=75)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
