"""The flow model in the layout of Stable Diffusion 3: trained for a few steps, resumed, exported, loaded and edited."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_model import FLOW, TWO_HEADS, VAE

from dragflow import EditConfig, Editor, Instruction, Operation, Translate, world
from dragflow.backbones.packing import pack, unpack, unpack_last
from dragflow.core.errors import UserError
from dragflow.train import export, flow, state, text, vae
from dragflow.train.main import parser

SD3 = replace(FLOW, layout="sd3", heads=2, joint=3, dual=1, places=8)
CAPTION = "a dog on grass"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of checkpoints."""
    out = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vae, "evaluate", lambda *_: {})
        vae.train(VAE, state.Run(out, steps=2))
    flow.train(SD3, state.Run(out, steps=4))
    return out


@pytest.fixture(scope="module")
def folder(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What was trained, exported."""
    return export.export(trained, tmp_path_factory.mktemp("exported"), SD3)


def same(a: Path, b: Path) -> bool:
    first, second = load_file(a), load_file(b)
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_a_resumed_training_equals_an_uninterrupted_one(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae/state.safetensors").write_bytes((trained / "vae/state.safetensors").read_bytes())
    flow.train(SD3, state.Run(tmp_path, steps=4, until=2))
    assert not same(tmp_path / "flow/state.safetensors", trained / "flow/state.safetensors")
    flow.train(SD3, state.Run(tmp_path, steps=4, resume=True))
    assert same(tmp_path / "flow/state.safetensors", trained / "flow/state.safetensors")


def test_the_export_loads_as_a_plain_pipeline(folder: Path) -> None:
    from diffusers import StableDiffusion3Pipeline

    pipeline: Any = StableDiffusion3Pipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline.vae_scale_factor == 8
    assert all(
        part.dtype == torch.float32 for part in pipeline.components.values() if isinstance(part, torch.nn.Module)
    )
    picture = pipeline(CAPTION, height=64, width=64, num_inference_steps=2, max_sequence_length=32).images[0]
    assert picture.size == (64, 64)


def test_the_loaded_model_gives_the_velocity_that_was_trained(trained: Path, folder: Path) -> None:
    model = flow.FlowModel(SD3)
    state.load_average(trained / "flow/state.safetensors", model)
    with torch.no_grad():
        # A training of a few steps leaves the last layer at next to nothing.
        torch.nn.init.normal_(model.transformer.proj_out.weight)
        model.bfloat16().float()
    backbone: Any = Editor.load(folder, device="cpu", unswept=True).backbone
    backbone.transformer.proj_out.load_state_dict(model.transformer.proj_out.state_dict())
    z = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    ids = text.Tokenizers(text.clip_tokenizer(), text.t5_tokenizer())([CAPTION])
    with torch.no_grad():
        expected = model(z, torch.tensor([0.7]), *ids)
    assert backbone.spec.family == "sd3"
    given = backbone.velocity(z, 0.7, backbone.condition(CAPTION, guidance=1.0))
    assert torch.allclose(given, expected, atol=1e-4)


def test_the_export_edits_a_picture(folder: Path) -> None:
    picture, mask = world.scene(5, 64).render(), np.zeros((64, 64), bool)
    mask[16:32, 16:32] = True
    instruction = Instruction((Operation(mask, Translate((44.0, 40.0))),))
    config = EditConfig().with_(inversion={"steps": 4, "skip": 2}, optimise={"moving": 1, "refining": 1})
    result = Editor.load(folder, device="cpu").open(picture, CAPTION).edit(instruction, config)
    assert result.pixels.shape == picture.shape
    assert not np.array_equal(result.pixels, picture)


def test_a_model_in_the_other_layout_gives_what_is_alike(model: Path) -> None:
    flux, begun = flow.exported(model, TWO_HEADS), flow.FlowModel(SD3)
    begun.begin_with(model)
    theirs, own = flux.transformer, begun.transformer
    z, x = torch.randn(2, 16, 8, 6), torch.randn(2, 12, 64)
    with torch.no_grad():
        assert torch.allclose(own.pos_embed.proj(z).flatten(2).mT, theirs.x_embedder(pack(z)), atol=1e-5)
        assert torch.allclose(unpack_last(own.proj_out(x), 4, 3), unpack(theirs.proj_out(x), 4, 3), atol=1e-5)
    first, block = own.transformer_blocks[0], theirs.transformer_blocks[0]
    assert torch.equal(first.attn.add_k_proj.weight, block.attn.add_k_proj.weight)
    assert torch.equal(first.norm1.linear.weight[: 6 * 64], block.norm1.linear.weight)
    assert not first.norm1.linear.weight[6 * 64 :].any()
    assert torch.equal(begun.text.t5.shared.weight, flux.text.t5.shared.weight)


def test_a_training_begun_in_the_other_layout_keeps_the_autoencoder(model: Path, tmp_path: Path) -> None:
    flow.train(SD3, state.Run(tmp_path, steps=1), model)
    written = export.export(tmp_path, tmp_path / "exported", SD3, model)
    assert same(written / "vae/diffusion_pytorch_model.safetensors", model / "vae/diffusion_pytorch_model.safetensors")
    with pytest.raises(UserError, match="choose a folder in layout flux"):
        flow.exported(written, TWO_HEADS)
    with pytest.raises(UserError, match="start from that instead"):
        flow.FlowModel(TWO_HEADS).begin_with(written)
    with pytest.raises(UserError, match="same sizes"):
        flow.FlowModel(replace(SD3, heads=1)).begin_with(model)


def test_a_checkpoint_in_the_other_layout_is_refused(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="in another layout"):
        export.export(trained, tmp_path / "exported", replace(SD3, layout="flux"))
    with pytest.raises(UserError, match="in another layout"):
        flow.train(replace(SD3, layout="flux"), state.Run(trained, steps=5, resume=True))


@pytest.mark.parametrize("stage", [["flow"], ["export", "--to", "y"]])
def test_the_command_has_both_layouts(stage: list[str]) -> None:
    assert parser().parse_args([*stage, "--out", "x", "--layout", "sd3"]).layout == "sd3"
    assert parser().parse_args([*stage, "--out", "x"]).layout == "flux"
