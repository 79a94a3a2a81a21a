"""A text in a picture's own metadata: a text chunk of a PNG, segments of a JPEG, the XMP packet of the others."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import zlib

from PIL import Image, PngImagePlugin

KEY = "dragflow"
"""Name of the text in which a result holds its recipe."""
_SEGMENT = "APP8"
_SEGMENT_START = b"dragflow\0"
_SEGMENT_BYTES = 65_000
"""Of one segment of a JPEG, which ends at 65,533."""
_LONGEST = PngImagePlugin.MAX_TEXT_MEMORY
"""Characters of a text that are read at most, so that a small file cannot fill the memory."""
_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    'xmlns:dragflow="https://dragflow.invalid/ns/1/"><dragflow:{key}>{value}</dragflow:{key}></rdf:Description>'
    '</rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
)


def packed(text: str) -> bytes:
    """A text, compressed, in letters and digits alone."""
    return base64.b64encode(zlib.compress(text.encode(), 9))


def xmp_packet(key: str, text: str) -> bytes:
    """An XMP packet that holds a text."""
    return _PACKET.format(key=key, value=packed(text).decode()).encode()


def jpeg_segments(text: str) -> bytes:
    """Segments of a JPEG that hold a text together."""
    data = packed(text)
    parts = [data[i : i + _SEGMENT_BYTES] for i in range(0, len(data), _SEGMENT_BYTES)]
    marker = bytes((0xFF, 0xE0 + int(_SEGMENT.removeprefix("APP"))))
    return b"".join(
        marker + (2 + len(_SEGMENT_START) + len(part)).to_bytes(2, "big") + _SEGMENT_START + part for part in parts
    )


def text_in(image: Image.Image, key: str) -> str | None:
    """The text of a name in the metadata of an opened picture; None if there is none, or a damaged one."""
    if image.format == "PNG":
        return getattr(image, "text", {}).get(key)
    if image.format in ("JPEG", "MPO"):
        segments: list[tuple[str, bytes]] = getattr(image, "applist", [])
        parts = [data for name, data in segments if name == _SEGMENT and data.startswith(_SEGMENT_START)]
        return _unpacked(b"".join(part.removeprefix(_SEGMENT_START) for part in parts))
    packet = image.info.get("xmp")
    found = re.search(rb"<dragflow:%b>([A-Za-z0-9+/=]*)<" % key.encode(), packet if isinstance(packet, bytes) else b"")
    return None if found is None else _unpacked(found[1])


def recipe_digest(text: str) -> str:
    """The SHA-256 of a recipe as a result holds it, which tells results apart as their bytes do."""
    return hashlib.sha256(text.encode()).hexdigest()


def _unpacked(data: bytes) -> str | None:
    if not data:
        return None
    stream = zlib.decompressobj()
    try:
        text = stream.decompress(base64.b64decode(data, validate=True), _LONGEST)
        return None if stream.unconsumed_tail or not stream.eof else text.decode()
    except (binascii.Error, zlib.error, UnicodeDecodeError):
        return None
