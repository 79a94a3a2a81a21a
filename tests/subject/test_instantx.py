"""IP-adapters in InstantX's layout in a small FLUX: the numbers, nothing left behind, every tensor accounted for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from diffusers.models.transformers.transformer_flux import FluxAttnProcessor
from torch import Tensor

from dragflow.backbones.flux1.model import Flux1
from dragflow.core.config import SubjectConfig
from dragflow.core.errors import UserError
from dragflow.core.models import SubjectOptions
from dragflow.subject.dummy import write_clip, write_instantx
from dragflow.subject.encoders import to_pil
from dragflow.subject.ip_adapter.adapter import EncodedImage, IpAdapter
from dragflow.subject.ip_adapter.instantx import build
from dragflow.subject.registry import load_subject
from small_flux import (
    TIME,
    check_frozen,
    check_gradients,
    diffusers_velocity,
    error,
    hooks,
    load,
    picture,
    refusal,
)


def load_adapter(options: SubjectOptions, backbone: Flux1) -> IpAdapter:
    return cast("IpAdapter", load_subject(options, backbone))


@pytest.fixture(scope="module")
def adapter(backbone: Flux1, instantx: SubjectOptions) -> IpAdapter:
    return load_adapter(instantx, backbone)


# -- the numbers, from the checkpoint's tensors and transformers' own SigLIP -------------------------------------------


@torch.no_grad()
def tokens_of(tensors: dict[str, Tensor], siglip: str, image: Tensor) -> Tensor:
    """Embedding to tokens, step by step."""
    from transformers import SiglipImageProcessorPil, SiglipVisionModel

    processor = SiglipImageProcessorPil(size={"height": 28, "width": 28})
    pixels = processor(to_pil(image), return_tensors="pt")["pixel_values"]
    embedding = SiglipVisionModel.from_pretrained(siglip)(pixels).pooler_output[0]
    hidden = tensors["proj.0.weight"] @ embedding + tensors["proj.0.bias"]
    hidden = hidden * (1 + torch.erf(hidden / 2**0.5)) / 2
    rows = (tensors["proj.2.weight"] @ hidden + tensors["proj.2.bias"]).view(-1, 32)
    rows = (rows - rows.mean(1, keepdim=True)) / (rows.var(1, keepdim=True, correction=0) + 1e-5).sqrt()
    return rows * tensors["norm.weight"] + tensors["norm.bias"]


class AttendingProcessor:
    """diffusers' own processor, and the attention of all of its queries over tokens, with softmax written out.

    Where the attention has an output projection, the result goes through it: that is linear, but for its bias.
    """

    def __init__(self, to_k: Tensor, to_v: Tensor, tokens: Tensor, scale: float) -> None:
        self.plain, self.scale = FluxAttnProcessor(), scale
        k, self.v = (rows.unflatten(1, (2, 32)).transpose(0, 1) for rows in (tokens @ to_k.T, tokens @ to_v.T))
        self.k = k / (k.square().mean(-1, keepdim=True) + 1e-5).sqrt()

    def __call__(self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Any = None, *rest: Any) -> Any:
        query = attn.norm_q(attn.to_q(hidden_states).unflatten(-1, (2, 32)))[0].transpose(0, 1)
        weights = (query @ self.k.transpose(1, 2) / 32**0.5).softmax(-1)
        added = self.scale * (weights @ self.v).transpose(0, 1).flatten(1)
        out = self.plain(attn, hidden_states, encoder_hidden_states, *rest)
        if encoder_hidden_states is None:
            return out + added
        return out[0] + added @ attn.to_out[0].weight.T, out[1]


def expected(folder: Path, options: SubjectOptions, z: Tensor, cond: Any, image: Tensor, scale: float) -> Tensor:
    transformer: Any = load(folder).transformer
    parts = torch.load(Path(str(options.weights)), weights_only=True)
    tokens, layers = tokens_of(parts["image_proj"], options.siglip, image), parts["ip_adapter"]
    transformer.set_attn_processor(
        {
            name: AttendingProcessor(layers[f"{i}.to_k_ip.weight"], layers[f"{i}.to_v_ip.weight"], tokens, scale)
            for i, name in enumerate(transformer.attn_processors)
        }
    )
    return diffusers_velocity(transformer, z, cond)


def test_velocities_are_those_of_the_layout(
    dummy_folder: Path, backbone: Flux1, adapter: IpAdapter, instantx: SubjectOptions, z: Tensor
) -> None:
    plain = backbone.condition("a cat", guidance=3.5)
    found: list[Tensor] = []
    for seed in (1, 2):
        for scale, config in ((0.7, SubjectConfig()), (1.5, SubjectConfig(scale=1.5))):
            subject = adapter.encode(picture(seed)).under(config)
            found.append(backbone.velocity(z, TIME, replace(plain, subject=subject)))
            theirs = expected(dummy_folder, instantx, z, plain, picture(seed), scale)
            assert error(found[-1], theirs) <= 1e-5
    assert error(found[2], found[0]) > 1e-3
    assert error(found[1], found[0]) > 1e-3
    assert error(found[0], backbone.velocity(z, TIME, plain)) > 1e-2


def test_the_text_attends_to_it_too(backbone: Flux1, adapter: IpAdapter, subject: EncodedImage, z: Tensor) -> None:
    blind = replace(subject, adapter=replace(adapter, place=replace(adapter.place, text=False)))
    seen, unseen = (
        backbone.velocity(z, TIME, backbone.condition("a cat", subject=x, guidance=1.0)) for x in (subject, blind)
    )
    assert error(seen, unseen) > 1e-4


def test_with_the_subject_off_the_model_is_as_it_was(backbone: Flux1, subject: EncodedImage, z: Tensor) -> None:
    cond = backbone.condition("a cat", guidance=1.0)
    v = backbone.velocity(z, TIME, cond)
    off = replace(cond, subject=subject.under(SubjectConfig(scale=0.0)))
    assert torch.equal(backbone.velocity(z, TIME, off), v)
    assert not torch.equal(backbone.velocity(z, TIME, replace(cond, subject=subject)), v)
    assert torch.equal(backbone.velocity(z, TIME, cond), v)
    assert hooks(backbone) == 0


def test_keys_are_computed_once_for_all_times(
    backbone: Flux1, adapter: IpAdapter, subject: EncodedImage, z: Tensor
) -> None:
    calls: list[str] = []
    handles = [
        module.register_forward_hook(lambda *_, block=block: calls.append(block))
        for block, module in adapter.token_kv.items()
    ]
    for scale in (None, 0.3):
        cond = backbone.condition("a cat", subject=subject.under(SubjectConfig(scale=scale)), guidance=1.0)
        for t in (TIME, 0.4):
            backbone.velocity(z, t, cond)
    for handle in handles:
        handle.remove()
    assert sorted(calls) == sorted(backbone.spec.blocks)


def test_gradients_reach_the_latent_and_nothing_of_the_subject(
    dummy_folder: Path, backbone: Flux1, adapter: IpAdapter, subject: EncodedImage, z: Tensor
) -> None:
    cond = backbone.condition("a cat", subject=subject, guidance=3.5)
    check_gradients(backbone, load(dummy_folder, checkpointing=True), z, cond)
    kept = [subject.tokens, *(x for pair in subject.kv.values() for x in pair)]
    assert len(kept) == 7  # of the blocks before the last tap
    check_frozen(
        (*adapter.projection.parameters(), *torch.nn.ModuleList(adapter.token_kv.values()).parameters(), *kept)
    )


def test_in_bfloat16_all_of_it_is_bfloat16(
    dummy_folder: Path, backbone: Flux1, subject: EncodedImage, instantx: SubjectOptions, z: Tensor
) -> None:
    model = load(dummy_folder, dtype="bfloat16")
    rough = load_adapter(instantx, model).encode(picture(1))
    v = model.velocity(z, TIME, model.condition("a cat", subject=rough, guidance=1.0))
    assert error(v, backbone.velocity(z, TIME, backbone.condition("a cat", subject=subject, guidance=1.0))) < 0.3
    assert {x.dtype for x in (rough.tokens, *rough.kv["single.0"])} == {torch.bfloat16}


def test_in_real_size_it_has_the_parameters_of_the_published_file() -> None:
    """Which is of 5.29 GB, at two bytes each."""
    with torch.device("meta"):
        whole = build(1152, 2304, 4096, 128, heads=(24, 128), blocks=57)
    assert 2 * sum(x.numel() for x in whole.parameters()) == 5_291_201_024


# -- what is refused ---------------------------------------------------------------------------------------------------


def changed(path: Path, change: Callable[[Any], Any], **settings: int) -> str:
    parts = torch.load(write_instantx(path, **settings), weights_only=True)
    change(parts)
    torch.save(parts, path)
    return str(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x["ip_adapter"].pop("4.to_v_ip.weight"), "tensor ip_adapter.4.to_v_ip.weight is missing (one of 1)"),
        (lambda x: x["ip_adapter"].pop("0.to_k_ip.weight"), "tensor ip_adapter.0.to_k_ip.weight is missing"),
        (lambda x: x["image_proj"].pop("proj.2.weight"), "tensor image_proj.proj.2.weight is missing"),
        (
            lambda x: x["image_proj"].update({"norm.bias": torch.zeros(31)}),
            "norm.bias has shape (31,) instead of (32,)",
        ),
        (
            lambda x: x["image_proj"].update({"proj.2.weight": torch.zeros(250, 64)}),
            "250 rows, which is not a multiple",
        ),
        (lambda x: x["ip_adapter"].update({"0.to_k_ip.bias": torch.zeros(64)}), "0.to_k_ip.bias is unexpected"),
    ],
)
def test_what_does_not_fit_is_named(
    change: Callable[[Any], Any], words: str, backbone: Flux1, instantx: SubjectOptions, tmp_path: Path
) -> None:
    assert words in refusal(replace(instantx, weights=changed(tmp_path / "a.bin", change)), backbone)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"blocks": 8}, "tensor ip_adapter.8.to_k_ip.weight is missing (one of 2)"),
        ({"blocks": 10}, "ip_adapter.9.to_k_ip.weight is unexpected (one of 2)"),
        ({"inner": 96}, "(96, 32) instead of (64, 32)"),
        ({"embedding": 24}, "trained for an embedding of width 24, but that of SigLIP"),
    ],
)
def test_an_adapter_for_another_model_is_refused(
    settings: dict[str, int], words: str, backbone: Flux1, instantx: SubjectOptions, tmp_path: Path
) -> None:
    weights = write_instantx(tmp_path / "a.bin", **settings)
    assert words in refusal(replace(instantx, weights=str(weights)), backbone)


def test_a_siglip_that_cannot_serve_is_refused(backbone: Flux1, instantx: SubjectOptions, tmp_path: Path) -> None:
    from transformers import SiglipVisionConfig, SiglipVisionModel

    config = SiglipVisionConfig(
        hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14
    )
    config.vision_use_head = False
    SiglipVisionModel(config).save_pretrained(tmp_path / "headless")
    write_clip(tmp_path / "clip")
    for siglip, words in (
        (str(tmp_path / "headless"), "has no pooling head"),
        (str(tmp_path / "clip"), "SigLIP encoder"),
        ("/no/such", r"subject.siglip` \(SigLIP\) '/no/such' is neither"),
    ):
        with pytest.raises(UserError, match=words):
            load_subject(replace(instantx, siglip=siglip), backbone)


@pytest.mark.parametrize(("fixture", "option"), [("instantx", "clip"), ("ip_adapter", "siglip")])
def test_an_encoder_that_the_layout_does_not_take_is_refused(
    fixture: str, option: str, backbone: Flux1, request: pytest.FixtureRequest
) -> None:
    options: SubjectOptions = request.getfixturevalue(fixture)
    assert f"leave `subject.{option}` out" in refusal(replace(options, **{option: "other"}), backbone)
