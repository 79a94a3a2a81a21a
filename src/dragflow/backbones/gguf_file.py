"""The header of a GGUF file, of which gguf believes everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dragflow.backbones.tensors import Entry

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
