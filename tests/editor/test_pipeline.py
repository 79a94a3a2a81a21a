"""An editor on a pipeline that diffusers loaded: the same edits as one that loads the folder itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from test_editor import MOVE, config_of, picture

from dragflow import CapabilityError, Editor, SubjectOptions, UserError
from dragflow.backbones.flux1.model import Flux1

CONFIG = config_of("default", "inversion.steps=4", "inversion.skip=1", "kv.rule=mapped")


def pipeline_of(folder: Path, **options: Any) -> Any:
    from diffusers import FluxPipeline

    return FluxPipeline.from_pretrained(folder, **options)


def edited(editor: Editor) -> NDArray[np.uint8]:
    return editor.open(picture(), "a cat", config=CONFIG).edit(MOVE, CONFIG).pixels


@pytest.fixture(scope="module")
def plain(dummy_folder: Path) -> NDArray[np.uint8]:
    return edited(Editor.load(dummy_folder, device="cpu"))


@pytest.mark.parametrize("options", [{}, {"offload": True}, {"checkpointing": True}], ids=str)
def test_an_edit_gives_the_bytes_of_a_loaded_folder(
    options: dict[str, Any], dummy_folder: Path, plain: NDArray[np.uint8]
) -> None:
    editor = Editor.from_pipeline(pipeline_of(dummy_folder), **options)
    if "checkpointing" in options:  # recomputed gradients differ by rounding
        assert np.abs(edited(editor).astype(int) - plain).max() <= 1
    else:
        assert np.array_equal(edited(editor), plain)


def test_the_networks_are_the_pipelines_and_ask_for_no_gradient(dummy_folder: Path) -> None:
    pipeline = pipeline_of(dummy_folder)
    backbone = Editor.from_pipeline(pipeline).backbone
    assert isinstance(backbone, Flux1)
    assert backbone.transformer is pipeline.transformer
    for network in (pipeline.transformer, pipeline.vae, pipeline.text_encoder, pipeline.text_encoder_2):
        assert not network.training
        assert not any(weight.requires_grad for weight in network.parameters())


def test_the_fingerprint_is_that_of_the_values(dummy_folder: Path, tmp_path: Path) -> None:
    from dragflow.backbones.dummy import write_dummy

    first, again, other = (
        Editor.from_pipeline(pipeline_of(folder)).backbone.weights
        for folder in (dummy_folder, dummy_folder, write_dummy(tmp_path / "other", seed=1))
    )
    assert first == again
    assert first.options.model == str(dummy_folder)
    assert first.fingerprint != other.fingerprint


def test_loras_on_the_pipeline_stay(dummy_folder: Path, plain: NDArray[np.uint8]) -> None:
    from peft import LoraConfig

    pipeline = pipeline_of(dummy_folder)
    bare = Editor.from_pipeline(pipeline).backbone.weights
    torch.manual_seed(0)
    pipeline.transformer.add_adapter(LoraConfig(r=4, target_modules=["to_k", "to_v"], init_lora_weights=False))
    editor = Editor.from_pipeline(pipeline)
    assert editor.backbone.weights.fingerprint != bare.fingerprint
    changed = edited(editor)
    assert not np.array_equal(changed, plain)
    assert np.array_equal(edited(editor), changed)
    assert pipeline.transformer.peft_config


def test_a_subject_adapter_is_loaded_beside_it(dummy_folder: Path, instantcharacter: SubjectOptions) -> None:
    wrapped = Editor.from_pipeline(pipeline_of(dummy_folder), subject=instantcharacter)
    loaded = Editor.load(dummy_folder, device="cpu", subject=instantcharacter)
    assert wrapped.adapter is not None
    assert np.array_equal(edited(wrapped), edited(loaded))


def test_the_pipelines_own_dtype_is_kept(dummy_folder: Path) -> None:
    editor = Editor.from_pipeline(pipeline_of(dummy_folder, dtype=torch.bfloat16))
    assert editor.backbone.dtype == torch.bfloat16
    assert editor.backbone.weights.options.dtype == "bfloat16"


@pytest.mark.parametrize("dtype", [torch.bfloat16, "bfloat16", "torch.bfloat16"])
def test_a_dtype_is_given_itself_or_by_name(dtype: Any, dummy_folder: Path) -> None:
    backbone = Editor.load(dummy_folder, device=torch.device("cpu"), dtype=dtype).backbone
    assert backbone.dtype == torch.bfloat16
    assert backbone.weights.options.dtype == "bfloat16"


def test_what_is_not_known_is_refused(dummy_folder: Path) -> None:
    class StableDiffusionPipeline:
        """A pipeline of another family."""

    with pytest.raises(CapabilityError, match=r"StableDiffusionPipeline.*FluxPipeline"):
        Editor.from_pipeline(StableDiffusionPipeline())
    with pytest.raises(UserError, match="option ofload"):
        Editor.from_pipeline(pipeline_of(dummy_folder), ofload=True)
    pipeline = pipeline_of(dummy_folder)
    pipeline.transformer.fuse_qkv_projections()
    with pytest.raises(CapabilityError, match="fused"):
        Editor.from_pipeline(pipeline)


def test_what_the_pipeline_decides_itself_is_refused() -> None:
    with pytest.raises(UserError, match="`dtype` is the pipeline's own"):
        Editor.from_pipeline(object(), dtype="bfloat16")
