"""The file of a project: a zip with a table of contents, `project.json`, and a digest of each file in it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any, Literal

from annotated_types import Interval, Len, MaxLen
from pydantic import Field, TypeAdapter

from dragflow.core.errors import UserError, shown
from dragflow.core.fields import NotNegative
from dragflow.core.task import MOST_OPERATIONS
from dragflow.files import schema
from dragflow.files.zips import Bounds, Unzipped, unzipping, zipped

SUFFIX = ".dragflow"
MEDIA_TYPE = "application/vnd.dragflow.project+zip"
VERSION = 1
MOST_EDITS = 1000
MOST_BYTES = 2**31
"""Of all files of a project, unpacked."""

_CONTENTS = "project.json"
_KINDS = re.compile(
    r"project\.json|source(\.[a-z0-9]{1,5})?|edits/[1-9][0-9]{0,3}/(instruction\.json|result\.[a-z]{3,5})"
)
"""Paths of files that a project may hold."""
_LONGEST_TEXT = 64 * 2**20
"""Bytes of a JSON file; an instruction with masks of the largest picture has a third of them."""
LONGEST_NAME = 200


class FileEntry(schema.Strict):
    """A file of the zip."""

    file: Annotated[str, MaxLen(LONGEST_NAME)]
    sha256: schema.Sha256


class SourceEntry(FileEntry):
    """The picture that all begins with."""

    name: Annotated[str, Field(pattern=r"^[^/\\\x00-\x1f]{1,200}$")]


class EditEntry(schema.Strict):
    """One edit, in the order in which they were made."""

    parent: Annotated[int, Interval(ge=0, lt=MOST_EDITS)]
    result: FileEntry | None = None
    instruction: FileEntry | None = None
    names: Annotated[tuple[Annotated[str, MaxLen(LONGEST_NAME)], ...], Len(0, MOST_OPERATIONS)] = ()
    seconds: NotNegative | None = None


class ProjectFile(schema.Strict):
    """`project.json`."""

    version: Literal[1] = VERSION
    source: SourceEntry
    edits: Annotated[tuple[EditEntry, ...], Len(0, MOST_EDITS)] = ()


_ADAPTER = TypeAdapter(ProjectFile)


@dataclass(frozen=True)
class EditParts:
    """An edit as it is in the zip."""

    parent: int
    result: tuple[bytes, str] | None
    """Its bytes, and the suffix that says their format."""
    instruction: bytes | None
    names: tuple[str, ...]
    seconds: float | None


@dataclass(frozen=True)
class Parts:
    """What is in the zip."""

    source: bytes
    name: str
    """Of the source's file."""
    edits: Sequence[EditParts]


def pack(parts: Parts) -> bytes:
    """The bytes of a project's file; the same parts give the same bytes.

    Raises:
        UserError: more edits or bytes than are read again, or a name that is not.
    """
    files: dict[str, bytes] = {}

    def stored(path: str, data: bytes) -> dict[str, Any]:
        files[path] = data
        return {"file": path, "sha256": _digest(data)}

    suffix = Path(parts.name).suffix.lower()
    source = stored(f"source{suffix}" if _KINDS.fullmatch(f"source{suffix}") else "source", parts.source)
    edits: list[dict[str, Any]] = []
    for number, edit in enumerate(parts.edits, start=1):
        entry: dict[str, Any] = {"parent": edit.parent}
        if edit.result is not None:
            entry["result"] = stored(f"edits/{number}/result{edit.result[1]}", edit.result[0])
        if edit.instruction is not None:
            entry["instruction"] = stored(f"edits/{number}/instruction.json", edit.instruction)
        more = {"names": list(edit.names), "seconds": edit.seconds}
        edits.append(entry | {key: value for key, value in more.items() if value not in ([], None)})
    contents = {"version": VERSION, "source": source | {"name": parts.name}, "edits": edits}
    schema.parse(_ADAPTER, contents, "the project")
    total = sum(map(len, files.values()))
    if total > MOST_BYTES:
        raise UserError(f"the project holds {total} bytes, and at most {MOST_BYTES} are read: begin another one")
    text = json.dumps(contents, indent=2, ensure_ascii=False)
    pictures = tuple(path for path in files if not path.endswith(".json"))
    return zipped({_CONTENTS: f"{text}\n".encode()} | files, stored=pictures)


def unpack(source: Path | IO[bytes], name: str, most: int = MOST_BYTES) -> Parts:
    """What is in a project's file, each file of it with the digest that `project.json` states.

    Args:
        source: its path, or the file itself.
        name: of the project, for errors.
        most: bytes of all its files, unpacked.

    Raises:
        UserError: a zip that may do harm (see `unzipping`), files of no kind that a project holds, a version that is
            not read, a broken table of contents, or files that it does not name, or not with this content.
    """
    with unzipping(source, Bounds(2 * MOST_EDITS + 2, most), name) as file:
        for path, size in file.sizes.items():
            if not _KINDS.fullmatch(path):
                raise UserError(f"{name}: no project holds a file like {shown(path)}: the file is refused")
            if path.endswith(".json") and size > _LONGEST_TEXT:
                raise UserError(f"{name}: {path} has {size} bytes, and at most {_LONGEST_TEXT} are read")
        contents = _contents(file, name)
        left = set(file.sizes) - {_CONTENTS}

        def taken(entry: FileEntry | None) -> bytes | None:
            if entry is None:
                return None
            data = file.read(entry.file)
            if entry.file not in left:
                raise UserError(f"{name}: {_CONTENTS} names {entry.file} twice, or itself: the file is refused")
            left.remove(entry.file)
            if _digest(data) != entry.sha256:
                raise UserError(f"{name}: {entry.file} is not what {_CONTENTS} says, by its digest: get the file again")
            return data

        first = taken(contents.source)
        edits = [_edit(edit, taken(edit.instruction), taken(edit.result)) for edit in contents.edits]
        if left:
            raise UserError(f"{name}: {_CONTENTS} does not name {min(left)}: the file is refused")
    return Parts(first or b"", contents.source.name, edits)


def _edit(entry: EditEntry, instruction: bytes | None, result: bytes | None) -> EditParts:
    made = None if entry.result is None or result is None else (result, Path(entry.result.file).suffix)
    return EditParts(entry.parent, made, instruction, entry.names, entry.seconds)


def _contents(file: Unzipped, name: str) -> ProjectFile:
    source = f"{_CONTENTS} of {name}"
    data = schema.load_json(text_of(file.read(_CONTENTS), source), source)
    version = data.get("version") if isinstance(data, dict) else None
    if version != VERSION:
        raise UserError(f"{source} is of version {shown(version)}, and {VERSION} is read: use a newer dragflow")
    return schema.parse(_ADAPTER, data, source)


def text_of(data: bytes, source: str) -> str:
    """A text file of a project.

    Raises:
        UserError: not UTF-8; `source` says which.
    """
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{source} is not in UTF-8 ({error}): get the file again") from error


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
