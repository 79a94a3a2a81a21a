"""Writes transformers into GGUF files of 8-bit blocks."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

_BLOCK = 32
"""Values that share a scale."""


def write_gguf(path: Path, tensors: dict[str, Tensor]) -> str:
    """Matrices in 8-bit blocks, the rest in float32; gives the value of `quantize`."""
    import gguf

    writer = gguf.GGUFWriter(path, "flux")
    for name, x in tensors.items():
        if x.ndim == 2 and x.shape[1] % _BLOCK == 0:
            packed = gguf.quants.quantize(x.numpy(), gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(name, packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
        else:
            writer.add_tensor(name, x.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return f"gguf:{path}"
