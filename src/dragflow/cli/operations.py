"""Operations on the command line: each region option begins one, and what follows it up to the next belongs to it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from dragflow.cli.options import AreaOptions, OperationOptions, TaskOptions
from dragflow.core.arrays import Point
from dragflow.core.errors import UserError
from dragflow.core.motion import Affine, Label, Remove, Rotate, Scale, Translate, about, rotation
from dragflow.core.task import Box, Cut, Instruction, MaskFile, Operation, Polygon, Region

T = TypeVar("T")

REGION_OPTIONS = ("--mask", "--box", "--polygon")
MOTION_OPTIONS = (
    "--at",
    "--swap",
    "--to",
    "--handle",
    "--about",
    "--degrees",
    "--scale",
    "--matrix",
    "--label",
    "--cut",
    "--behind",
    "--mask-label",
)
FLAGS = ("--mask-invert", "--copy", "--remove")


def ordered_options(args: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """(option, value) of every operation option, in order."""
    found: list[tuple[str, str]] = []
    rest = iter(args)
    for arg in rest:
        name, equals, value = arg.partition("=")
        if name in REGION_OPTIONS + MOTION_OPTIONS:
            found.append((name, value if equals else next(rest, "")))
        elif name in FLAGS:
            found.append((name, value or "true"))
    return tuple(found)


@dataclass
class _Draft:
    region: tuple[str, str]
    motion: dict[str, str] = field(default_factory=dict[str, str])
    targets: list[str] = field(default_factory=list[str])
    """Values of --to, of which a copy may have several."""


def typed_operations(ordered: Sequence[tuple[str, str]]) -> tuple[Operation, ...]:
    """The operations that options describe.

    Raises:
        UserError: a motion before any region, an option twice, numbers that cannot be read, an incomplete motion.
    """
    drafts: list[_Draft] = []
    for name, value in ordered:
        if name in REGION_OPTIONS:
            drafts.append(_Draft((name, value)))
        elif not drafts:
            raise UserError(
                f"{name} {value} comes before any region: begin each operation with --mask, --box or --polygon"
            )
        elif name in drafts[-1].motion:
            raise UserError(
                f"{name} is given twice for one region ({drafts[-1].region[1]}): begin a new one with --mask"
            )
        elif name == "--to":
            drafts[-1].targets.append(value)
        else:
            drafts[-1].motion[name] = value
    return tuple(operation for draft in drafts for operation in _operations(draft))


def instruction(operations: OperationOptions, task: TaskOptions, area: AreaOptions) -> Instruction:
    """The instruction of a command, its masks read: from a file (prompts may be replaced), or from options.

    Raises:
        UserError: both or neither are given.
    """
    ordered = operations.ordered
    if task.task is not None and ordered:
        raise UserError(f"--task {task.task} and {ordered[0][0]} are both given: say the operations in one way")
    if task.task is None and not ordered:
        raise UserError("no operation is given: use --task FILE, or --mask MASK --to X,Y")
    if task.task is None:
        loaded = Instruction(typed_operations(ordered))
    else:
        from dragflow.files.instructions import load_instruction  # slow to import, and not needed for `--help`

        loaded = load_instruction(task.task)
    from dragflow.files.masks import freeze

    given, mode = area.mask or (loaded.editable, loaded.editable_mode)
    return freeze(
        Instruction(
            operations=loaded.operations,
            prompt=loaded.prompt if task.prompt is None else task.prompt,
            edit_prompt=loaded.edit_prompt if task.edit_prompt is None else task.edit_prompt,
            editable=given,
            editable_mode=mode,
            protect=area.protect or loaded.protect,
        )
    )


def _operations(draft: _Draft) -> list[Operation]:
    """One operation; of what is copied, one for each target."""
    targets = [{"--to": target} for target in draft.targets] or [{}]
    try:
        if len(targets) > 1 and draft.motion.get("--copy") != "true":
            raise UserError("--to is given twice: add --copy for a copy at each, or begin a new region with --mask")
        if "--swap" in draft.motion:
            return _swapped(draft)
        return [_operation(draft, draft.motion | target) for target in targets]
    except UserError as error:
        raise UserError(f"region {draft.region[1]}: {error}") from error


def _operation(draft: _Draft, options: dict[str, str]) -> Operation:
    region, cut = _region(draft, options), _pop(options, "--cut", _cut)
    if _pop(options, "--remove", _yes):
        _refuse(options, "what is removed goes nowhere")
        return Operation(region, Remove(), cut=cut)
    label = _chosen_label(options)
    handle, behind = _pop(options, "--handle", point), _pop(options, "--behind", _behind)
    return Operation(region, replace(_motion(options, region, handle), label=label), handle, cut, behind)


def _swapped(draft: _Draft) -> list[Operation]:
    from dragflow.files.swaps import swap  # reads masks, which `--help` has none of

    options, text = dict(draft.motion), draft.motion["--swap"]
    region, cut, behind = _region(draft, options), _pop(options, "--cut", _cut), _pop(options, "--behind", _behind)
    del options["--swap"]
    if draft.targets:
        options["--to"] = draft.targets[0]
    _refuse(options, "a swap says where both regions go")
    other = Box(*_numbers("--swap", text, 4)) if re.fullmatch(r"[-\d.]+(,[-\d.]+){3}", text) else MaskFile(Path(text))
    return list(swap(region, other, cut, behind))


def _chosen_label(options: dict[str, str]) -> Label | None:
    label = options.get("--label")
    if not _pop(options, "--copy", _yes):
        return _pop(options, "--label", _label)
    if label is not None:
        raise UserError(f"--label {label} and --copy are both given: a copy is neither moved nor stretched")
    return "copy"


def _region(draft: _Draft, options: dict[str, str]) -> Region:
    kind, text = draft.region
    if kind == "--mask":
        return MaskFile(
            Path(text),
            _pop(options, "--at", point),
            invert=_pop(options, "--mask-invert", _yes),
            label=options.pop("--mask-label", None),
        )
    if kind == "--box":
        return Box(*_numbers(kind, text, 4))
    values = _numbers(kind, text.replace(";", ","), None)
    if len(values) % 2:
        raise UserError(f"--polygon {text}: {len(values)} numbers do not make points: write X,Y;X,Y;X,Y")
    return Polygon(tuple(zip(values[::2], values[1::2], strict=True)))


def _motion(options: dict[str, str], region: Region, handle: Point | None) -> Translate | Rotate | Scale | Affine:
    if "--matrix" in options:
        a, b, c, d, e, f = _numbers("--matrix", options.pop("--matrix"), 6)
        _refuse(options, "--matrix says the whole motion")
        return Affine(((a, b, c), (d, e, f)))
    to, anchor = _pop(options, "--to", point), _pop(options, "--about", point)
    degrees, scale = _pop(options, "--degrees", _number), _pop(options, "--scale", _factors)
    _refuse(options, "it does not belong to this kind of region")
    if degrees is None and scale is None:
        return _moved(to, anchor)
    if to is None and anchor is None:
        raise UserError("--degrees and --scale need an anchor: add --about X,Y")
    if to is None and anchor is not None and scale is None:
        return Rotate(anchor, degrees=degrees)
    if to is None and anchor is not None and degrees is None and scale is not None:
        return Scale(anchor, scale)
    return _combined(to, anchor or handle, degrees or 0.0, 1.0 if scale is None else scale)


def _moved(to: Point | None, anchor: Point | None) -> Translate | Rotate:
    if to is None:
        raise UserError("it has no motion: add --to X,Y, --about X,Y --degrees D, --about X,Y --scale S, or --remove")
    if anchor is not None:
        return Rotate(anchor, to=to)
    return Translate(to)


def _combined(to: Point | None, anchor: Point | None, degrees: float, scale: float | tuple[float, float]) -> Affine:
    """Turn and scale about the anchor, which itself is carried to `to`."""
    if anchor is None:
        raise UserError(
            "to move and turn or scale at once, say which point goes to --to: add --about X,Y (or --handle X,Y)"
        )
    (a, b), (d, e) = rotation(math.radians(degrees))
    sx, sy = scale if isinstance(scale, tuple) else (scale, scale)
    return Affine(about(anchor, ((a * sx, b * sy), (d * sx, e * sy)), to))


def _refuse(options: dict[str, str], why: str) -> None:
    if options:
        option, value = next(iter(options.items()))
        raise UserError(f"{option} {value} cannot be used here: {why}")


def _pop(options: dict[str, str], name: str, parse: Callable[[str, str], T]) -> T | None:
    text = options.pop(name, None)
    return None if text is None else parse(name, text)


def point(name: str, text: str) -> Point:
    """A point that was typed as X,Y; `name` says where.

    Raises:
        UserError: not two numbers.
    """
    x, y = _numbers(name, text, 2)
    return x, y


def _label(name: str, text: str) -> Label:
    if text in ("relocation", "deformation"):
        return text
    raise UserError(f"{name} {text!r} is not known: choose relocation or deformation")


def _yes(name: str, text: str) -> bool:
    if text not in ("true", "false"):
        raise UserError(f"{name}={text}: write {name}, or {name}=false")
    return text == "true"


def _cut(name: str, text: str) -> Cut:
    if text in ("hard", "soft", "snap"):
        return text
    raise UserError(f"{name} {text!r} is not known: choose hard, soft or snap")


def _behind(_: str, text: str) -> Region | bool:
    return text == "auto" if text in ("auto", "nothing") else MaskFile(Path(text))


def _number(name: str, text: str) -> float:
    return _numbers(name, text, 1)[0]


def _factors(name: str, text: str) -> float | tuple[float, float]:
    values = _numbers(name, text, None)
    if len(values) not in (1, 2):
        raise UserError(f"{name} {text}: give one factor, or two as SX,SY")
    return values[0] if len(values) == 1 else (values[0], values[1])


def _numbers(name: str, text: str, count: int | None) -> list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise UserError(f"{name} {text!r}: write numbers with commas between them, as in 120,80") from error
    if count is not None and len(values) != count:
        raise UserError(f"{name} {text!r}: {count} numbers are needed, {len(values)} are given")
    return values
