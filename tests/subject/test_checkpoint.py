"""A checkpoint is loaded whole or not at all, and never as a pickle that runs code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dragflow.core.errors import UserError
from dragflow.subject.dummy import write_instantcharacter
from dragflow.subject.instantcharacter.checkpoint import load_modules

Parts = dict[str, dict[str, Tensor]]


def loaded(path: Path, blocks: int = 9, heads: tuple[int, int] = (2, 32)) -> dict[str, Tensor]:
    projector, attentions = load_modules(path, blocks, heads, torch.float32)
    return {**projector.state_dict(), **nn.ModuleList(attentions).state_dict()}


def changed(path: Path, change: Callable[[Any], Any]) -> Path:
    parts = torch.load(write_instantcharacter(path), weights_only=True)
    torch.save(change(parts) or parts, path)
    return path


def test_both_formats_give_the_tensors_of_the_file(tmp_path: Path) -> None:
    pickled = write_instantcharacter(tmp_path / "adapter.bin")
    parts = torch.load(pickled, weights_only=True)
    for path in (pickled, write_instantcharacter(tmp_path / "adapter.safetensors")):
        found = loaded(path)
        expected = {**parts["image_proj"], **parts["ip_adapter"]}
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], expected[key]) for key in found)


def test_modules_have_the_dtype_asked_for_and_take_no_gradient(tmp_path: Path) -> None:
    modules = load_modules(write_instantcharacter(tmp_path / "adapter.bin"), 9, (2, 32), torch.bfloat16)
    weights = [x for module in (modules[0], *modules[1]) for x in module.parameters()]
    assert {x.dtype for x in weights} == {torch.bfloat16}
    assert not any(x.requires_grad for x in weights)


def missing(parts: Parts) -> None:
    del parts["ip_adapter"]["3.to_v_ip.bias"]


def surplus(parts: Parts) -> None:
    parts["image_proj"]["resampler.extra.weight"] = torch.zeros(1)


def misshapen(parts: Parts) -> None:
    parts["image_proj"]["proj.fc2.bias"] = torch.zeros(63)


def headless(parts: Parts) -> None:
    del parts["image_proj"]["resampler.latents"]


def flat(parts: Parts) -> None:
    parts["image_proj"]["resampler.latents"] = torch.zeros(8, 64)


def narrow(parts: Parts) -> None:
    parts["image_proj"]["resampler.latents"] = torch.zeros(1, 8, 48)


def another_part(parts: dict[str, Any]) -> None:
    parts["optimizer"] = {"step": torch.zeros(1)}


def number(parts: dict[str, Any]) -> None:
    parts["epoch"] = 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (missing, "tensor ip_adapter.3.to_v_ip.bias is missing (one of 1)"),
        (surplus, "tensor image_proj.resampler.extra.weight is unexpected (one of 1)"),
        (misshapen, "image_proj.proj.fc2.bias has shape (63,) instead of (64,)"),
        (headless, "tensor image_proj.resampler.latents is missing"),
        (flat, "image_proj.resampler.latents has shape (8, 64) instead of one with 3 axes"),
        (narrow, "the width of the resampler is 48"),
        (another_part, "optimizer.step"),
        (number, "epoch is not a tensor of weights"),
        (lambda _: [torch.zeros(1)], "it contains no tensors"),
        (lambda _: {1: torch.zeros(1)}, "tensor image_proj.resampler.latents is missing"),
    ],
)
def test_what_does_not_fit_is_named(change: Callable[[Any], Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        loaded(changed(tmp_path / "adapter.bin", change))
    assert words in str(error.value)


@pytest.mark.parametrize(("blocks", "heads"), [(8, (2, 32)), (10, (2, 32)), (9, (3, 32)), (9, (1, 64))])
def test_an_adapter_for_another_model_is_refused(blocks: int, heads: tuple[int, int], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"made for another model: .*ip_adapter\."):
        loaded(write_instantcharacter(tmp_path / "adapter.bin"), blocks, heads)


class Trap:
    def __reduce__(self) -> Any:
        return (exec, ("raise SystemExit('a pickle ran code')",))


@pytest.mark.parametrize("suffix", [".bin", ".safetensors"])
def test_a_damaged_file_is_a_user_error(suffix: str, tmp_path: Path) -> None:
    path = write_instantcharacter(tmp_path / f"adapter{suffix}")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match="not a readable file of tensors only"):
        loaded(path)
    path.write_bytes(b"")
    with pytest.raises(UserError, match="not a readable file of tensors only"):
        loaded(path)


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "adapter.bin"
    torch.save({"image_proj": {"proj.fc1.weight": Trap()}}, path)
    with pytest.raises(UserError, match="not a readable file of tensors only"):
        loaded(path)
