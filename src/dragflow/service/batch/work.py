"""One item of a batch: read where the manifest is, edited wherever a model is loaded."""

from __future__ import annotations

import hashlib
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from dragflow.core.config import EditConfig
from dragflow.core.errors import DragFlowError, UserError
from dragflow.core.models import ModelOptions
from dragflow.core.task import Instruction
from dragflow.files.digests import digest
from dragflow.files.instructions import load_instruction
from dragflow.files.pictures import decode_image, read_picture
from dragflow.files.presets import configure
from dragflow.files.texts import check_inside
from dragflow.service.batch.manifest import Item, picture_of
from dragflow.service.crew import raise_machine_fault
from dragflow.service.jobs import plan
from dragflow.service.limits import Limits
from dragflow.service.pool import ModelPool
from dragflow.service.run import Service

_INVERSION_BYTES = 2 * 2**30
"""Most bytes of inverted pictures that a process keeps, for further items of the same picture."""
_KEPT_SECONDS = 0.1
"""How long a service keeps a result that it was asked for."""


@dataclass(frozen=True)
class Settings:
    """What the items of a batch share; an item says what is otherwise for it, but never the model."""

    model: ModelOptions
    preset: str
    """Name of a preset, or path of a .toml file, of items that name none."""
    changes: tuple[str, ...] = ()
    """Changes of every item's preset as "key=value"; those of an item come after them."""
    few: str | None = None
    """See `configure`."""


@dataclass(frozen=True, eq=False)
class Request:
    """An item with all that its files say, so that no file is needed where it is edited."""

    name: str
    place: str
    shot: str
    """Path of the picture, for errors."""
    picture: bytes
    """Of its file."""
    instruction: Instruction
    """With every mask as pixels."""
    config: EditConfig
    model: ModelOptions

    @property
    def picture_sha256(self) -> str:
        """Digest of the picture's file, which items that share an inversion have in common."""
        return hashlib.sha256(self.picture).hexdigest()

    @property
    def sha256(self) -> str:
        """Digest of what is asked."""
        return digest(self.picture_sha256, self.instruction, self.config)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of an item."""

    name: str
    png: bytes | None = None
    """The result with its recipe; None if there is none."""
    error: str = ""
    seconds: float = 0.0


def read_request(item: Item, folder: Path, root: Path, settings: Settings) -> Request:
    """Read the files of an item.

    Args:
        item: what is asked for.
        folder: what its paths are relative to.
        root: nothing outside of this folder is read.
        settings: what all items share.

    Raises:
        UserError: a line that cannot be read, a file that is missing, broken or elsewhere, or a setting that breaks
            a rule.
    """
    if item.problem:
        raise UserError(item.problem)
    shot, asked = folder / picture_of(item), folder / item.instruction
    for path in (shot, asked):
        check_inside(path, root)
    instruction = load_instruction(asked, root)
    if item.prompt is not None:
        instruction = replace(instruction, prompt=item.prompt)
    seed = [] if item.seed is None else [f"seed={item.seed}"]
    changes = [*settings.changes, *item.settings, *seed]
    config = configure(_preset(item, folder, root) or settings.preset, changes, few=settings.few)
    return Request(item.name, item.place, picture_of(item), read_picture(shot), instruction, config, settings.model)


def _preset(item: Item, folder: Path, root: Path) -> str | None:
    if item.preset is None or not item.preset.endswith(".toml"):
        return item.preset
    check_inside(folder / item.preset, root)
    return str(folder / item.preset)


def load(model: ModelOptions, device: str | None) -> None:
    """Load the model before the first item, so that what is wrong with it is said once.

    Raises:
        UserError: see `Editor.load`.
    """
    _pool().get(model.on(device))


def edit(request: Request, device: str | None) -> Outcome:
    """Edit one item; an error is its outcome, and costs no other item anything.

    Raises:
        MachineFault: this process can edit nothing any more.
    """
    begun = time.monotonic()
    try:
        source = decode_image(request.picture, request.shot)
        job = plan(source, request.instruction, request.config, request.model.on(device))
        handle = _service().submit(job)
        try:
            result = handle.result()
        except KeyboardInterrupt:
            handle.cancel()
            with suppress(DragFlowError):
                handle.result()  # within one call of the model, which is free then
            raise
        return Outcome(request.name, result.png(), seconds=time.monotonic() - begun)
    except Exception as error:
        raise_machine_fault(error)
        return Outcome(request.name, error=described(error), seconds=time.monotonic() - begun)


def lost(request: Request, why: str) -> Outcome:
    """The outcome of an item that no process survived."""
    return Outcome(request.name, error=why)


def described(error: Exception) -> str:
    """The sentence of an error; of one that nobody expected, with its kind."""
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"


@cache
def _pool() -> ModelPool:
    """The model of this process."""
    return ModelPool(inversion_bytes=_INVERSION_BYTES)


@cache
def _service() -> Service:
    """Where the edits of this process are made."""
    return Service(_pool(), Limits(keep_seconds=_KEPT_SECONDS))
