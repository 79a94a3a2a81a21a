"""Writes transformers into GGUF files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor


def write_gguf(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Matrices in 8-bit blocks, the rest in float32; gives the value of `quantize`."""
    write_packed(path, tensors, "Q8_0")
    return f"gguf:{path}"


def write_packed(path: Path, tensors: Mapping[str, Tensor], kind: str) -> dict[str, Tensor]:
    """A GGUF file with matrices in this type, the rest in float32; gives what they stand for."""
    import gguf

    quant = gguf.GGMLQuantizationType[kind]
    size, count = gguf.GGML_QUANT_SIZES[quant]
    writer = gguf.GGUFWriter(path, "flux")
    exact: dict[str, Tensor] = {}
    for name, x in tensors.items():
        if x.ndim != 2 or x.shape[1] % size:
            writer.add_tensor(name, x.numpy())
            exact[name] = x
            continue
        packed = _packed(gguf, quant, x.numpy(), size, count)
        writer.add_tensor(name, packed, raw_dtype=quant)
        exact[name] = torch.from_numpy(np.ascontiguousarray(gguf.quants.dequantize(packed, quant)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return exact


def _packed(gguf: Any, quant: Any, x: Any, size: int, count: int) -> Any:
    """Quantised; gguf cannot write K-quants, so these are random, with scales as small as those of weights."""
    if not quant.name.endswith("_K"):
        return gguf.quants.quantize(x, quant)
    rows = np.random.default_rng(0).integers(0, 256, (x.shape[0], x.shape[1] // size, count), dtype=np.uint8)
    places = {"Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,)}[quant.name]
    for place in places:  # of numbers of 16 bits
        rows[..., place : place + 2] = np.frombuffer(np.float16(2e-5).tobytes(), dtype=np.uint8)
    return rows.reshape(x.shape[0], -1)
