"""A transformer in a GGUF file of 8-bit blocks: what it computes, with what is put on it, and what is refused."""

from __future__ import annotations

import struct
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from dragflow.backbones.flux1.model import Flux1
from dragflow.backbones.lora import attach_loras
from dragflow.core.errors import UserError
from dragflow.core.models import SubjectOptions
from dragflow.files.pictures import from_pixels
from dragflow.lora.config import LoraConfig
from dragflow.lora.train import train_lora
from dragflow.subject.registry import load_subject
from gguf_files import write_gguf
from small_flux import TIME, error, gradient, latent, load, picture

gguf = pytest.importorskip("gguf", reason="gguf is not installed (extra: quant)")


@pytest.fixture(scope="module")
def tensors(dummy_folder: Path) -> dict[str, Tensor]:
    return load_file(dummy_folder / "transformer" / "diffusion_pytorch_model.safetensors")


@pytest.fixture(scope="module")
def quantize(tensors: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "flux-q8_0.gguf", tensors)


@pytest.fixture(scope="module")
def quantised(dummy_folder: Path, quantize: str) -> Flux1:
    return load(dummy_folder, quantize=quantize)


@pytest.fixture(scope="module")
def exact(dummy_folder: Path) -> Flux1:
    return load(dummy_folder)


@pytest.fixture
def z() -> Tensor:
    return latent()


def test_velocities_and_gradients_are_near_the_exact_ones(quantised: Flux1, exact: Flux1, z: Tensor) -> None:
    from diffusers.quantizers.gguf.utils import GGUFParameter

    transformer: Any = quantised.transformer
    assert isinstance(transformer.transformer_blocks[0].attn.to_q.weight, GGUFParameter)
    conds = [model.condition("a cat", guidance=3.5) for model in (quantised, exact)]
    assert 0 < error(quantised.velocity(z, TIME, conds[0]), exact.velocity(z, TIME, conds[1])) < 0.02
    assert 0 < error(gradient(quantised, z, conds[0]), gradient(exact, z, conds[1])) < 0.05


@pytest.mark.parametrize("kind", ["instantcharacter", "ip_adapter", "instantx"])
def test_a_subject_acts_in_it_as_in_the_exact_model(
    kind: str, quantised: Flux1, exact: Flux1, z: Tensor, request: pytest.FixtureRequest
) -> None:
    options: SubjectOptions = request.getfixturevalue(kind)
    found: list[Tensor] = []
    for model in (quantised, exact):
        cond = model.condition("a cat", subject=load_subject(options, model).encode(picture(1)), guidance=3.5)
        found.append(model.velocity(z, TIME, cond))
        assert error(found[-1], model.velocity(z, TIME, replace(cond, subject=None))) > 1e-2
        assert gradient(model, z, cond).isfinite().all()
    assert error(*found) < 0.02


def test_a_lora_is_trained_on_it_and_put_on_it(quantised: Flux1, z: Tensor, tmp_path: Path) -> None:
    cond = quantised.condition("", guidance=1.0)
    plain, file = quantised.velocity(z, TIME, cond), tmp_path / "a.safetensors"
    pixels = (picture(1, 32, 32)[0].permute(1, 2, 0) * 255).to(torch.uint8).numpy()
    source = from_pixels(pixels)
    losses = train_lora(quantised, source, config=LoraConfig(rank=2, steps=2, batch=1, rate=1e-2), to=file)
    assert all(0 < loss < 10 for loss in losses)
    with attach_loras(quantised, [str(file)]) as changed:
        assert error(changed.velocity(z, TIME, cond), plain) > 1e-4
    assert torch.equal(quantised.velocity(z, TIME, cond), plain)


def test_other_weights_in_the_file_are_another_fingerprint(
    dummy_folder: Path, quantised: Flux1, exact: Flux1, tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    others = {name: -x for name, x in tensors.items()}
    other = load(dummy_folder, quantize=write_gguf(tmp_path / "other.gguf", others))
    assert len({model.weights.fingerprint for model in (quantised, exact, other)}) == 3
    moved = load(dummy_folder, quantize=write_gguf(tmp_path / "moved.gguf", tensors))
    assert moved.weights.fingerprint == quantised.weights.fingerprint


def test_a_file_that_is_none_or_not_of_this_model_is_refused(
    dummy_folder: Path, tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    (tmp_path / "text.gguf").write_text("not a model")
    without = {name: x for name, x in tensors.items() if name != "proj_out.weight"}
    wide = tensors | {"proj_out.weight": torch.zeros(64, 96)}
    for quantize in (
        f"gguf:{tmp_path / 'text.gguf'}",
        write_gguf(tmp_path / "without.gguf", without),
        write_gguf(tmp_path / "wide.gguf", wide),
    ):
        with pytest.raises(UserError, match=rf"quantised transformer {quantize.removeprefix('gguf:')}"):
            load(dummy_folder, quantize=quantize)


def header(tensors: int, facts: int) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, facts)


LIST = struct.pack("<Q", 1) + b"a" + struct.pack("<II", 9, 0)
"""The beginning of a fact whose value is a list of bytes."""


@pytest.mark.parametrize(
    "content",
    [
        b"",
        header(0, 0) + bytes(4096),
        header(2**63, 2**63),
        header(2**62, 0) + bytes(1000),
        header(0, 1) + struct.pack("<Q", 2**63),
        header(0, 1) + LIST + struct.pack("<Q", 2**60) + bytes(100),
        header(0, 1) + LIST + struct.pack("<Q", 10**6) + bytes(100),
        header(0, 1) + LIST[:-4] + struct.pack("<IQ", 9, 1) * 5000,
        header(1, 0) + struct.pack("<QcIQIQ", 1, b"a", 1, 2**62, 0, 0) + bytes(4096),
        header(1, 0) + struct.pack("<QcIQIQ", 1, b"a", 1, 8, 200, 0) + bytes(4096),
    ],
)
def test_a_header_that_lies_is_refused_at_once(content: bytes, dummy_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(content)
    begun = time.process_time()
    with pytest.raises(UserError, match=r"quantised transformer .*a\.gguf is not a GGUF file"):
        load(dummy_folder, quantize=f"gguf:{tmp_path / 'a.gguf'}")
    assert time.process_time() - begun < 5


def test_a_tensor_that_nothing_reads_is_an_error(
    dummy_folder: Path, tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    block = {name.replace("s.2.", "s.3."): x for name, x in tensors.items() if name.startswith("transformer_blocks.2.")}
    for name, surplus in (("more", {"extra.weight": torch.zeros(4)}), ("blocks", block)):
        quantize = write_gguf(tmp_path / f"{name}.gguf", tensors | surplus)
        with pytest.raises(UserError, match=rf"{min(surplus)} is unexpected \(one of {len(surplus)}\)"):
            load(dummy_folder, quantize=quantize)
