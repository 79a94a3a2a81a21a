"""What a model's file is, told by the names and shapes of its tensors alone, in milliseconds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dragflow.backbones.checkpoints.header import Header, read_header
from dragflow.backbones.checkpoints.lookalikes import LOOKALIKES, LORA
from dragflow.backbones.checkpoints.table import (
    NETWORKS,
    PREFIXES,
    TRANSFORMERS,
    Kind,
    Layout,
    Network,
    Sizes,
    Variant,
)
from dragflow.backbones.tensors import Entries, Entry, Shape, quantisation, shown
from dragflow.core.errors import CapabilityError, UserError

_PRECISIONS = {
    "F64": "float64",
    "F32": "float32",
    "BF16": "bfloat16",
    "F16": "float16",
    "F8_E4M3": "fp8 (e4m3)",
    "F8_E5M2": "fp8 (e5m2)",
}


@dataclass(frozen=True)
class Part:
    """A network in a file."""

    network: str
    """Its key in `NETWORKS`, as "flux1" or "t5-xxl"."""
    variant: str | None
    """None: of a size that is not known."""
    layout: Layout
    prefix: str
    """What its tensors' names begin with in the file, before those of its layout."""
    precision: str
    """What most of its values are stored in."""
    values: int
    """How many it has."""

    @property
    def kind(self) -> Kind:
        """What sort of network it is."""
        return NETWORKS[self.network].kind

    @property
    def title(self) -> str:
        """Network and variant, for people."""
        title = NETWORKS[self.network].title
        return f"{title} ({self.variant or 'of another size than the published ones'})"


@dataclass(frozen=True)
class Recognised:
    """What a file is."""

    path: Path
    parts: tuple[Part, ...]
    """The networks in it; a transformer comes first."""
    pipelines: tuple[str, ...] = ()
    """Classes of the pipelines of diffusers that have its transformer, the usual one first; none if that is not
    supported."""
    needs: tuple[tuple[str, str], ...] = ()
    """Of a pipeline with its transformer: part, and key of the network that it is."""
    config: Mapping[str, object] = field(default_factory=dict[str, object])
    """What its variant says of the transformer's configuration."""
    left: int = 0
    """Tensors that belong to none of the parts."""
    published: tuple[str, ...] = ()
    """Hub ids of weights whose other parts it can have; none: all of its family."""

    @property
    def transformer(self) -> Part | None:
        """The diffusion transformer, if there is one."""
        return self.parts[0] if self.parts[0].kind == "transformer" else None

    @property
    def missing(self) -> tuple[tuple[str, str], ...]:
        """Those of its needs that the file does not hold."""
        held = {part.network for part in self.parts}
        return tuple((part, network) for part, network in self.needs if network not in held)


def recognise(path: Path) -> Recognised:
    """What a file is.

    Raises:
        UserError: it is damaged, holds two models, or is not recognised; says what it looks like.
        CapabilityError: it is a model of a kind that is not supported.
    """
    return recognise_header(path, read_header(path))


def recognise_header(path: Path, header: Header) -> Recognised:
    """`recognise`, of a header that is read already."""
    _refuse_lora(path, header.entries)
    groups = split(path, header.entries)
    found = [_part(path, prefix, entries) for prefix, entries in groups.items()]
    parts = sorted((part for part in found if part is not None), key=lambda part: part.kind != "transformer")
    if not parts:
        raise _unknown(path, groups)
    if sum(part.kind == "transformer" for part in parts) > 1:
        names = [_mark(groups[part.prefix], part) for part in parts if part.kind == "transformer"]
        raise UserError(f"file {path} holds two transformers (as {names[0]} and {names[1]} show): name a file with one")
    left = sum(len(entries) for entries in groups.values()) - sum(len(groups[part.prefix]) for part in parts)
    first = parts[0]
    if first.kind != "transformer":
        return Recognised(path, tuple(parts), left=left)
    network, entries = NETWORKS[first.network], groups[first.prefix]
    variant = _variant(network, entries)
    likest = variant or _likest(network, entries)
    needs = likest.needs or network.needs or {}
    config = {} if variant is None else variant.config
    return Recognised(path, tuple(parts), likest.pipelines, tuple(needs.items()), config, left, likest.published)


def split(path: Path, entries: Entries) -> dict[str, dict[str, Entry]]:
    """The tensors of a file by the prefix of ComfyUI's that their names begin with, without it; "" for the others.

    Raises:
        UserError: a tensor is there twice, under two prefixes of one network.
    """
    groups: dict[str, dict[str, Entry]] = {}
    owners: dict[tuple[str, str], str] = {}
    for name, entry in entries.items():
        prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), "")
        rest = name.removeprefix(prefix)
        groups.setdefault(prefix, {})[rest] = entry
        twice = owners.setdefault((PREFIXES.get(prefix, ""), rest), name)
        if twice != name:
            raise UserError(f"file {path} has {shown(rest)} twice, as {shown(twice)} and {shown(name)}: save it again")
    return groups


