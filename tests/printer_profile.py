"""A colour profile of a printer, made here from the inks it is to have."""

from __future__ import annotations

import struct

import numpy as np
from PIL import Image, ImageCms

STEPS = 9


def _colours(strength: float) -> bytes:
    """What a grid of inks prints, as 8-bit CIELAB: cyan slowest, black fastest."""
    levels = np.linspace(0.0, 1.0, STEPS)
    cyan, magenta, yellow, black = np.meshgrid(levels, levels, levels, levels, indexing="ij")
    rgb = np.stack([(1 - strength * ink) * (1 - black) for ink in (cyan, magenta, yellow)], axis=-1).reshape(1, -1, 3)
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    seen = ImageCms.buildTransform(srgb, lab, "RGB", "LAB").apply(Image.fromarray((rgb * 255).round().astype(np.uint8)))
    bytes_of_lab = np.asarray(seen)
    signed = bytes_of_lab[..., 1:].view(np.int8).astype(int) + 128  # Pillow's a and b are signed, the profile's are not
    return np.concatenate([bytes_of_lab[..., :1], signed.astype(np.uint8)], axis=-1).tobytes()


def printer_profile(strength: float = 1.0) -> bytes:
    """An ICC profile, version 2.4, of the class `prtr`: CMYK to CIELAB by one table of the type `mft1`.

    Full cyan, magenta and yellow take the share `strength` of red, green and blue; 1 is what Pillow assumes.
    """
    straight = bytes(range(256))
    identity = struct.pack(">9i", *(65_536 * (row == column) for row in range(3) for column in range(3)))
    table = b"mft1" + bytes(4) + bytes([4, 3, STEPS, 0]) + identity + straight * 4 + _colours(strength) + straight * 3
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63_190, 65_536, 54_061)
    name = b"A printer of the tests\0"
    text = b"desc" + bytes(4) + struct.pack(">I", len(name)) + name + bytes(78)
    tags = {b"desc": text, b"wtpt": white, b"A2B0": table}
    directory, data = struct.pack(">I", len(tags)), b""
    for tag, content in tags.items():
        directory += tag + struct.pack(">II", 132 + 12 * len(tags) + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    header = struct.pack(">I4sI", 128 + len(directory) + len(data), bytes(4), 0x02400000) + b"prtrCMYKLab "
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + struct.pack(">3i", 63_190, 65_536, 54_061)
    return header.ljust(128, b"\0") + directory + data
