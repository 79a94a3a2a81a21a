"""What a sweep found for a model's weights: a TOML file beside the user's configuration, named by their fingerprint."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import MinLen
from pydantic import TypeAdapter

from dragflow.core.errors import UserError, shown
from dragflow.core.fields import STRICT, Name
from dragflow.files import schema
from dragflow.files.atomic import write_text
from dragflow.files.cache import config_folder
from dragflow.files.texts import read_text
from dragflow.files.toml import toml_value

Names = Annotated[tuple[Name, ...], MinLen(1)]
Interval = tuple[float, float, float]
"""A value, and its 95 % confidence interval from low to high."""


@dataclass(frozen=True)
class Row:
    """One tap or site alone, or several together, over the scenes that it was tried on."""

    __pydantic_config__ = STRICT

    name: str
    scenes: int
    """On which it was measured."""
    failed: int
    """On which the edit failed."""
    landing: float | None = None
    """Median distance from where the object should be, in pixels."""
    area: float | None = None
    """Mean PSNR to the true picture in the editable area, in dB, as the next two."""
    target: float | None = None
    vacated: float | None = None
    background: float | None = None
    """Mean PSNR to the source outside of the area, in dB."""
    landing_gain: Interval | None = None
    """Median of the differences to what it is compared with, on the same scenes; negative is nearer."""
    area_gain: Interval | None = None
    """Mean of the differences in the area, in dB; None of fewer than two scenes, as above."""


@dataclass(frozen=True)
class Found:
    """What was measured of taps or of sites, and what was chosen."""

    __pydantic_config__ = STRICT

    chosen: Names
    """What is used wherever these weights are loaded."""
    own: Names
    """What the model has by itself."""
    reason: str
    """Why this was chosen."""
    data: Name
    preset: Name
    settings: tuple[str, ...]
    versions: dict[str, str]
    rows: tuple[Row, ...]
    """Each alone, on the scenes that were chosen by; `none`, where nothing is dragged or injected, and `own` first."""
    confirmed: tuple[Row, ...] = ()
    """The sets that were compared, on scenes that nothing was chosen by; the gain is over `own`."""


@dataclass(frozen=True)
class Sweep:
    """The sweep of a model."""

    __pydantic_config__ = STRICT

    version: Literal[1]
    model: Name
    fingerprint: Name
    """Of the model's files, without LoRAs and bridges."""
    taps: Found | None = None
    """None: not swept, the model's own are used. So are the sites."""
    sites: Found | None = None


def sweep_path(fingerprint: str) -> Path:
    """Where the sweep of a model with this fingerprint is, if there is one."""
    return config_folder("sweeps", f"{fingerprint}.toml")


def any_sweeps() -> bool:
    """Whether any model was swept."""
    return any(config_folder("sweeps").glob("*.toml"))


def read_sweep(fingerprint: str) -> Sweep | None:
    """The sweep of a model; None if it was not swept.

    Raises:
        UserError: the file is damaged; names it, the key and the rule.
    """
    path = sweep_path(fingerprint)
    if not path.exists():
        return None
    try:
        data = schema.load_toml(read_text(path, "sweep"), f"sweep {path}")
        sweep = schema.parse(TypeAdapter(Sweep), data, f"sweep {path}")
        if sweep.fingerprint != fingerprint:
            raise UserError(
                f"sweep {path}: fingerprint: input should be that of its name, {fingerprint} "
                f"(given {shown(sweep.fingerprint)})"
            )
    except UserError as error:
        raise UserError(f"{error}; {mended(path)}") from error
    return sweep


def mended(path: Path) -> str:
    """What to do about a file that cannot be used."""
    return f"mend it, or delete {path.name} and sweep the model again"


def write_sweep(sweep: Sweep) -> Path:
    """Write a sweep where loading finds it; gives the place.

    Raises:
        UserError: it cannot be written.
    """
    path = sweep_path(sweep.fingerprint)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"folder {path.parent} cannot be made: {error.strerror}") from error
    write_text(path, dump_sweep(sweep))
    return path


def dump_sweep(sweep: Sweep) -> str:
    """A sweep as TOML."""
    first = [
        "# Made by `dragflow model sweep`, and used wherever these weights are loaded; without this file the model has",
        "# its own taps and K/V sites again.",
    ]
    return "\n".join([*first, *_table(sweep, "")]) + "\n"


def _table(value: Any, path: str) -> Iterator[str]:
    """The lines of a table: its plain keys, and after them the tables in it; what is None is left out."""
    entries = [(field.name, getattr(value, field.name)) for field in fields(value)]
    yield from (f"{key} = {toml_value(one)}" for key, one in entries if one is not None and not _is_table(one))
    for key, one in entries:
        place = f"{path}.{key}" if path else key
        if is_dataclass(one):
            yield from ("", f"[{place}]", *_table(one, place))
        elif isinstance(one, tuple) and _is_table(one):
            for row in one:
                yield from ("", f"[[{place}]]", *_table(row, place))


def _is_table(value: object) -> bool:
    return is_dataclass(value) or (isinstance(value, tuple) and bool(value) and is_dataclass(value[0]))
