"""What the authors of Z-Image call the tensors of its transformer that are no layers'."""

from __future__ import annotations

NORMS = {
    f"{block}.{{}}.attention.{which}_norm.weight": f"{block}.{{}}.attention.norm_{which}.weight"
    for block in ("layers", "noise_refiner", "context_refiner")
    for which in "qk"
}
"""Norms, which no LoRA has; the layers are in `lora.py`."""
