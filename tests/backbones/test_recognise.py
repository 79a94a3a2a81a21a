"""What a model's file is, told by its header: every network in its real size, what is refused, damaged headers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from dragflow.backbones.checkpoints.header import Header
from dragflow.backbones.checkpoints.recognise import Recognised, recognise, recognise_header
from dragflow.backbones.model_file import published_for
from dragflow.backbones.tensors import Entry
from dragflow.core.errors import CapabilityError, UserError
from gguf_files import write_packed
from model_files import COMFY, flux1_original, full_size, prefixed, write_raw

FILE = Path("model.safetensors")


def told(entries: Mapping[str, Entry]) -> Recognised:
    return recognise_header(FILE, Header(dict(entries), {}))


def cls(name: str) -> Any:
    import diffusers
    import transformers

    return getattr(diffusers, name, None) or getattr(transformers, name)


WIDE_CLIP = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20}
T5 = {"d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64, "feed_forward_proj": "gated-gelu"}
KL = {
    "_class_name": "AutoencoderKL",
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
}
KLEIN = {"guidance_embeds": False}
SD3 = {"caption_projection_dim": 1536, "joint_attention_dim": 4096, "qk_norm": "rms_norm"}
SD3_LARGE = {**SD3, "num_layers": 38, "num_attention_heads": 38, "caption_projection_dim": 2432}

FULL: dict[str, tuple[str, dict[str, Any], str, str | None]] = {
    "FLUX.1-dev": (
        "FluxTransformer2DModel",
        {"guidance_embeds": True},
        "flux1",
        "dev, or a fine-tune of it, or Kontext",
    ),
    "FLUX.1-schnell": ("FluxTransformer2DModel", {}, "flux1", "schnell"),
    "FLUX.1-Fill": ("FluxTransformer2DModel", {"in_channels": 384, "guidance_embeds": True}, "flux1", "Fill"),
    "FLUX.1-Canny": (
        "FluxTransformer2DModel",
        {"in_channels": 128, "guidance_embeds": True},
        "flux1",
        "Canny or Depth",
    ),
    "FLUX.2-dev": ("Flux2Transformer2DModel", {}, "flux2", "dev"),
    "FLUX.2-klein-4B": (
        "Flux2Transformer2DModel",
        {**KLEIN, "num_layers": 5, "num_single_layers": 20, "num_attention_heads": 24, "joint_attention_dim": 7680},
        "flux2",
        "klein 4B",
    ),
    "FLUX.2-klein-9B": (
        "Flux2Transformer2DModel",
        {**KLEIN, "num_layers": 8, "num_single_layers": 24, "num_attention_heads": 32, "joint_attention_dim": 12288},
        "flux2",
        "klein 9B",
    ),
    "SD3-medium": (
        "SD3Transformer2DModel",
        {**SD3, "num_layers": 24, "num_attention_heads": 24, "qk_norm": None},
        "sd3",
        "3 medium",
    ),
    "SD3.5-medium": (
        "SD3Transformer2DModel",
        {**SD3, "num_layers": 24, "num_attention_heads": 24, "dual_attention_layers": list(range(13))},
        "sd3",
        "3.5 medium",
    ),
    "SD3.5-large": ("SD3Transformer2DModel", SD3_LARGE, "sd3", "3.5 large"),
    "Z-Image": ("ZImageTransformer2DModel", {}, "z-image", "base or Turbo"),
    "Qwen-Image": ("QwenImageTransformer2DModel", {"num_layers": 60}, "qwen-image", "Qwen-Image or Qwen-Image-Edit"),
    "CLIP-L": ("CLIPTextModel", {"hidden_size": 768, "intermediate_size": 3072}, "clip-l", "CLIP-L"),
    "CLIP-G": ("CLIPTextModelWithProjection", WIDE_CLIP, "clip-g", "CLIP-G"),
    "T5": ("T5EncoderModel", T5, "t5-xxl", "v1.1 XXL"),
    "the VAE of FLUX.1": ("AutoencoderKL", {**KL, "latent_channels": 16}, "vae-16", "16 channels"),
    "the VAE of FLUX.2": ("AutoencoderKLFlux2", {}, "vae-flux2", "32 channels"),
    "the VAE of Qwen-Image": ("AutoencoderKLQwenImage", {}, "vae-qwen", "16 channels"),
}


@pytest.mark.parametrize("name", FULL)
def test_networks_are_told_by_their_published_configuration(name: str) -> None:
    kind, config, network, variant = FULL[name]
    found = told(full_size(cls(kind), config))
    (part,) = found.parts
    assert (part.network, part.precision, part.prefix) == (network, "bfloat16", "")
    assert str(part.variant).startswith(str(variant))
    assert found.left == 0


@pytest.mark.parametrize(
    ("width", "heads", "kind", "network"),
    [
        (2560, 32, "Qwen3Model", "qwen3-4b"),
        (4096, 32, "Qwen3Model", "qwen3-8b"),
        (5120, 32, "MistralModel", "mistral-24b"),
    ],
)
def test_language_models_are_told_by_their_width(width: int, heads: int, kind: str, network: str) -> None:
    config = {"hidden_size": width, "num_attention_heads": heads, "head_dim": 128, "num_hidden_layers": 2}
    found = told(prefixed("model.", full_size(cls(kind), config)))
    assert [part.network for part in found.parts] == [network]
    assert found.parts[0].variant is not None
    assert found.transformer is None


def test_qwen_with_eyes_is_told_from_qwen() -> None:
    language = {"model.embed_tokens.weight": Entry((152064, 3584), "BF16")}
    names = ("model.layers.0.self_attn.q_proj.weight", "visual.blocks.0.attn.qkv.weight")
    entries = language | {name: Entry((3584, 3584), "BF16") for name in names}
    entries["model.layers.0.self_attn.q_proj.bias"] = Entry((3584,), "BF16")
    assert [(part.network, part.variant) for part in told(entries).parts] == [("qwen2.5-vl-7b", "7B")]


@pytest.mark.parametrize("name", ["FLUX.1-dev", "FLUX.1-Fill", "FLUX.1-Canny"])
def test_a_packed_projection_has_the_width_that_its_bias_tells(name: str) -> None:
    kind, config, network, variant = FULL[name]
    entries = full_size(cls(kind), config)
    weight = "x_embedder.weight"
    packed = {weight: Entry((entries[weight].values // 2, 1), "U8"), f"{weight}.absmax": Entry((1,), "F32")}
    (part,) = told(entries | packed).parts
    assert part.network == network
    assert str(part.variant).startswith(str(variant))


def test_what_a_transformer_lacks_is_named() -> None:
    alone = told(full_size(cls("FluxTransformer2DModel"), {"guidance_embeds": True}))
    assert alone.pipelines == ("FluxPipeline", "FluxKontextPipeline")
    fill = told(full_size(cls("FluxTransformer2DModel"), {"in_channels": 384, "guidance_embeds": True}))
    assert fill.pipelines == ("FluxFillPipeline",)
    for each in (alone, fill):
        assert dict(each.missing) == {"text_encoder": "clip-l", "text_encoder_2": "t5-xxl", "vae": "vae-16"}
    small = {**KLEIN, "num_layers": 5, "num_single_layers": 20, "num_attention_heads": 24}
    klein = told(full_size(cls("Flux2Transformer2DModel"), small))
    assert dict(klein.missing) == {"text_encoder": "qwen3-4b", "vae": "vae-flux2"}
    dev = told(full_size(cls("Flux2Transformer2DModel"), {}))
    assert dev.pipelines == ("Flux2Pipeline",)
    assert dict(dev.missing) == {"text_encoder": "mistral-24b", "vae": "vae-flux2"}
    canny = told(full_size(cls("FluxTransformer2DModel"), {"in_channels": 128}))
    assert canny.pipelines == ()


@pytest.mark.parametrize(("guidance", "pipeline"), [(True, "Flux2Pipeline"), (False, "Flux2KleinPipeline")])
def test_a_flux2_of_another_size_is_told_by_its_guidance(guidance: bool, pipeline: str) -> None:
    other = {"num_layers": 2, "num_single_layers": 3, "guidance_embeds": guidance}
    found = told(full_size(cls("Flux2Transformer2DModel"), other))
    assert found.pipelines == (pipeline,)
    assert (dict(found.needs)["text_encoder"] == "mistral-24b") == guidance


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("FLUX.1-dev", "black-forest-labs/FLUX.1-dev"),
        ("FLUX.1-schnell", "black-forest-labs/FLUX.1-schnell"),
        ("FLUX.2-klein-4B", "black-forest-labs/FLUX.2-klein-4B"),
        ("FLUX.2-klein-9B", "black-forest-labs/FLUX.2-klein-9B"),
        ("SD3.5-large", "stabilityai/stable-diffusion-3.5-medium"),
    ],
)
def test_what_a_transformer_lacks_comes_from_weights_of_its_kind(name: str, published: str) -> None:
    kind, config, *_ = FULL[name]
    found = published_for(told(full_size(cls(kind), config)))
    assert found[0].name == published
    assert ("klein" not in name) or all(name[-2:] in each.name for each in found)


def test_an_all_in_one_checkpoint_lacks_what_it_does_not_hold() -> None:
    transformer = prefixed(COMFY, full_size(cls("FluxTransformer2DModel"), {}))
    clip = prefixed("text_encoders.clip_l.transformer.", full_size(cls(FULL["CLIP-L"][0]), FULL["CLIP-L"][1]))
    clip = {name.replace("transformer.embeddings", "transformer.text_model.embeddings"): x for name, x in clip.items()}
    clip = {name.replace("transformer.encoder", "transformer.text_model.encoder"): x for name, x in clip.items()}
    vae = prefixed("vae.", full_size(cls("AutoencoderKL"), {**KL, "latent_channels": 16}))
    found = told({**vae, **clip, **transformer, "text_encoders.clip_l.logit_scale": Entry((), "F32")})
    assert [part.network for part in found.parts] == ["flux1", "vae-16", "clip-l"]
    assert dict(found.missing) == {"text_encoder_2": "t5-xxl"}
    assert found.left == 1


@pytest.fixture(scope="module")
def tensors(dummy_folder: Path) -> dict[str, torch.Tensor]:
    return load_file(dummy_folder / "transformer" / "diffusion_pytorch_model.safetensors")


@pytest.mark.parametrize("prefix", ["", COMFY])
def test_the_authors_layout_is_told_in_milliseconds(
    prefix: str, tensors: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    file = tmp_path / "a.safetensors"
    save_file(prefixed(prefix, flux1_original(tensors)), file, metadata={"format": "pt"})
    begun = time.process_time()
    found = recognise(file)
    assert time.process_time() - begun < 0.2
    (part,) = found.parts
    assert (part.network, part.layout, part.prefix, part.precision) == ("flux1", "original", prefix, "float32")
    assert part.values == sum(x.numel() for x in tensors.values())


def test_precisions_are_told(tensors: dict[str, torch.Tensor]) -> None:
    entries = {name: Entry(tuple(x.shape), "F8_E4M3" if x.ndim == 2 else "F32") for name, x in tensors.items()}
    assert told(entries).parts[0].precision == "fp8 (e4m3)"
    scales = {
        name.replace(".weight", ".scale_weight"): Entry((), "F32") for name in entries if name.endswith(".weight")
    }
    assert told(entries | scales).parts[0].precision == "scaled fp8"
    packed = {name.replace(".weight", ".weight.absmax"): Entry((2,), "F32") for name in entries}
    assert told(entries | packed).parts[0].precision == "bitsandbytes"


UNET = "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"


@pytest.mark.parametrize(
    ("entries", "name"),
    [
        ({COMFY + UNET: Entry((320, 768), "F16")}, "Stable Diffusion 1"),
        ({COMFY + UNET: Entry((320, 1024), "F16")}, "Stable Diffusion 2"),
        ({COMFY + UNET.replace("1.1", "4.1", 1): Entry((640, 2048), "F16")}, "Stable Diffusion XL"),
        ({"blocks.0.cross_attn.norm_k.weight": Entry((5120,), "F16")}, "Wan"),
        ({"txt_in.individual_token_refiner.blocks.0.norm1.weight": Entry((3072,), "F16")}, "HunyuanVideo"),
        ({"distilled_guidance_layer.in_proj.weight": Entry((64, 64), "F16")}, "Chroma"),
        ({"blk.0.attn_q.weight": Entry((64, 64), "Q4_K")}, "a language model for llama.cpp"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(entries: dict[str, Entry], name: str) -> None:
    with pytest.raises(CapabilityError, match=rf"looks like {name} \(it has "):
        told(entries)


def test_the_autoencoder_of_stable_diffusion_is_refused_by_name() -> None:
    with pytest.raises(CapabilityError, match="looks like an autoencoder of Stable Diffusion 1 or XL"):
        told(full_size(cls("AutoencoderKL"), {**KL, "latent_channels": 4}))


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not a model that is known \(it has a\.b\)"):
        told({"a.b": Entry((1,), "F32")})
    with pytest.raises(UserError, match=r"is a LoRA .* give it by `lora`"):
        told({"transformer.x.lora_A.weight": Entry((4, 64), "F32")})
    for name, rule in (("a.ckpt", "pickle"), ("a.txt", "is not a model"), ("a.safetensors", "does not exist")):
        with pytest.raises(UserError, match=rule):
            recognise(tmp_path / name)


def test_two_models_in_one_file_are_refused(tensors: dict[str, torch.Tensor]) -> None:
    theirs = {name: Entry(tuple(x.shape), "F32") for name, x in flux1_original(tensors).items()}
    with pytest.raises(UserError, match=rf"has img_in\.weight twice, as img_in\.weight and {COMFY}img_in\.weight"):
        told({"img_in.weight": Entry((64, 64), "F32")} | prefixed(COMFY, theirs))
    other = {"layers.0.attention.qkv.weight": Entry((4, 4), "F32")}
    other |= {"layers.0.adaLN_modulation.0.weight": Entry((4, 4), "F32"), "cap_embedder.1.weight": Entry((4, 4), "F32")}
    with pytest.raises(UserError, match=r"mixes FLUX\.1 and Z-Image \(tensors vector_in\.in_layer\.weight and cap_"):
        told(theirs | other)
    with pytest.raises(UserError, match=rf"two transformers \(as {COMFY}double_blocks.* and layers\.0\.attention"):
        told(prefixed(COMFY, theirs) | other)


def entry(shape: list[int], begin: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("header", "data", "rule"),
    [
        ({"w": entry([2, 2], 0, 16)}, 12, "the file ends within tensor w: it is cut short"),
        ({"w": entry([2, 2], 0, 16)}, 20, "4 bytes follow the last tensor"),
        ({"w": entry([2, 3], 0, 16)}, 16, r"tensor w of shape \(2, 3\) and type F32 needs 24 bytes, .* gives it 16"),
        ({"w": entry([2, 2], 0, 16, "F7")}, 16, "tensor w has the type F7, which is not known"),
        ({"w": entry([2, -2], 0, 16)}, 16, "does not describe tensor w"),
        ({"w": {"dtype": "F32"}}, 16, "does not describe tensor w"),
        ({"w": 3}, 16, "does not describe tensor w"),
        ({"v": entry([4], 0, 16), "w": entry([4], 12, 28)}, 28, "tensor w begins at byte 12 instead of 16"),
        (b'{"w": 1, "w": 2}', 0, "it has w twice"),
        (b"[]", 0, "not a JSON object"),
        (b"{}", 0, "holds no tensors"),
        (b"{", 0, "is damaged"),
    ],
)
def test_a_damaged_header_names_the_tensor(header: Any, data: int, rule: str, tmp_path: Path) -> None:
    file = write_raw(tmp_path / "a.safetensors", header, bytes(data))
    with pytest.raises(UserError, match=rule):
        recognise(file)


@pytest.mark.parametrize("content", [b"", b"abc", (2**62).to_bytes(8, "little") + b"{}"])
def test_a_file_without_a_header_is_damaged(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="is damaged"):
        recognise(tmp_path / "a.safetensors")


def test_a_gguf_file_is_told_too(tensors: dict[str, torch.Tensor], tmp_path: Path) -> None:
    pytest.importorskip("gguf", reason="gguf is not installed (extra: quant)")
    write_packed(tmp_path / "a.gguf", flux1_original(tensors), "Q4_0")
    (part,) = recognise(tmp_path / "a.gguf").parts
    assert (part.network, part.layout, part.precision) == ("flux1", "original", "Q4_0")
