"""The account of tensors: headers that lie, shards that do not fit their index, ways to be quantised."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from dragflow.backbones.tensors import Entry, compare, few, quantised, read_entries, read_folder, reason, shown


def with_header(header: object, values: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + values


def one(shape: list[int], dtype: str = "F32", offsets: tuple[int, int] = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1234567",
        struct.pack("<Q", 2**63) + b"{}",
        with_header(b"not JSON"),
        with_header(b"[" * 5000),
        with_header({"a": one([2]), "b": one([2], offsets=(4, 12))}, b"0" * 12),
        with_header({"a": one([2], "Q9")}, b"0" * 8),
        with_header({"a": one([-2])}, b"0" * 8),
        with_header({"a": one([2**62, 4])}, b"0" * 8),
        with_header({"a": one([3])}, b"0" * 8),
        with_header({"a": one([2])}, b"0" * 7),
        with_header({"__metadata__": {"format": "pt"}}),
    ],
)
def test_a_header_that_lies_is_an_error(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    file.write_bytes(content)
    with pytest.raises((SafetensorError, ValueError)):
        read_entries([file])


def sharded(folder: Path, **changes: Any) -> Path:
    """Two shards of two tensors each, and their index with changes; a value of None takes a tensor out."""
    folder.mkdir()
    index: dict[str, Any] = {}
    for i, names in enumerate(("ab", "cd")):
        save_file({name: torch.zeros(2, 3) for name in names}, folder / f"{i}.safetensors")
        index |= dict.fromkeys(names, f"{i}.safetensors")
    index = {name: shard for name, shard in (index | changes).items() if shard is not None}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    return folder


def test_all_shards_are_read(tmp_path: Path) -> None:
    found = read_folder(sharded(tmp_path / "model"), "model", index_first=False)
    assert found == dict.fromkeys("abcd", Entry((2, 3), "F32"))


def test_the_library_decides_between_a_file_and_an_index(tmp_path: Path) -> None:
    folder = sharded(tmp_path / "model")
    save_file({"x": torch.zeros(1)}, folder / "model.safetensors")
    assert set(read_folder(folder, "model", index_first=True)) == set("abcd")
    assert set(read_folder(folder, "model", index_first=False)) == {"x"}


def test_a_variant_has_names_of_its_own(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "model.fp16.safetensors")
    assert set(read_folder(tmp_path, "model", "fp16", index_first=False)) == {"x"}
    folder = sharded(tmp_path / "shards")
    (folder / "model.safetensors.index.json").rename(folder / "model.safetensors.index.fp16.json")
    assert set(read_folder(folder, "model", "fp16", index_first=True)) == set("abcd")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"a": "../0.safetensors"}, "is not a file beside it"),
        ({"a": "/etc/passwd"}, "is not a file beside it"),
        ({"a": "2.safetensors"}, "2.safetensors is missing"),
        ({"a": None}, "tensor a is unexpected"),
        ({"e": "1.safetensors"}, "tensor e is missing"),
        ({"a": 5}, "is damaged"),
        ({"a": ["0.safetensors"]}, "is damaged"),
    ],
)
def test_an_index_that_does_not_fit_its_shards_is_an_error(changes: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises((ValueError, OSError), match=words):
        read_folder(sharded(tmp_path / "model", **changes), "model", index_first=True)


def test_what_is_no_file_is_never_opened(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "model.safetensors")  # opening it would wait for ever
    with pytest.raises(FileNotFoundError):
        read_folder(tmp_path, "model", index_first=False)


@pytest.mark.parametrize(
    ("name", "dtype", "how"),
    [
        ("blocks.0.scale_weight", "F32", "scaled fp8"),
        ("blocks.0.weight_scale", "F32", "scaled fp8"),
        ("scaled_fp8", "F8_E4M3", "scaled fp8"),
        ("blocks.0.weight_scale_inv", "F32", "block-scaled fp8"),
        ("blocks.0.weight.absmax", "F32", "bitsandbytes"),
        ("blocks.0.SCB", "F32", "bitsandbytes"),
        ("blocks.0.qweight", "I32", "GPTQ or AWQ"),
        ("blocks.0.weight._data", "F8_E4M3", "quanto"),
        ("blocks.0.wscales", "BF16", "SVDQuant"),
        ("blocks.0.weight", "I8", "I8"),
        ("blocks.0.weight", "F8_E8M0", "F8_E8M0"),
        ("blocks.0.weight", "F8_E4M3", None),
        ("blocks.0.weight", "F64", None),
        ("embeddings.position_ids", "I64", None),
    ],
)
def test_quantised_weights_are_told_apart(name: str, dtype: str, how: str | None) -> None:
    found = quantised({"a.weight": Entry((2, 2), "BF16"), name: Entry((2, 2), dtype)})
    assert found is None if how is None else str(found).startswith(f"{how} (")


def test_every_tensor_is_in_the_account() -> None:
    account = compare({"a": (1,), "b": (2,), "x": (1,), "y.position_ids": (3,)}, {"a": (1,), "b": (3,), "c": (1,)})
    assert (account.missing, account.surplus, account.misshapen) == (("c",), ("x",), (("b", (2,), (3,)),))
    assert str(account) == (
        "tensor c is missing (one of 1), tensor x is unexpected (one of 1), "
        "tensor b has shape (2,) instead of (3,) (one of 1)"
    )
    assert not str(compare({"a": (1,)}, {"a": (1,)}))


def test_what_a_file_says_is_short_and_obeyed_by_no_terminal() -> None:
    assert few(["a"]) == "a"
    assert few(f"n{i}" for i in range(9)) == "n0, n1, n2, n3, n4 and 4 more"
    assert shown("a\x1b[31m\nb" * 100).isprintable()
    assert len(shown("a" * 1000)) == 80
    long: Callable[[], str] = lambda: reason(ValueError("x y\n" * 1000))  # noqa: E731
    assert len(long()) <= 200
    assert reason(AssertionError()) == "AssertionError"