def _part(path: Path, prefix: str, entries: Entries) -> Part | None:
    """The network of these tensors; None if it is none that is known."""
    fitting: list[tuple[str, Layout]] = [
        (key, layout)
        for key, network in NETWORKS.items()
        for layout, marks in network.signatures.items()
        if _fits(entries, marks, network.without, network.sizes)
    ]
    mixed = [each for each in fitting if each[0] in TRANSFORMERS] or fitting[:1]
    if len(mixed) > 1:
        marks = [_first(entries, NETWORKS[key].signatures[layout][-1]) for key, layout in mixed]
        titles = [NETWORKS[key].title for key, _ in mixed]
        raise UserError(
            f"file {path} mixes {titles[0]} and {titles[1]} (tensors {marks[0]} and {marks[1]}): name a file of one "
            "model"
        )
    if not mixed:
        return None
    key, layout = mixed[0]
    variant = _variant(NETWORKS[key], entries)
    values = sum(entry.values for entry in entries.values())
    return Part(key, None if variant is None else variant.name, layout, prefix, precision(entries), values)


def _mark(entries: Entries, part: Part) -> str:
    """A tensor that shows which network this is."""
    return shown(part.prefix + str(_first(entries, NETWORKS[part.network].signatures[part.layout][0])))


def _variant(network: Network, entries: Entries) -> Variant | None:
    return next(
        (
            variant
            for variant in network.variants
            if _fits(entries, variant.has, variant.lacks, variant.sizes)
            and all(_blocks(entries, name) == count for name, count in variant.blocks)
        ),
        None,
    )


def _likest(network: Network, entries: Entries) -> Variant:
    """Of a network of another size than its variants: the last one whose names it has."""
    return next(each for each in reversed(network.variants) if _fits(entries, each.has, each.lacks, ()))


def _fits(entries: Entries, has: Iterable[str], lacks: Iterable[str], sizes: Sizes) -> bool:
    return (
        all(_first(entries, name) for name in has)
        and not any(_first(entries, name) for name in lacks)
        and all(_size(entries, name, axis) == size for name, axis, size in sizes)
    )


def _first(entries: Entries, names: str) -> str | None:
    return next((name for name in names.split("|") if name in entries), None)


def _size(entries: Entries, names: str, axis: int) -> int | None:
    name = _first(entries, names)
    shape = () if name is None else _shape(entries, name)
    return shape[axis] if axis < len(shape) else None


def _shape(entries: Entries, name: str) -> Shape:
    """Of a weight; one that bitsandbytes packed, two values a byte, has as many rows as the bias of its layer."""
    packed, bias = entries[name], entries.get(f"{name.removesuffix('weight')}bias")
    if f"{name}.absmax" not in entries or bias is None or not bias.values:
        return packed.shape
    return bias.values, 2 * packed.values // bias.values


def _blocks(entries: Entries, names: str) -> int:
    """How many numbers follow one of these beginnings of names."""
    return max(
        len({rest.split(".", 1)[0] for name in entries if (rest := name.removeprefix(begin)) != name})
        for begin in names.split("|")
    )


def precision(entries: Entries) -> str:
    """What most of the values of these tensors are stored in."""
    how = quantisation(entries)
    if how is not None:
        return how[0]
    counts: dict[str, int] = {}
    for entry in entries.values():
        counts[entry.dtype] = counts.get(entry.dtype, 0) + entry.values
    most = max(counts, key=lambda dtype: counts[dtype])
    return _PRECISIONS.get(most, most)


def _refuse_lora(path: Path, entries: Entries) -> None:
    if found := next((name for name in entries if re.search(LORA, name)), None):
        raise UserError(f"file {path} is a LoRA (it has {shown(found)}), not a model: give it by `lora`")


def _unknown(path: Path, groups: Mapping[str, Entries]) -> UserError:
    """Refuse a file by what it looks like."""
    for entries in groups.values():
        for name, marks, sizes in LOOKALIKES:
            if _fits(entries, marks, (), sizes):
                known = ", ".join(network.title for network in TRANSFORMERS.values())
                mark = _first(entries, marks[0])
                return CapabilityError(
                    f"file {path} looks like {name} (it has {shown(str(mark))}), which is not supported: use {known}"
                )
    first = next(iter(next(iter(groups.values()))))
    return UserError(f"file {path} is not a model that is known (it has {shown(first)}): name another")
