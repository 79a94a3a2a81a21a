"""`dragflow batch`: every edit of a manifest, with progress, and a summary at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval
from cyclopts import Parameter

from dragflow.cli.options import ConfigArgs, ConfigOptions, ModelArgs, Output
from dragflow.cli.spelling import spelled
from dragflow.cli.terminal import complain, console, emit, say
from dragflow.core.errors import Cancelled, UserError
from dragflow.core.fields import AtLeastOne
from dragflow.core.models import ModelOptions
from dragflow.core.text import one_line

if TYPE_CHECKING:
    from dragflow.service.batch import Batch, BatchRecord, Item, Listing, Settings
    from dragflow.service.executors import Executor

SOME_FAILED = 1
"""Exit code of a batch whose other items are done."""


def batch(
    manifest: Annotated[Path, Parameter(name="MANIFEST")],
    /,
    *,
    output: Annotated[Path, Output],
    root: Path | None = None,
    config: ConfigArgs = ConfigOptions(),
    model: ModelArgs = ModelOptions(),
    devices: tuple[str, ...] = (),
    processes: AtLeastOne | None = None,
    ray: str | None = None,
    item_timeout: Annotated[float, Interval(ge=0.1, le=604_800)] | None = None,
    retry: bool = False,
    watch: bool = False,
    json: bool = False,
) -> int:
    """Edit every picture of a manifest. A batch that was stopped is resumed by the same command.

    Parameters
    ----------
    manifest
        JSON lines (.jsonl) or a table (.csv) with image, instruction, prompt, preset, seed, config; or a folder of ReD
        Bench samples, and of pictures beside an instruction of the same name.
    output
        Folder of the results.
    root
        Files may be anywhere in this folder. [default: the manifest's own]
    devices
        One process on each of these devices. Repeatable.
    processes
        Processes of one thread each, on the CPU. [default: 1; with --ray all that the cluster has room for]
    ray
        Address of a Ray cluster whose nodes do the work; auto: one that runs here, or is started here.
    item_timeout
        Seconds after which an item is given up, and the process that hangs on it ended.
    retry
        Try again what failed.
    watch
        Wait for more items, until Ctrl-C.
    json
        The record of each item as a JSON line on stdout.
    """
    from dragflow.backbones.quiet import silence_libraries
    from dragflow.service.batch import opened, read_manifest
    from dragflow.service.executors import executor

    if root is not None and not root.is_dir():
        raise UserError(f"`root` is {root}, which is not a folder: name one that holds every file of the manifest")
    settings = _settings(config, model)
    read_manifest(manifest, skip=output)  # what is wrong with it comes before anything is made
    silence_libraries()
    with (
        opened(output, settings) as folder,
        executor(devices, processes, silence_libraries, ray, item_timeout) as workers,
    ):
        run = _Run(folder, manifest, root, workers, as_json=json)
        try:
            (run.watch if watch else run.once)(retry=retry)
        except KeyboardInterrupt as interrupt:
            raise Cancelled(f"{run.counts()}; the same command resumes") from interrupt
        finally:
            run.summarise()
        return run.report()


class _Run:
    """One run of the command, and what it tells."""

    def __init__(self, batch: Batch, manifest: Path, root: Path | None, workers: Executor, *, as_json: bool) -> None:
        self._batch, self._manifest, self._root, self._workers = batch, manifest, root, workers
        self._as_json = as_json
        self._items: tuple[Item, ...] = ()
        self._made, self._seconds = 0, 0.0

    def once(self, *, retry: bool) -> None:
        """Make what is missing."""
        from dragflow.service.batch import read_manifest

        listing = read_manifest(self._manifest, skip=self._batch.out)
        if not listing.items:
            raise UserError(f"{self._manifest} asks for nothing: give at least one item, or wait for some with `watch`")
        for text in listing.repeated:
            complain(one_line(f"{text}: done once"))
        self._make(listing, listing.items, retry=retry)

    def watch(self, *, retry: bool) -> None:
        """Make what comes, until Ctrl-C."""
        from dragflow.service.batch import Watched

        if not self._as_json:
            say(f"waiting for items in {self._manifest}; Ctrl-C ends")
        for listing, new in Watched(self._manifest, self._root, self._batch.out).looks():
            if new:
                self._make(listing, new, retry=retry)
                self.summarise()

    def _make(self, listing: Listing, items: tuple[Item, ...], *, retry: bool) -> None:
        self._items = listing.items
        root = self._root or listing.folder
        begun, before = time.monotonic(), self._seconds
        waiting = self._batch.waiting(items, listing.folder, root, retry=retry)
        with _bar(len(items), len(items) - len(waiting), shown=not self._as_json) as ended:
            for record in self._batch.run(waiting, listing.folder, root, self._workers):
                self._made, self._seconds = self._made + 1, before + time.monotonic() - begun
                ended(record)
                if self._as_json:
                    emit(asdict(record))

    def summarise(self) -> None:
        """Write the page."""
        from dragflow.service.batch import write_page

        records = self._records()
        rate = f"this run: {self._made} items, {60 * self._made / self._seconds:.1f} a minute" if self._made else ""
        write_page(self._batch.out, records, self._manifest.resolve().name, len(self._items) - len(records), rate)

    def counts(self) -> str:
        """What has become of the items, in words."""
        records = self._records()
        done = sum(record.status == "done" for record in records)
        waiting = len(self._items) - len(records)
        return f"{done} done, {len(records) - done} failed" + (f", {waiting} waiting" if waiting else "")

    def report(self) -> int:
        """Tell what failed; gives the exit code."""
        failed = [record for record in self._records() if record.status == "failed"]
        for record in failed:
            complain(one_line(f"failed: {record.place}: {spelled(record.error)}"))
        if not self._as_json:
            say(f"{self._batch.out}: {self.counts()}")
        return SOME_FAILED if failed else 0

    def _records(self) -> list[BatchRecord]:
        known = self._batch.records
        return [known[item.name] for item in self._items if item.name in known]


def _settings(config: ConfigOptions, model: ModelOptions) -> Settings:
    from dragflow.backbones.usual import preset_of_few_steps, usual_preset
    from dragflow.service.batch import Settings

    config.config(model)  # so that what is wrong with it is said once, not of every item
    seed = [] if config.seed is None else [f"seed={config.seed}"]
    return Settings(model, config.preset or usual_preset(model), (*config.set, *seed), preset_of_few_steps(model))


@contextmanager
def _bar(total: int, done: int, *, shown: bool) -> Iterator[Callable[[BatchRecord], None]]:
    """A progress bar with rate and time left on stderr; gives what is to be called with each record."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[last]}"),
    )
    begun, failed, made = time.monotonic(), 0, 0
    with Progress(*columns, console=console(stderr=True), disable=not shown) as progress:
        bar = progress.add_task("", total=total, completed=done, rate="", last="")

        def ended(record: BatchRecord) -> None:
            nonlocal failed, made
            made, failed = made + 1, failed + (record.status == "failed")
            rate = f"{60 * made / (time.monotonic() - begun):.1f} a minute" + (f", {failed} failed" if failed else "")
            progress.update(bar, advance=1, rate=rate, last=record.place)

        yield ended
