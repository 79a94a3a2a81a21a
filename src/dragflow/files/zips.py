"""Zip files whose bytes follow from what is in them: no date, no machine."""

from __future__ import annotations

import io
from collections.abc import Mapping
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

_PACKED = (".png", ".ora")
"""Files that another packing would not make smaller."""


def zipped(files: Mapping[str, bytes], *, stored: tuple[str, ...] = ()) -> bytes:
    """The bytes of a zip with these files, by their paths in it and in their order.

    Args:
        files: what is in it.
        stored: paths that must not be packed, as some formats ask.
    """
    buffer = io.BytesIO()
    with ZipFile(buffer, "w") as file:
        for path, data in files.items():
            info = ZipInfo(path)  # of the first day that a zip knows
            info.external_attr = 0o644 << 16
            plain = path in stored or path.endswith(_PACKED)
            file.writestr(info, data, ZIP_STORED if plain else ZIP_DEFLATED)
    return buffer.getvalue()
