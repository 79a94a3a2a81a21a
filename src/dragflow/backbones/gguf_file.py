"""A transformer's tensors from a GGUF file, under the names of diffusers; each is accounted for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dragflow.backbones.tensors import Account, Entry, compare

_MOST_ITEMS = 1 << 20
"""In a list of the header."""


def read_header(path: Path) -> dict[str, Entry]:
    """All tensors of a GGUF file, by its header alone.

    Raises:
        Exception: of any kind, where the file is damaged; gguf believes what a header says.
    """
    from gguf import GGUFReader, GGUFValueType

    class Reader(GGUFReader):
        """Refuses what is not in the file; gguf counts on, for ages, where a header claims endless lists."""

        def _get(self, offset: int, dtype: Any, count: int = 1, override_order: Any = None) -> Any:
            found = super()._get(offset, dtype, count, override_order)
            if len(found) != count:
                raise ValueError("it ends early")
            return found

        def _get_field_parts(self, orig_offs: int, raw_type: int) -> Any:
            if raw_type == GGUFValueType.ARRAY and self._get(orig_offs + 4, "uint64")[0] > _MOST_ITEMS:
                raise ValueError("a list in its header is too long")
            return super()._get_field_parts(orig_offs, raw_type)

    tensors = Reader(path).tensors
    if not tensors:
        raise ValueError("it holds no tensors")
    return {x.name: Entry(tuple(int(n) for n in reversed(x.shape)), x.tensor_type.name) for x in tensors}


def read_tensors(cls: Any, path: Path, needed: Iterable[str]) -> tuple[dict[str, Any], Account]:
    """The tensors of a GGUF file under the names of a class of diffusers, and what does not fit these.

    Args:
        cls: of the network.
        path: of the file, whose header is sound; its names may be diffusers' own, or those of the model's authors.
        needed: names of all tensors of the network.

    Raises:
        Exception: of any kind, where the tensors are not of such a network.
    """
    from diffusers.loaders.single_file_model import SINGLE_FILE_LOADABLE_CLASSES
    from diffusers.models.model_loading_utils import load_gguf_checkpoint

    needed = dict.fromkeys(needed, ())
    left = load_gguf_checkpoint(str(path))
    tensors: dict[str, Any] = left
    if not needed.keys() & left.keys():  # the conversion takes from it what it has a place for
        tensors = SINGLE_FILE_LOADABLE_CLASSES[cls.__name__]["checkpoint_mapping_fn"](checkpoint=left)
    return tensors, compare(dict.fromkeys([*tensors, *left], ()), needed)
