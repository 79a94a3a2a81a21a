"""Manifests: JSON lines, a CSV table or a folder of samples, to items that each have a name of their own."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from dragflow.core.checked import as_path
from dragflow.core.errors import UserError, shown
from dragflow.core.fields import Name, Prompt, Seed
from dragflow.files import schema
from dragflow.files.red_bench import IMAGE, INSTRUCTION
from dragflow.files.texts import is_folder, read_text

KEYS = ("image", "instruction", "prompt", "preset", "seed", "config")
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".avif", ".heic", ".heif")
"""Names of pictures that a folder may hold, each beside its instruction."""
_MOST_ITEMS = 1_000_000
_STEM, _DIGITS = 60, 12
"""Characters of an item's name that come from its picture, and hexadecimal digits of its digest."""


class Entry(schema.Strict):
    """One line of a manifest; paths are relative to it."""

    image: Name | None = Field(None, description="the picture; that of the sample if absent")
    instruction: Name = Field(description="an instruction file, or a ReD Bench folder")
    prompt: Prompt | None = Field(None, description="what the picture shows, instead of the instruction's")
    preset: Name | None = Field(None, description="a preset, or a .toml file")
    seed: Seed | None = None
    config: Annotated[dict[str, Any], Field(max_length=100)] | None = Field(
        None, description='changed settings, as in {"optimise.refining": 20}'
    )


_ADAPTER = TypeAdapter(Entry)


@dataclass(frozen=True)
class Item:
    """One edit that a manifest asks for."""

    name: str
    """Of its result, without the ending: the same wherever in the manifest the item is, and of no other item."""
    place: str
    """Where it is asked for, for people: a line, or a folder."""
    image: str | None
    """Path of the picture, as it was written; None: that of the sample."""
    instruction: str
    prompt: str | None = None
    preset: str | None = None
    seed: int | None = None
    settings: tuple[str, ...] = ()
    """Changes of the configuration as "key=value"."""
    problem: str = ""
    """Why it cannot be read; "" of any other."""


@dataclass(frozen=True)
class Listing:
    """What a manifest asks for."""

    folder: Path
    """What its paths are relative to."""
    items: tuple[Item, ...]
    """Those of one picture one after the other."""
    repeated: tuple[str, ...] = ()
    """Where something is asked for again, which is done once."""


def read_manifest(path: Path, *, skip: Path | None = None, growing: bool = False) -> Listing:
    """What a manifest asks for; a line of it that cannot be read is an item with a `problem`.

    Args:
        path: JSON lines (.jsonl), a table (.csv), or a folder.
        skip: a folder in it that is not looked into, as that of the results.
        growing: leave out a last line that does not end yet.

    Raises:
        UserError: no such file, another kind of file, a table with other columns.
    """
    path = as_path(path)
    if is_folder(path):
        return _listing(path, _in_folder(path, skip))
    read = {".jsonl": _json_lines, ".csv": _table}.get(path.suffix.lower())
    if read is None:
        raise UserError(f"manifest {path} is neither a folder nor a .jsonl or .csv file: name one of these")
    text = read_text(path, "manifest").removeprefix("\ufeff")
    return _listing(path.parent, read(text[: text.rfind("\n") + 1] if growing else text, path))


def _listing(folder: Path, found: Iterable[Item]) -> Listing:
    items: dict[str, Item] = {}
    repeated: list[str] = []
    for item in found:
        if item.name in items:
            repeated.append(f"{item.place} repeats {items[item.name].place}")
        items.setdefault(item.name, item)
        if len(items) > _MOST_ITEMS:
            raise UserError(f"more than {_MOST_ITEMS:,} items are asked for in {folder}: split the manifest")
    pictures: dict[str, list[Item]] = {}
    for item in items.values():
        pictures.setdefault(picture_of(item), []).append(item)
    return Listing(folder, tuple(item for group in pictures.values() for item in group), tuple(repeated))


def picture_of(item: Item) -> str:
    """The path of an item's picture, as it was written."""
    return item.image or f"{item.instruction}/{IMAGE}"


