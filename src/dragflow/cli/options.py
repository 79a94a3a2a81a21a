"""Options that several commands share, said once: the command line is made from these types and their docstrings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter, default_name_transform

from dragflow.core.config import EditConfig
from dragflow.core.errors import UserError, unused
from dragflow.core.models import ModelOptions
from dragflow.core.task import AreaMode, MaskFile, PromptForm
from dragflow.intent.options import CANDIDATES

Hidden = Parameter(parse=False, show=False)
Signed = Parameter(allow_leading_hyphen=True)
FLAT = Parameter(name="*")
_TITLES = ("Operations", "Editable area", "Settings of the method", "Model", "What the drag means")
_GROUPS = {title: Group.create_ordered(title) for title in _TITLES}
"""Panels of the help, in this order."""
ASKING = Parameter(group=_GROUPS["What the drag means"])

ImageArg = Annotated[Path, Parameter(name="IMAGE", help="The picture: PNG, JPEG, WebP, TIFF, AVIF or HEIC.")]


def _model_option(field: str) -> str:
    """The name of an option of the model, without its dashes; `--swap` is one of a region."""
    return "swap-blocks" if field == "swap" else default_name_transform(field)


ModelArgs = Annotated[ModelOptions, Parameter(name="*", group=_GROUPS["Model"], name_transform=_model_option)]
Output = Parameter(alias="-o")
ForceArg = Annotated[bool, Parameter(name="--force", help="Replace outputs that exist.")]


@dataclass(frozen=True)
class OperationOptions:
    """Operations: each region begins one, and the options of a motion after it are its own."""

    mask: tuple[str, ...] = ()
    """Begin an operation: FILE, its painted pixels are the region. Repeatable."""
    mask_invert: bool | None = None
    """The mask's region is what is not painted; =false: it is meant as it is."""
    mask_label: tuple[str, ...] = ()
    """The mask's region is this one value, palette index or #rrggbb."""
    box: Annotated[tuple[str, ...], Signed] = ()
    """Begin an operation on a box: L,T,R,B."""
    polygon: Annotated[tuple[str, ...], Signed] = ()
    """Begin an operation on a closed outline: X,Y;X,Y;X,Y."""
    at: Annotated[tuple[str, ...], Signed] = ()
    """Of the mask take only the connected part at X,Y."""
    to: Annotated[tuple[str, ...], Signed] = ()
    """X,Y: where the region's centroid goes."""
    handle: Annotated[tuple[str, ...], Signed] = ()
    """X,Y: the point that --to is meant for, instead of the centroid."""
    about: Annotated[tuple[str, ...], Signed] = ()
    """X,Y: anchor of a rotation or a scaling."""
    degrees: Annotated[tuple[str, ...], Signed] = ()
    """Turn by so many degrees, clockwise as seen."""
    scale: Annotated[tuple[str, ...], Signed] = ()
    """Scale about the anchor: S, or SX,SY."""
    matrix: Annotated[tuple[str, ...], Signed] = ()
    """Any affine map, row by row: A,B,C,D,E,F."""
    copy: bool | None = None
    """The region stays, and appears where it goes as well; --to may then be given several times."""
    remove: bool | None = None
    """Take the region and its shadow out of the picture, and fill the hole."""
    swap: Annotated[tuple[str, ...], Signed] = ()
    """The region changes places, centroid to centroid, with this one: FILE, a mask, or a box L,T,R,B."""
    label: tuple[str, ...] = ()
    """relocation (a whole object, which leaves its place) or deformation (a part: what it belongs to stretches along),
    for any motion. Guessed from the picture without it."""
    cut: tuple[str, ...] = ()
    """How the region is cut out: hard (as painted), soft (with an estimated rim), or snap, which is the default (soft,
    after moving the rim to the object's edge where that is near)."""
    behind: tuple[str, ...] = ()
    """What stays in front of the region where it goes: auto (what is found there), nothing, or FILE, a mask. By
    default what the picture shows to be in front of it already."""
    ordered: Annotated[tuple[tuple[str, str], ...], Hidden] = ()
    """(option, value) in the order in which they were typed, which the parser alone would lose."""


OperationArgs = Annotated[OperationOptions, Parameter(name="*", group=_GROUPS["Operations"])]


_MODES: dict[str, AreaMode] = {"add:": "extend", "subtract:": "subtract"}


