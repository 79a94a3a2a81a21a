"""Weights with scales: to the bit those of a loop over their definition, in every variant; what is refused."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
import torch
from torch import Tensor

from dragflow.backbones.checkpoints.scaled import stored, weight
from dragflow.backbones.tensors import Entry

NAMES = {
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.uint8: "U8",
    torch.int8: "I8",
}
FP8 = (torch.float8_e4m3fn, torch.float8_e5m2)


def entries(tensors: dict[str, Tensor]) -> dict[str, Entry]:
    return {name: Entry(tuple(x.shape), NAMES[x.dtype]) for name, x in tensors.items()}


def weights(tensors: dict[str, Tensor], dtype: torch.dtype | None = None, **metadata: str) -> dict[str, Tensor]:
    found = stored(entries(tensors), tensors.__getitem__, metadata)
    return {name: weight(each, tensors.__getitem__, dtype) for name, each in found.items()}


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def f32(value: float) -> float:
    """The nearest number of 32 bits."""
    return struct.unpack("f", struct.pack("f", value))[0]


def by_definition(q: Tensor, scale: Tensor, rows: int, columns: int) -> Tensor:
    """Value by value in Python's numbers: the exact product, rounded to float32."""
    out = torch.empty(q.shape, dtype=torch.float32)
    grid = scale.reshape(-1, 1) if scale.ndim < 2 else scale
    for i in range(q.shape[0]):
        for j in range(q.shape[1]):
            out[i, j] = f32(float(q[i, j]) * float(grid[i // rows, j // columns]))
    return out


SHAPES = {
    "tensor": ((), 7, 20),
    "tensor, one axis": ((1,), 7, 20),
    "tensor, two axes": ((1, 1), 7, 20),
    "row": ((7,), 1, 20),
    "row, two axes": ((7, 1), 1, 20),
    "groups of a row": ((7, 4), 1, 5),
    "blocks": ((2, 5), 4, 4),
    "blocks of which the last are cut": ((1, 3), 8, 8),
}


@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", FP8, ids=str)
@pytest.mark.parametrize("blocks", SHAPES)
@pytest.mark.parametrize("name", ["scale_weight", "weight_scale", "weight_scale_inv", "scale_inv"])
def test_scaled_fp8_is_the_product_to_the_bit(
    name: str, blocks: str, kind: torch.dtype, dtype: torch.dtype | None
) -> None:
    shape, rows, columns = SHAPES[blocks]
    q, scale = (3 * noise(7, 20)).to(kind), noise(*shape, seed=1).abs() * 0.013
    found = weights({"a.weight": q, f"a.{name}": scale, "a.bias": noise(7)}, dtype)
    exact = by_definition(q, scale, rows, columns)
    assert found.keys() == {"a.weight", "a.bias"}
    assert torch.equal(found["a.weight"], exact if dtype is None else exact.to(dtype))


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_a_scale_of_half_precision_counts_as_it_is(kind: torch.dtype) -> None:
    q, scale = noise(4, 6).to(FP8[0]), torch.tensor(0.0137, dtype=kind)
    found = weights({"a.weight": q, "a.weight_scale": scale})["a.weight"]
    assert torch.equal(found, by_definition(q, scale.float(), 4, 6))


def test_kernels_have_a_scale_for_each_output() -> None:
    q, scale = noise(4, 3, 2, 2).to(FP8[0]), noise(4, seed=1).abs()
    found = weights({"a.weight": q, "a.weight_scale": scale})["a.weight"]
    assert torch.equal(found, q.float() * scale.reshape(4, 1, 1, 1))


def test_what_says_only_how_a_file_is_stored_is_left_out() -> None:
    mark = torch.zeros(2, dtype=FP8[0])
    facts = torch.tensor(list(b'{"format": "float8_e4m3fn", "full_precision_matrix_mult": true}'), dtype=torch.uint8)
    layer = {"a.weight": noise(4, 6).to(FP8[0]), "a.weight_scale": torch.tensor(0.5), "a.input_scale": torch.ones(())}
    found = weights({**layer, "a.comfy_quant": facts, "scaled_fp8": mark, "b.weight": noise(4), "b.scale_input": mark})
    assert found.keys() == {"a.weight", "b.weight"}
    described = json.dumps({"layers": {"a": {"format": "float8_e4m3fn"}}})
    assert weights(layer, _quantization_metadata=described).keys() == {"a.weight"}


def test_plain_fp8_needs_no_scale() -> None:
    q = noise(4, 6).to(FP8[0])
    assert torch.equal(weights({"a.weight": q}, torch.bfloat16)["a.weight"], q.to(torch.bfloat16))


LAYER = {"a.weight": noise(4, 6).to(FP8[0]), "a.weight_scale": torch.tensor(0.5)}
BLOB = torch.tensor(list(b'{"format": "nvfp4"}'), dtype=torch.uint8)
TURNED = torch.tensor(list(b'{"format": "float8_e4m3fn", "convrot": true}'), dtype=torch.uint8)


@pytest.mark.parametrize(
    ("tensors", "rule"),
    [
        ({"b.weight": noise(4, 6).to(FP8[0])}, r"tensor b\.weight is fp8 without a scale"),
        ({"b.weight_scale": torch.tensor(0.5)}, r"the scale b\.weight_scale belongs to no weight"),
        ({"a.scale_weight": torch.tensor(0.5)}, r"a\.weight of type F8_E4M3 has the scale a\.weight_scale"),
        ({"a.weight": noise(4, 6)}, r"a\.weight of type F32 has the scale a\.weight_scale, not of fp8"),
        ({"a.weight_scale": noise(3)}, r"a\.weight_scale of tensor a\.weight has the shape \(3,\)"),
        ({"a.weight_scale": noise(4, 4)}, r"a\.weight_scale of tensor a\.weight has the shape \(4, 4\)"),
        (
            {"a.weight_scale": torch.ones(4, 1, dtype=torch.uint8)},
            r"a\.weight_scale of tensor a\.weight has the type U8",
        ),
        ({"a.weight_scale": torch.tensor(float("nan"))}, r"a\.weight_scale is not finite"),
        ({"a.comfy_quant": BLOB}, "layer a is stored as nvfp4"),
        ({"a.comfy_quant": TURNED}, "layer a is stored as float8_e4m3fn"),
        ({"a.comfy_quant": BLOB[:4]}, r"a\.comfy_quant is not a description"),
        ({"a.comfy_quant": noise(3)}, r"a\.comfy_quant is not a description"),
    ],
)
def test_a_scale_that_does_not_fit_names_the_tensor(tensors: dict[str, Tensor], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        weights(LAYER | tensors)


def test_metadata_of_another_format_are_refused() -> None:
    described = json.dumps({"layers": {"a": {"format": "mxfp8"}}})
    with pytest.raises(ValueError, match="layer a is stored as mxfp8"):
        weights(LAYER, _quantization_metadata=described)


CODES = torch.linspace(-1, 1, 16)


def pack(values: Tensor, size: int, nested: int | None = None, kind: str = "nf4") -> dict[str, Tensor]:
    """As bitsandbytes writes them: the high half of a byte first; absmax itself in 8 bits, if it is nested."""
    blocks = values.flatten().split(size)
    absmax = torch.stack([block.abs().max() for block in blocks])
    codes = torch.cat(
        [(block[:, None] / top - CODES).abs().argmin(1) for block, top in zip(blocks, absmax, strict=True)]
    )
    packed = (codes[::2] << 4 | codes[1::2]).to(torch.uint8)[:, None]
    state: dict[str, Any] = {"quant_type": kind, "blocksize": size, "shape": list(values.shape), "dtype": "bfloat16"}
    found = {"a.weight": packed, "a.weight.quant_map": CODES, "a.weight.absmax": absmax}
    if nested is not None:
        offset = float(absmax.mean())
        tops = torch.stack([each.abs().max() for each in (absmax - offset).split(nested)])
        table = torch.linspace(-1, 1, 256)
        scaled = (absmax - offset) / tops.repeat_interleave(nested)[: len(absmax)]
        found |= {
            "a.weight.absmax": (scaled[:, None] - table).abs().argmin(1).to(torch.uint8),
            "a.weight.nested_absmax": tops,
            "a.weight.nested_quant_map": table,
        }
        state |= {"nested_blocksize": nested, "nested_offset": offset}
    blob = torch.tensor(list(json.dumps(state).encode()), dtype=torch.uint8)
    return found | {f"a.weight.quant_state.bitsandbytes__{kind}": blob}


@pytest.mark.parametrize("kind", ["nf4", "fp4"])
@pytest.mark.parametrize("nested", [None, 3])
def test_packed_weights_are_codes_times_the_largest_of_a_block(nested: int | None, kind: str) -> None:
    w = noise(6, 10)
    tensors = pack(w, 8, nested, kind)
    found = weights(tensors)["a.weight"]
    state = json.loads(bytes(tensors[f"a.weight.quant_state.bitsandbytes__{kind}"].tolist()))
    for i, value in enumerate(found.flatten().tolist()):
        byte = int(tensors["a.weight"].flatten()[i // 2])
        top = tensors["a.weight.absmax"][i // 8]
        if nested is not None:
            top = tensors["a.weight.nested_quant_map"][int(top)] * tensors["a.weight.nested_absmax"][i // 8 // nested]
            top = top + state["nested_offset"]
        assert value == float(CODES[byte >> 4 if i % 2 == 0 else byte & 15] * top)
    assert float((found - w).abs().max()) < 0.3


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"a.weight": torch.zeros(29, 1, dtype=torch.uint8)}, r"a\.weight does not hold the 60 values of 4 bits"),
        ({"a.weight.quant_map": CODES[:5]}, r"a\.weight\.quant_map is missing or has not 16 values"),
        ({"a.weight.absmax": noise(5)}, r"a\.weight\.absmax is missing or has not 8 values"),
        ({"a.weight.quant_state.bitsandbytes__nf4": BLOB}, r"a\.weight is packed, and its shape or block size"),
    ],
)
def test_packed_weights_that_do_not_fit_name_the_tensor(change: dict[str, Tensor], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        weights(pack(noise(6, 10), 8) | change)
