"""What the contract needs of a family of models, so that every check runs on a small model of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from dragflow.backbones.dummy import write_dummy
from dragflow.backbones.flux1.load import LAYOUT
from dragflow.backbones.flux1_fill.load import LAYOUT as FILL_LAYOUT
from dragflow.backbones.flux1_kontext.load import LAYOUT as KONTEXT_LAYOUT
from dragflow.backbones.flux2_dev.load import LAYOUT as FLUX2_DEV_LAYOUT
from dragflow.backbones.flux2_klein.load import LAYOUT as FLUX2_LAYOUT
from dragflow.backbones.pipeline import PipelineBackbone
from dragflow.backbones.pipeline_layout import Layout
from dragflow.backbones.qwen_image.load import LAYOUT as QWEN_LAYOUT
from dragflow.backbones.qwen_image_edit.load import LAYOUT as QWEN_EDIT_LAYOUT
from dragflow.backbones.qwen_image_edit_plus.load import LAYOUT as QWEN_EDIT_PLUS_LAYOUT
from dragflow.backbones.registry import load_backbone
from dragflow.backbones.sd3.load import LAYOUT as SD3_LAYOUT
from dragflow.backbones.z_image.load import LAYOUT as Z_IMAGE_LAYOUT
from dragflow.core.models import ModelOptions
from small_flux import diffusers_velocity
from small_flux2 import diffusers_velocity as flux2_velocity
from small_flux2 import write_flux2, write_flux2_dev
from small_qwen import diffusers_velocity as qwen_velocity
from small_qwen import write_qwen
from small_sd3 import diffusers_velocity as sd3_velocity
from small_sd3 import write_sd3
from small_z_image import diffusers_velocity as z_image_velocity
from small_z_image import write_z_image


@dataclass(frozen=True)
class FamilyCase:
    """A family under test: a small model of it, and how diffusers itself runs that."""

    name: str
    """As `BackboneSpec.family` has it."""
    layout: Layout
    write: Callable[[Path], Path]
    """Saves a small model with random weights, in the layout of real ones."""
    blocks: Callable[[Any], dict[str, nn.Module]]
    """The transformer's blocks by their names, in the order they run."""
    velocity: Callable[[Any, Tensor, Any], Tensor]
    """v of a transformer at `TIME` by diffusers' own forward pass, of a latent and a conditioning."""
    features: Callable[[nn.Module], dict[str, tuple[nn.Module, int | str | slice]]]
    """Of a block with taps: the module of which each tap is an output, by its number, or an input, by its name, or
    "" for the first."""
    embedder: str
    """The linear layer that all image tokens, and so all gradients to the latent, pass through."""
    missing: tuple[tuple[str, str], ...]
    """A tensor of every network, with its file, where more may come before its name: without it nothing may be
    loaded."""
    text_first: bool = True
    """Whether text comes before the image in a block that the library gives both together."""

    def load(self, folder: Path, **options: Any) -> PipelineBackbone:
        """A loaded model of this family."""
        loaded = load_backbone(ModelOptions.of(folder, **{"device": "cpu", **options}))
        assert isinstance(loaded, PipelineBackbone)
        assert loaded.spec.family == self.name
        return loaded


def _flux_blocks(transformer: Any) -> dict[str, nn.Module]:
    doubles = {f"double.{i}": block for i, block in enumerate(transformer.transformer_blocks)}
    return doubles | {f"single.{i}": block for i, block in enumerate(transformer.single_transformer_blocks)}


