"""Running a batch into a folder: what is there and still holds is not made again."""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

from pydantic import TypeAdapter

from dragflow.core.errors import UserError
from dragflow.core.models import ModelOptions
from dragflow.files.atomic import write_bytes, write_text
from dragflow.files.logs import drop_half_line, drop_parts, locked
from dragflow.files.models import settled_model
from dragflow.files.outputs import check_folder
from dragflow.service.batch.manifest import Item, picture_of
from dragflow.service.batch.records import (
    HEADER,
    RECORDS,
    BatchHeader,
    BatchRecord,
    add_record,
    is_intact,
    read_header,
    read_records,
    result_path,
)
from dragflow.service.batch.work import Outcome, Request, Settings, described, edit, load, lost, read_request
from dragflow.service.crew import Prepare
from dragflow.service.executors import Executor

_log = logging.getLogger(__name__)


@dataclass
class Batch:
    """A folder that is being filled, by this process alone."""

    out: Path
    settings: Settings
    records: dict[str, BatchRecord]
    """By the item's name."""

    @cached_property
    def _load(self) -> Prepare:
        """Loads the model, once in each process that edits."""
        return partial(load, self.settings.model)

    def waiting(self, items: Sequence[Item], folder: Path, root: Path, *, retry: bool = False) -> tuple[Item, ...]:
        """The items that must be made: new ones, changed ones, those whose result is missing; with `retry` failed ones.

        Args:
            items: of a manifest.
            folder: what their paths are relative to.
            root: nothing outside of this folder is read.
            retry: try again what failed.
        """
        return tuple(item for item in items if not self._holds(item, folder, root, retry=retry))

    def run(self, items: Sequence[Item], folder: Path, root: Path, executor: Executor) -> Iterator[BatchRecord]:
        """Make items; each record is on the disk, and its result before it, when it is yielded.

        Args:
            items: those that are `waiting`.
            folder: what their paths are relative to.
            root: nothing outside of this folder is read.
            executor: runs the edits.

        Raises:
            UserError: the model cannot be loaded, or a result cannot be written.
        """
        asked = {item.name: item for item in items}
        digests: dict[str, str] = {}
        unreadable = deque[BatchRecord]()

        def requests() -> Iterator[Request]:
            for item in items:
                try:
                    request = read_request(item, folder, root, self.settings)
                    digests[item.name] = request.sha256
                except Exception as error:  # no item may cost the others anything
                    unreadable.append(self._noted(_record(item, Outcome(item.name, error=described(error)))))
                    continue
                yield request

        def picture(request: Request) -> str:
            return request.picture_sha256

        for outcome in executor.run(edit, requests(), group=picture, lost=lost, prepare=self._load):
            yield from _drained(unreadable)
            yield self._noted(_record(asked[outcome.name], outcome, digests.pop(outcome.name)), outcome.png)
        yield from _drained(unreadable)

    def _holds(self, item: Item, folder: Path, root: Path, *, retry: bool) -> bool:
        record = self.records.get(item.name)
        if record is None or (record.status == "failed" and retry):
            return False
        if record.status == "done" and not is_intact(self.out, record):
            _log.warning("the result %s in %s is missing or damaged, and is made again", record.output, self.out)
            return False
        try:
            asked = read_request(item, folder, root, self.settings).sha256
        except Exception:  # what was made of it once is kept, whatever has become of its files
            return True
        return asked == record.request_sha256

    def _noted(self, record: BatchRecord, png: bytes | None = None) -> BatchRecord:
        if png is not None:
            write_bytes(result_path(self.out, record.item), png)
        add_record(self.out, record)
        self.records[record.item] = record
        return record


@contextmanager
def opened(out: Path, settings: Settings) -> Iterator[Batch]:
    """Make the folder of a batch, or go on with it; no other process may write to it meanwhile.

    Raises:
        UserError: something else is in it, another process is at it, or it cannot be written.
    """
    settings = replace(settings, model=settled_model(settings.model))  # short names mean nothing on another machine
    header = BatchHeader(_weights(settings.model), settings.preset, settings.changes)
    check_folder(out)
    try:
        out.mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(f"folder {out} cannot be made ({error.strerror}): name another one") from error
    with locked(out):
        if (out / HEADER).exists():
            _check_same(out, header)
        elif any(not path.name.startswith(".") for path in out.iterdir()):
            raise UserError(f"{out} is not empty and holds no batch: name a new folder")
        else:
            write_text(out / HEADER, TypeAdapter(BatchHeader).dump_json(header, indent=1).decode() + "\n")
        drop_half_line(out / RECORDS)
        drop_parts(out)
        yield Batch(out, settings, read_records(out))


def _check_same(out: Path, header: BatchHeader) -> None:
    there, here = vars(read_header(out)), vars(header)
    for name, value in here.items():
        if there[name] != value:
            raise UserError(
                f"{out} holds another batch: its {name} is {_shown(there[name])}, here it is {_shown(value)}; name a "
                "new folder, or give the options that it was begun with"
            )


def _shown(value: object) -> str:
    if isinstance(value, ModelOptions):
        changed = {name: given for name, given in vars(value).items() if given != getattr(ModelOptions, name)}
        return ", ".join(f"{name}={given}" for name, given in changed.items())
    return f"{value!r:.60}"


def _weights(model: ModelOptions) -> ModelOptions:
    """The options that say which weights a model has."""
    return replace(model, device=None, offload=False, checkpointing=None)


def _record(item: Item, outcome: Outcome, digest: str = "") -> BatchRecord:
    path = result_path(Path(), item.name).name
    record = BatchRecord(
        item.name,
        "failed",
        _sayable(outcome.error),
        place=_sayable(item.place),
        image="" if item.problem else _sayable(picture_of(item)),
        instruction=_sayable(item.instruction),
        seconds=round(outcome.seconds, 3),
        request_sha256=digest,
    )
    if outcome.png is None:
        return record
    return replace(record, status="done", output=path, picture_sha256=hashlib.sha256(outcome.png).hexdigest())


def _sayable(text: str) -> str:
    """A text without what a file's name may hold and no text can."""
    return text.encode(errors="replace").decode()


def _drained(records: deque[BatchRecord]) -> Iterator[BatchRecord]:
    while records:
        yield records.popleft()
