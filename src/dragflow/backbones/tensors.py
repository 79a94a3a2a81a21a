"""What tensors files hold, and what becomes of each: it is applied, or left out by a known name, or an error."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from safetensors import safe_open

from dragflow.core.text import one_line

if TYPE_CHECKING:
    from torch import Tensor

_MOST_NAMES = 5
"""Names that a message lists."""
_NAME_LENGTH = 80
_REASON_LENGTH = 200
"""Characters shown of a name that a file gives, and of what a library says."""

Shape = tuple[int, ...]


class Entry(NamedTuple):
    """One tensor, as the header of its file describes it."""

    shape: Shape
    dtype: str
    """As the file names it: F32, BF16, F8_E4M3, U8; of a GGUF file, also Q8_0."""

    @property
    def values(self) -> int:
        """How many it has."""
        return prod(self.shape)


Entries = Mapping[str, Entry]
"""Tensors by their names in the files."""

_FLOATS = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"})
"""Types of safetensors that are weights as they stand."""
_COMPUTED = ("position_ids", "num_batches_tracked", "inv_freq")
"""Last part of the names of buffers that older libraries saved, and that every network makes itself."""
_QUANTISED = {
    "scaled fp8": ("scale_weight", "weight_scale", "weight_scale_2", "scale_input", "input_scale", "scaled_fp8"),
    "block-scaled fp8": ("weight_scale_inv", "scale_inv"),
    "ComfyUI's quantisation": ("comfy_quant",),
    "bitsandbytes": ("absmax", "quant_map", "nested_absmax", "SCB", "bitsandbytes__nf4", "bitsandbytes__fp4"),
    "GPTQ or AWQ": ("qweight", "qzeros", "g_idx"),
    "quanto": ("_data", "_scale", "output_scale"),
    "SVDQuant": ("wscales", "wcscales", "ascales", "smooth_factor"),
}
"""Ways in which weights come quantised, by the last part of names that only they have."""


@dataclass(frozen=True)
class Account:
    """What does not fit between the tensors that files hold and those that a network needs."""

    missing: tuple[str, ...] = ()
    surplus: tuple[str, ...] = ()
    misshapen: tuple[tuple[str, Shape, Shape], ...] = ()
    """Name, shape in the file, and shape that is needed."""

    @property
    def faults(self) -> int:
        """How many tensors do not fit."""
        return len(self.missing) + len(self.surplus) + len(self.misshapen)

    def __str__(self) -> str:
        """The first of each, and how many there are; empty if everything fits."""
        found = [f"tensor {shown(self.missing[0])} is missing (one of {len(self.missing)})"] if self.missing else []
        if self.surplus:
            found.append(f"tensor {shown(self.surplus[0])} is unexpected (one of {len(self.surplus)})")
        for name, held, needed in self.misshapen[:1]:
            shape = f"shape {shown(str(held))} instead of {needed}"
            found.append(f"tensor {shown(name)} has {shape} (one of {len(self.misshapen)})")
        return ", ".join(found)


def compare(held: Mapping[str, Shape], needed: Mapping[str, Shape]) -> Account:
    """Account for every tensor of files whose names are the network's."""
    return Account(
        tuple(name for name in needed if name not in held),
        tuple(name for name in held if name not in needed and not is_computed(name)),
        tuple((name, held[name], needed[name]) for name in needed if name in held and held[name] != needed[name]),
    )


def is_computed(name: str) -> bool:
    """Whether this names a buffer that the network makes itself."""
    return name.rpartition(".")[2] in _COMPUTED


def is_plain(name: str, entry: Entry) -> bool:
    """Whether a tensor has a type of weights as they stand, or is a buffer, whose type does not matter."""
    return entry.dtype in _FLOATS or is_computed(name)


def quantised(entries: Entries) -> str | None:
    """How these tensors are quantised, with one that shows it; None if they are weights as they stand."""
    if (how := quantisation(entries)) is not None:
        return f"{how[0]} (it has {shown(how[1])})"
    for name, entry in entries.items():
        if not is_plain(name, entry):
            return f"{entry.dtype} (as {shown(name)} is)"
    return None


def quantisation(entries: Entries) -> tuple[str, str] | None:
    """The way in which these tensors are quantised, and the name of one that only it has; None if none is known."""
    return next(
        ((kind, name) for kind, ends in _QUANTISED.items() for name in entries if name.rpartition(".")[2] in ends), None
    )


def read_entries(files: Iterable[Path]) -> dict[str, Entry]:
    """All tensors of safetensors files, by their headers alone, which safetensors checks.

    Raises:
        OSError, SafetensorError: a file is missing or damaged.
        ValueError: one is empty of tensors, or two have the same tensor.
    """
    entries: dict[str, Entry] = {}
    for path in files:
        if not path.is_file():
            raise FileNotFoundError(f"{path.name} is missing")
        with safe_open(path, "pt") as file:
            found = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            if not found:
                raise ValueError(f"{path.name} holds no tensors")
            if twice := found.keys() & entries.keys():
                raise ValueError(f"{path.name} has {shown(min(twice))} as another file does")
            entries |= {name: Entry(tuple(x.get_shape()), x.get_dtype()) for name, x in found.items()}
    return entries


def read_safetensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """The metadata of a safetensors file, and its tensors, on the CPU.

    Raises:
        OSError, SafetensorError: it is missing or damaged.
    """
    with safe_open(path, "pt") as file:
        return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)


def read_folder(folder: Path, stem: str, variant: str | None = None, *, index_first: bool) -> dict[str, Entry]:
    """All tensors of a network's folder: of its one file, or of the shards that its index names.

    Args:
        folder: of the network.
        stem: of its files, as in "model".
        variant: of its weights, as in "fp16".
        index_first: which of both the library reads, where there are both.

    Raises:
        OSError, SafetensorError, ValueError: a file is missing or damaged, or index and shards contradict each other.
    """
    tag = f".{variant}" if variant else ""
    single, index = folder / f"{stem}{tag}.safetensors", folder / f"{stem}.safetensors.index{tag}.json"
    if not index.is_file() or (single.is_file() and not index_first):
        return read_entries([single])
    try:
        shards: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        names = sorted(set(shards.values()))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{index.name} is damaged") from error
    for name in names:
        if not isinstance(name, str) or Path(name).name != name:
            raise ValueError(f"{index.name} names the shard {shown(str(name))}, which is not a file beside it")
    entries = read_entries(folder / name for name in names)
    account = compare(dict.fromkeys(entries, ()), dict.fromkeys(shards, ()))
    if str(account):
        raise ValueError(f"{index.name} does not describe its shards: {account}")
    return entries


def few(names: Iterable[str]) -> str:
    """Names for a message: at most five, and how many there are beyond."""
    listed = list(names)
    more = len(listed) - _MOST_NAMES
    return ", ".join(map(shown, listed[:_MOST_NAMES])) + (f" and {more} more" if more > 0 else "")


def shown(name: str, length: int = _NAME_LENGTH) -> str:
    """Text that comes from a file, for a message: in one line, without control characters, not too long."""
    plain = one_line(" ".join(name[: 10 * length].split()))
    return plain if len(plain) <= length else f"{plain[: length - 1]}…"


def reason(error: BaseException) -> str:
    """What a library says of a file, shortened."""
    text = f"there is no {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
    return shown(text, _REASON_LENGTH)