FLUX1 = FamilyCase(
    name="flux1",
    layout=LAYOUT,
    write=write_dummy,
    blocks=_flux_blocks,
    velocity=diffusers_velocity,
    features=lambda block: {"norm": (block.get_submodule("norm1"), 0), "out": (block, 1)},
    embedder="x_embedder",
    missing=(
        ("transformer/diffusion_pytorch_model.safetensors", "proj_out.weight"),
        ("vae/diffusion_pytorch_model.safetensors", "decoder.conv_norm_out.weight"),
        ("text_encoder/model.safetensors", "encoder.layers.0.layer_norm1.weight"),
        ("text_encoder_2/model.safetensors", "encoder.block.0.layer.0.SelfAttention.q.weight"),
    ),
)
FLUX1_KONTEXT = replace(
    FLUX1,
    name="flux1-kontext",
    layout=KONTEXT_LAYOUT,
    write=lambda folder: write_dummy(folder, pipeline="FluxKontextPipeline"),
)
FLUX1_FILL = replace(
    FLUX1,
    name="flux1-fill",
    layout=FILL_LAYOUT,
    write=lambda folder: write_dummy(folder, pipeline="FluxFillPipeline"),
    velocity=lambda transformer, z, cond: diffusers_velocity(transformer, z, cond, cond.fill),
)
FLUX2_KLEIN = FamilyCase(
    name="flux2-klein",
    layout=FLUX2_LAYOUT,
    write=write_flux2,
    blocks=_flux_blocks,
    velocity=flux2_velocity,
    features=lambda block: {
        "norm": (block.get_submodule("attn"), "hidden_states"),
        "out": (block, slice(None) if hasattr(block, "norm") else 1),
    },
    embedder="x_embedder",
    missing=(
        ("transformer/diffusion_pytorch_model.safetensors", "double_stream_modulation_img.linear.weight"),
        ("vae/diffusion_pytorch_model.safetensors", "bn.running_var"),
        ("text_encoder/model.safetensors", "model.layers.0.mlp.up_proj.weight"),
    ),
)
FLUX2_DEV = replace(
    FLUX2_KLEIN,
    name="flux2-dev",
    layout=FLUX2_DEV_LAYOUT,
    write=write_flux2_dev,
    missing=(*FLUX2_KLEIN.missing[:2], ("text_encoder/model.safetensors", "layers.0.mlp.up_proj.weight")),
)
FLUX2_KLEIN_BASE = replace(FLUX2_KLEIN, write=lambda folder: write_flux2(folder, distilled=False))
QWEN_IMAGE = FamilyCase(
    name="qwen-image",
    layout=QWEN_LAYOUT,
    write=write_qwen,
    blocks=lambda transformer: {f"block.{i}": block for i, block in enumerate(transformer.transformer_blocks)},
    velocity=qwen_velocity,
    features=lambda block: {"norm": (block.get_submodule("attn"), "hidden_states"), "out": (block, 1)},
    embedder="img_in",
    missing=(
        ("transformer/diffusion_pytorch_model.safetensors", "txt_norm.weight"),
        ("vae/diffusion_pytorch_model.safetensors", "decoder.conv_out.weight"),
        ("text_encoder/model.safetensors", "lm_head.weight"),
    ),
)
QWEN_IMAGE_EDIT = replace(
    QWEN_IMAGE,
    name="qwen-image-edit",
    layout=QWEN_EDIT_LAYOUT,
    write=lambda folder: write_qwen(folder, "QwenImageEditPipeline"),
)
QWEN_IMAGE_EDIT_PLUS = replace(
    QWEN_IMAGE,
    name="qwen-image-edit-plus",
    layout=QWEN_EDIT_PLUS_LAYOUT,
    write=lambda folder: write_qwen(folder, "QwenImageEditPlusPipeline", zero_cond_t=True),
)
SD3 = FamilyCase(
    name="sd3",
    layout=SD3_LAYOUT,
    write=write_sd3,
    blocks=lambda transformer: {f"block.{i}": block for i, block in enumerate(transformer.transformer_blocks)},
    velocity=sd3_velocity,
    features=lambda block: {"norm": (block.get_submodule("norm1"), 0), "out": (block, 1)},
    embedder="pos_embed.proj",
    missing=(
        ("transformer/diffusion_pytorch_model.safetensors", "context_embedder.bias"),
        ("vae/diffusion_pytorch_model.safetensors", "decoder.conv_norm_out.weight"),
        ("text_encoder/model.safetensors", "text_projection.weight"),
        ("text_encoder_2/model.safetensors", "text_projection.weight"),
        ("text_encoder_3/model.safetensors", "encoder.block.0.layer.0.SelfAttention.q.weight"),
    ),
)
Z_IMAGE = FamilyCase(
    name="z-image",
    layout=Z_IMAGE_LAYOUT,
    write=write_z_image,
    blocks=lambda transformer: {
        **{f"refiner.{i}": block for i, block in enumerate(transformer.noise_refiner)},
        **{f"layer.{i}": block for i, block in enumerate(transformer.layers)},
    },
    velocity=z_image_velocity,
    features=lambda block: {"norm": (block.get_submodule("attention"), ""), "out": (block, slice(None))},
    embedder="all_x_embedder.2-1",
    missing=(
        ("transformer/diffusion_pytorch_model.safetensors", "x_pad_token"),
        ("vae/diffusion_pytorch_model.safetensors", "decoder.conv_norm_out.weight"),
        ("text_encoder/model.safetensors", "layers.0.mlp.up_proj.weight"),
    ),
    text_first=False,
)
Z_IMAGE_TURBO = replace(Z_IMAGE, write=lambda folder: write_z_image(folder, turbo=True))
CASES = (FLUX1, FLUX2_KLEIN, QWEN_IMAGE, SD3, Z_IMAGE)
"""Add a family here, and every check runs on it."""
VARIANTS = (
    FLUX1_KONTEXT,
    FLUX1_FILL,
    FLUX2_DEV,
    FLUX2_KLEIN_BASE,
    QWEN_IMAGE_EDIT,
    QWEN_IMAGE_EDIT_PLUS,
    Z_IMAGE_TURBO,
)
"""Those that share nearly all code with one of them."""
