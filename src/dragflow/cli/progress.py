"""Telling people (a progress bar) or programs (one JSON object a line) how an edit or a training goes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

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


def silence_libraries() -> None:
    """Progress bars and notes of the model libraries would tear our own output apart."""
    for name in ("torchao", "torch.utils._pytree"):
        logging.getLogger(name).setLevel(logging.ERROR)
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    diffusers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