@dataclass(frozen=True)
class AreaOptions:
    """Where the picture may change."""

    area: str | None = None
    """MASK: where the picture may change (what is painted), instead of the derived area; add:MASK, there as well;
    subtract:MASK, not there."""
    extend_area: Path | None = None
    """The same as --area add:MASK."""
    area_invert: bool | None = None
    """The area is what is not painted; =false: it is meant as it is."""
    area_label: str | None = None
    """The area is this one value, palette index or #rrggbb."""
    protect: Path | None = None
    """MASK: what never changes, whatever the area is."""

    @property
    def mask(self) -> tuple[MaskFile, AreaMode] | None:
        """The mask that is given, and what it does to the derived area.

        Raises:
            UserError: two are, or none but a choice about it, or one without its file.
        """
        if self.area is not None and self.extend_area is not None:
            raise UserError("`area` and `extend_area` both say where the picture may change: give one of them")
        given = self.area if self.extend_area is None else f"add:{self.extend_area}"
        if given is not None:
            word, colon, path = given.partition(":")
            mode = _MODES.get(word + colon)
            if mode and not path:
                raise UserError(f"`area` is {given!r}, which names no mask: give {given}MASK")
            mask = MaskFile(Path(path if mode else given), invert=self.area_invert, label=self.area_label)
            return mask, mode or "replace"
        if self.area_invert is not None or self.area_label is not None:
            raise UserError("`area.invert` and `area.label` say how an area is read: give `area` or `extend_area` too")
        return None


AreaArgs = Annotated[AreaOptions, Parameter(name="*", group=_GROUPS["Editable area"])]


@dataclass(frozen=True)
class TaskOptions:
    """What the edit is, beside its operations."""

    task: Path | None = None
    """Instruction file, or ReD Bench folder."""
    prompt: str | None = None
    """What the picture shows."""
    edit_prompt: str | None = None
    """What the edit does."""


TaskArgs = Annotated[TaskOptions, FLAT]


@dataclass(frozen=True)
class ConfigOptions:
    """The settings of the method."""

    preset: str | None = None
    """Preset name, or a .toml file. [default: the one that serves the model best]"""
    set: Annotated[tuple[str, ...], Signed] = ()
    """Change one setting: KEY=VALUE. Repeatable."""
    seed: Annotated[int | None, Signed] = None
    """Seed of all fresh noise."""

    def config(self, model: ModelOptions, default: str | None = None) -> EditConfig:
        """The configuration; `default` is the preset when none is named, that which serves the model best if None.

        Raises:
            UserError: see `configure`.
            CapabilityError: so do this.
        """
        from dragflow.backbones.usual import preset_of_few_steps, usual_preset
        from dragflow.files.presets import configure

        changes = [*self.set, *([] if self.seed is None else [f"seed={self.seed}"])]
        chosen = self.preset or default or usual_preset(model)
        return configure(chosen, changes, few=preset_of_few_steps(model))


ConfigArgs = Annotated[ConfigOptions, Parameter(name="*", group=_GROUPS["Settings of the method"])]


@dataclass(frozen=True)
class ChoiceOptions:
    """How guesses are asked for, and how one is chosen."""

    candidates: int = CANDIDATES
    """How many guesses a model gives."""
    pick: int | None = None
    """Take guess N, counted from 1."""
    auto: bool = False
    """Take the first guess without asking."""
    anchor: Annotated[str | None, Signed] = None
    """X,Y: anchor of a guessed rotation, instead of its own."""
    prompts: PromptForm | None = None
    """What editing prompts are: captions say what the edited picture shows, instructions what an edit model is to do.
    [default: what the model of an edit takes, else captions]"""
    no_cache: bool = False
    """Ask again, and keep no answer."""
    no_upload: bool = False
    """Refuse a provider that sends the picture off this machine."""


ChoiceArgs = Annotated[ChoiceOptions, Parameter(name="*", group=_GROUPS["What the drag means"])]


def shown_default(value: Any) -> Any:
    """A default as help shows it; empty and off are not mentioned."""
    return None if value in ((), False) else value


def changed(options: Any, prefix: str = "") -> list[str]:
    """Names of the fields of an options type that differ from their defaults, also of the options in it."""
    usual, names = type(options)(), list[str]()
    for field in fields(options):
        value = getattr(options, field.name)
        if is_dataclass(value):
            names += changed(value, f"{prefix}{field.name}.")
        elif value != getattr(usual, field.name):
            names.append(f"{prefix}{field.name}")
    return names


def refuse_unused(names: Sequence[str], why: str) -> None:
    """Refuse options that would be ignored.

    Raises:
        UserError: there is one.
    """
    if names:
        raise unused(names, why)