def _json_lines(text: str, path: Path) -> Iterator[Item]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield _item(f"line {number}", line, lambda line=line: schema.load_json(line, "the line"))


def _table(text: str, path: Path) -> Iterator[Item]:
    csv.field_size_limit(2**24)
    rows = csv.reader(io.StringIO(text), strict=True)
    try:
        columns = [name.strip() for name in next(rows, [])]
        unknown = [name for name in columns if name not in KEYS]
        if unknown or "instruction" not in columns or len(set(columns)) < len(columns):
            raise UserError(
                f"manifest {path} begins with the columns {shown(','.join(columns))}: it needs `instruction`, and may "
                f"have each of {', '.join(KEYS)} once"
            )
        for row in rows:
            if any(cell.strip() for cell in row):
                place = f"line {rows.line_num}"
                yield _item(place, "\0".join(row), lambda row=row: _cells(columns, row))
    except csv.Error as error:
        raise UserError(f"manifest {path} line {rows.line_num} is not CSV: {error}") from error


def _cells(columns: list[str], row: list[str]) -> dict[str, Any]:
    if len(row) > len(columns):
        raise UserError(f"the line has {len(row)} cells under {len(columns)} columns: quote what has a comma")
    given: dict[str, Any] = {name: cell for name, cell in zip(columns, row, strict=False) if cell.strip()}
    if "seed" in given:
        digits = given["seed"].strip()
        given["seed"] = int(digits) if re.fullmatch(r"[0-9]{1,19}", digits) else digits
    if "config" in given:
        given["config"] = schema.load_json(given["config"], "config")
    return given


def _item(place: str, written: str, read: Any) -> Item:
    """The item of a line, which `read` takes apart; an unreadable one is named by how it is written."""
    try:
        entry = schema.parse(_ADAPTER, read(), "the line")
        settings = tuple(_settings(entry.config or {}))
    except (UserError, RecursionError) as error:
        return Item(_named("line", written), place, None, "", problem=str(error))
    fields = {key: value for key, value in entry if key != "config"}
    source = entry.image or entry.instruction
    return Item(_named(source, json.dumps(fields | {"config": settings})), place, **fields, settings=settings)


def _settings(config: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Settings as `override` takes them, from nested tables or dotted keys."""
    for key, value in config.items():
        if isinstance(value, dict):
            yield from _settings(value, f"{prefix}{key}.")
        elif "=" in key or "\n" in key:
            raise UserError(f"config: {shown(key)} is not a known key: see `dragflow presets paper`")
        else:
            yield f"{prefix}{key}={json.dumps(value, ensure_ascii=False)}"


def _in_folder(folder: Path, skip: Path | None) -> Iterator[Item]:
    """ReD Bench samples, and pictures beside an instruction of the same name, at any depth; links are not followed."""
    skipped = None if skip is None else skip.resolve()
    for root, folders, files in os.walk(folder):
        here = Path(root)
        folders[:] = sorted(name for name in folders if name[0] != "." and (here / name).resolve() != skipped)
        if INSTRUCTION in files:
            folders.clear()  # what is in a sample is no sample
            yield _of_folder(folder, here, None)
            continue
        pictures = [name for name in sorted(files) if name[0] != "." and Path(name).suffix.lower() in PICTURES]
        for name in pictures:
            if f"{Path(name).stem}.json" in files:
                yield _of_folder(folder, (here / name).with_suffix(".json"), here / name)


def _of_folder(folder: Path, instruction: Path, image: Path | None) -> Item:
    asked = instruction.relative_to(folder).as_posix()
    shot = None if image is None else image.relative_to(folder).as_posix()
    source = shot or (folder.name if asked == "." else asked)
    return Item(_named(source, json.dumps([shot, asked])), source, shot, asked)


def _named(source: str, written: str) -> str:
    """A name that every system takes for a file's: what tells people which it is, and what makes it its own."""
    stem = re.sub(r"[^A-Za-z0-9_]+", "-", re.sub(r"\.[A-Za-z0-9]{1,5}$", "", source.removesuffix(f"/{IMAGE}")))
    digest = hashlib.sha256(written.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
    return f"{stem[-_STEM:].strip('-') or 'item'}-{digest}"
