"""FLUX.1 Kontext against diffusers' own pipeline, and with what FLUX.1 has: subjects, LoRAs, guidance."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dragflow.backbones.dummy import write_dummy
from dragflow.backbones.flux1_kontext.model import Flux1Kontext
from dragflow.backbones.lora import attach_loras
from dragflow.backbones.packing import pack, unpack
from dragflow.backbones.registry import wrap_pipeline
from dragflow.core.config import SubjectConfig
from dragflow.core.models import ModelOptions, SubjectOptions
from dragflow.method.references import in_place
from dragflow.subject.registry import load_subject
from small_flux import GRID, TIME, check_gradients, hooks, latent, load, picture, write_lora

PROMPT, GUIDANCE = "blend it in", 2.5
TOKENS = GRID[0] * GRID[1]


@dataclass
class Call:
    """What diffusers' pipeline gave its transformer, and what it took from the answer."""

    given: dict[str, Any]
    velocity: Tensor


@pytest.fixture(params=[True, False], ids=["guidance", "no guidance"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_dummy(tmp_path / "kontext", pipeline="FluxKontextPipeline", guidance=request.param)


def pipeline_calls(pipe: Any, z: Tensor, image: Tensor) -> list[Call]:
    """Of three steps from `z`, with a picture that is edited."""
    calls: list[Call] = []
    hook = pipe.transformer.register_forward_hook(
        lambda _, __, given, out: calls.append(Call(given, out[0][:, :TOKENS])), with_kwargs=True
    )
    pipe(
        image,
        PROMPT,
        height=16 * GRID[0],
        width=16 * GRID[1],
        max_area=256 * TOKENS,
        _auto_resize=False,
        latents=pack(z),
        num_inference_steps=3,
        guidance_scale=GUIDANCE,
        max_sequence_length=64,
        output_type="latent",
    )
    hook.remove()
    return calls


def test_it_is_the_librarys_own_pipeline(folder: Path) -> None:
    from diffusers import FluxKontextPipeline

    backbone = load(folder)
    assert isinstance(backbone, Flux1Kontext)
    pipe = FluxKontextPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    z, image = latent(), picture(5, 16 * GRID[0], 16 * GRID[1])
    seen = backbone.encode(image)
    cond = backbone.condition(PROMPT, references=(in_place(seen, GRID),), guidance=GUIDANCE)
    calls = pipeline_calls(pipe, z, image)
    assert len(calls) == 3
    for call in calls:
        tokens, t = call.given["hidden_states"], float(call.given["timestep"])
        assert torch.allclose(pack(seen), tokens[:, TOKENS:], atol=1e-5)
        stream = backbone._embed(unpack(tokens[:, :TOKENS], *GRID), t, cond)
        ids = torch.cat([call.given["txt_ids"], call.given["img_ids"]])
        assert all(map(torch.equal, stream.rotary, pipe.transformer.pos_embed(ids)))
        ours = backbone.velocity(unpack(tokens[:, :TOKENS], *GRID), t, cond)
        assert torch.allclose(pack(ours), call.velocity, rtol=0, atol=1e-5)
    assert (backbone.spec.guidance == "embedded") == (calls[0].given["guidance"] is not None)


def test_a_loaded_pipeline_is_taken(kontext_folder: Path) -> None:
    from diffusers import FluxKontextPipeline

    backbone = wrap_pipeline(FluxKontextPipeline.from_pretrained(kontext_folder), ModelOptions())
    assert backbone.spec.family == "flux1-kontext"
    assert backbone.spec.references


@pytest.mark.parametrize("adapter", ["instantcharacter", "ip_adapter", "instantx"])
def test_a_subject_reaches_the_image_and_no_reference(
    adapter: str, kontext_folder: Path, request: pytest.FixtureRequest
) -> None:
    options: SubjectOptions = request.getfixturevalue(adapter)
    backbone, checkpointed, z = load(kontext_folder), load(kontext_folder, checkpointing=True), latent()
    subject = load_subject(options, backbone).encode(picture(1))
    references = (in_place(z.flip(-1), GRID),)
    plain, kept, off = (
        backbone.condition("a cat", subject=each, references=references, guidance=1.0)
        for each in (None, subject, subject.under(SubjectConfig(scale=0.0)))
    )
    v = backbone.velocity(z, TIME, plain)
    assert torch.equal(backbone.velocity(z, TIME, off), v)
    assert not torch.allclose(backbone.velocity(z, TIME, kept), v, atol=1e-4)
    check_gradients(backbone, checkpointed, z, kept)
    first = backbone._run_block("double.0", backbone._embed(z, TIME, plain), None)[0]
    with_subject = backbone._run_block("double.0", backbone._embed(z, TIME, kept), None)[0]
    assert torch.equal(with_subject.tokens[:, TOKENS:], first.tokens[:, TOKENS:])
    assert not torch.allclose(with_subject.image, first.image, atol=1e-4)
    assert hooks(backbone) == 0


def test_a_lora_reaches_what_is_seen_of_a_reference(kontext_folder: Path, tmp_path: Path) -> None:
    backbone, z = load(kontext_folder), latent()
    references = (in_place(z.flip(-1), GRID),)
    before = backbone.velocity(z, TIME, backbone.condition("", references=references, guidance=1.0))
    with attach_loras(backbone, [str(write_lora(kontext_folder, tmp_path / "blend.safetensors", 2, 1))]) as on:
        assert on.spec.references == backbone.spec.references
        after = on.velocity(z, TIME, on.condition("", references=references, guidance=1.0))
    assert not torch.allclose(after, before, atol=1e-4)
