"""Telling people (a progress bar) or programs (one JSON object a line) how an edit or a training goes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dragflow.backbones.quiet import silence_libraries
from dragflow.cli.terminal import console, emit
from dragflow.core.events import Event, Observer, Started, Stepped
from dragflow.service.events import to_data

_TITLES = {
    "encode": "Reading the picture",
    "train": "Training",
    "bridge": "Correcting",
    "invert": "Inverting",
    "start": "Preparing the start",
    "drag": "Dragging",
    "denoise": "Redrawing",
    "decode": "Finishing",
}


@contextmanager
def bar() -> Iterator[Observer]:
    """An observer that draws a progress bar with phase, step, loss and remaining time on stderr."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:<20}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[loss]}"),
    )
    with Progress(*columns, console=console(stderr=True)) as progress:

        def observe(event: Event) -> None:
            if isinstance(event, Started):
                for old in progress.task_ids:
                    progress.remove_task(old)
                progress.add_task(_TITLES[event.phase], total=event.total, loss="")
            elif isinstance(event, Stepped):
                loss = "" if event.loss is None else f"loss {event.loss:.4g}"
                progress.update(progress.task_ids[-1], completed=event.index, loss=loss)

        yield observe


@contextmanager
def shown(as_json: bool) -> Iterator[Observer]:
    """The observer that a command's options ask for; the model libraries are kept quiet."""
    silence_libraries()
    if as_json:
        yield json_lines
        return
    with bar() as observer:
        yield observer


def json_lines(event: Event) -> None:
    """An observer that writes each event as one JSON object on stdout."""
    emit(to_data(event))
