"""What a reference shows, as one latent: an edit model's text encoder looks at it, too."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import torch

from dragflow.backbones.packing import PATCH, pack, unpack
from dragflow.method.backbone import Latent, Reference


@dataclass(frozen=True)
class Shown:
    """A latent that is known by its values, so that it is decoded and looked at once."""

    digest: str
    z: Latent = field(compare=False, repr=False)
    """(1, c, h, w)."""


def shown_by(reference: Reference) -> Shown:
    """The latent whose tokens are where the reference has them; where it has none, it is 0."""
    h, w = (side // PATCH for side in reference.z.shape[-2:])
    source = pack(reference.z)
    rows, columns = reference.positions.round().long().unbind(-1)
    inside = (rows >= 0) & (rows < h) & (columns >= 0) & (columns < w)
    canvas = torch.zeros_like(source)
    canvas[:, (rows * w + columns)[inside]] = source[:, reference.tokens[inside]]
    z = unpack(canvas, h, w)
    values = z.float().cpu().contiguous().numpy().tobytes()
    return Shown(hashlib.sha256(str(tuple(z.shape)).encode() + values).hexdigest(), z)
