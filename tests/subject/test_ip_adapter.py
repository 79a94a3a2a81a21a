"""IP-adapters in a small FLUX: the numbers of diffusers itself, nothing left behind, and every tensor accounted for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from dragflow.backbones.flux1.model import Flux1
from dragflow.core.config import SubjectConfig
from dragflow.core.errors import UserError
from dragflow.core.models import SubjectOptions
from dragflow.method.backbone import Site
from dragflow.subject.dummy import write_clip, write_ip_adapter
from dragflow.subject.encoders import to_pil
from dragflow.subject.ip_adapter.adapter import EncodedImage, IpAdapter
from dragflow.subject.registry import load_subject
from small_flux import (
    SIDE,
    TIME,
    check_frozen,
    check_gradients,
    diffusers_velocity,
    error,
    gradient,
    hooks,
    load,
    picture,
    refusal,
)


def load_adapter(options: SubjectOptions, backbone: Flux1, *, offload: bool = False) -> IpAdapter:
    return cast("IpAdapter", load_subject(options, backbone, offload=offload))


@pytest.fixture(scope="module")
def adapter(backbone: Flux1, ip_adapter: SubjectOptions) -> IpAdapter:
    return load_adapter(ip_adapter, backbone)


class Diffusers:
    """A pipeline of diffusers with the adapter loaded by itself, in the way that its documentation shows."""

    def __init__(self, folder: Path, options: SubjectOptions, lora: Path | None = None) -> None:
        from diffusers import FluxPipeline

        self.pipeline: Any = FluxPipeline.from_pretrained(folder)
        if lora is not None:
            self.pipeline.load_lora_weights(str(lora.parent), weight_name=lora.name)
        weights = Path(str(options.weights))
        self.pipeline.load_ip_adapter(
            str(weights.parent),
            weight_name=weights.name,
            image_encoder_pretrained_model_name_or_path=options.clip,
            image_encoder_dtype=torch.float32,
        )

    def velocity(self, z: Tensor, cond: Any, image: Tensor, scale: float) -> Tensor:
        self.pipeline.set_ip_adapter_scale(scale)
        with torch.no_grad():
            embeds = self.pipeline.prepare_ip_adapter_image_embeds(to_pil(image), None, torch.device("cpu"), 1)
        kwargs = {"ip_adapter_image_embeds": embeds}
        return diffusers_velocity(self.pipeline.transformer, z, cond, joint_attention_kwargs=kwargs)


# -- what it computes --------------------------------------------------------------------------------------------------


def test_velocities_are_those_of_diffusers(
    dummy_folder: Path, backbone: Flux1, adapter: IpAdapter, ip_adapter: SubjectOptions, z: Tensor
) -> None:
    theirs = Diffusers(dummy_folder, ip_adapter)
    plain = backbone.condition("a cat", guidance=3.5)
    found: list[Tensor] = []
    for seed in (1, 2):
        subject = adapter.encode(picture(seed))
        for scale, config in ((0.7, SubjectConfig()), (1.5, SubjectConfig(scale=1.5))):
            cond = replace(plain, subject=subject.under(config))
            found.append(backbone.velocity(z, TIME, cond))
            assert error(found[-1], theirs.velocity(z, plain, picture(seed), scale)) <= 1e-5
    assert error(found[2], found[0]) > 1e-3
    assert error(found[1], found[0]) > 1e-3
    assert error(found[0], backbone.velocity(z, TIME, plain)) > 1e-2


def test_a_file_under_the_names_of_diffusers_gives_the_same(
    backbone: Flux1, adapter: IpAdapter, ip_adapter: SubjectOptions, tmp_path: Path
) -> None:
    other = load_adapter(replace(ip_adapter, weights=str(write_ip_adapter(tmp_path / "a.bin"))), backbone)
    assert other.token_kv.keys() == adapter.token_kv.keys()
    for ours, theirs in zip(
        (other.projection, *other.token_kv.values()), (adapter.projection, *adapter.token_kv.values()), strict=True
    ):
        found, expected = ours.state_dict(), theirs.state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in found)


def test_an_adapter_of_sixteen_tokens(dummy_folder: Path, tmp_path: Path) -> None:
    """diffusers knows it by 16 x 4096 rows."""
    from diffusers import FluxTransformer2DModel

    dims = {"attention_head_dim": 32, "num_attention_heads": 2, "axes_dims_rope": (8, 12, 12)}
    transformer = FluxTransformer2DModel(
        num_layers=1, num_single_layers=1, joint_attention_dim=4096, pooled_projection_dim=32, **dims
    )
    backbone = Flux1(transformer, weights=load(dummy_folder).weights)
    write_clip(tmp_path / "clip")
    weights = write_ip_adapter(tmp_path / "a.safetensors", doubles=1, width=4096, tokens=16)
    adapter = load_adapter(SubjectOptions("ip-adapter", str(weights), clip=str(tmp_path / "clip")), backbone)
    assert adapter.encode(picture(1)).tokens.shape == (1, 16, 4096)


def test_the_picture_is_letterboxed_never_cropped(adapter: IpAdapter) -> None:
    wide = torch.zeros(1, 3, SIDE, 2 * SIDE)
    boxed = torch.ones(1, 3, SIDE, SIDE)
    boxed[..., SIDE // 4 : 3 * SIDE // 4, :] = 0
    assert torch.allclose(adapter.encode(wide).tokens, adapter.encode(boxed).tokens, atol=1e-5)
    edge = wide.clone()
    edge[..., :4] = 1
    assert not torch.allclose(adapter.encode(edge).tokens, adapter.encode(wide).tokens, atol=1e-3)


def test_with_the_subject_off_the_model_is_as_it_was(dummy_folder: Path, ip_adapter: SubjectOptions, z: Tensor) -> None:
    model = load(dummy_folder)
    cond = model.condition("a cat", guidance=1.0)
    processors, modules = model.transformer.attn_processors, [name for name, _ in model.transformer.named_modules()]
    v, slope = model.velocity(z, TIME, cond), gradient(model, z, cond)
    subject = load_adapter(ip_adapter, model).encode(picture(1))
    assert not torch.equal(model.velocity(z, TIME, replace(cond, subject=subject)), v)
    assert torch.equal(model.velocity(z, TIME, cond), v)
    assert torch.equal(gradient(model, z, cond), slope)
    assert hooks(model) == 0
    assert model.transformer.attn_processors == processors
    assert [name for name, _ in model.transformer.named_modules()] == modules


def test_scale_zero_adds_nothing(backbone: Flux1, subject: EncodedImage, z: Tensor) -> None:
    plain = backbone.condition("a cat", guidance=1.0)
    off = replace(plain, subject=subject.under(SubjectConfig(scale=0.0)))
    assert torch.equal(backbone.velocity(z, TIME, off), backbone.velocity(z, TIME, plain))


def test_keys_are_computed_once_for_all_times_and_strengths(
    backbone: Flux1, adapter: IpAdapter, subject: EncodedImage, z: Tensor
) -> None:
    calls: list[str] = []
    handles = [
        reader.to_k_ip.register_forward_hook(lambda *_, block=block: calls.append(block))
        for block, reader in adapter.token_kv.items()
    ]
    handles.append(adapter.projection.register_forward_hook(lambda *_: calls.append("projection")))
    for scale in (None, 0.3):
        cond = backbone.condition("a cat", subject=subject.under(SubjectConfig(scale=scale)), guidance=1.0)
        backbone.features(z, TIME, cond, taps=("double.0.out",))
        for t in (TIME, 0.4):
            backbone.velocity(z, t, cond)
    for handle in handles:
        handle.remove()
    assert sorted(calls) == ["double.0", "double.1", "double.2"]


# -- together with everything else -------------------------------------------------------------------------------------


def test_truncated_features_see_it(
    dummy_folder: Path, backbone: Flux1, subject: EncodedImage, ip_adapter: SubjectOptions, z: Tensor
) -> None:
    """The output of a double block is what diffusers' own block gives."""
    theirs = Diffusers(dummy_folder, ip_adapter)
    seen: list[Tensor] = []
    block = theirs.pipeline.transformer.transformer_blocks[1]
    handle = block.register_forward_hook(lambda _, __, out: seen.append(out[1]))
    plain = backbone.condition("a cat", guidance=3.5)
    theirs.velocity(z, plain, picture(1), 0.7)
    handle.remove()
    with torch.no_grad():
        (found,) = backbone.features(z, TIME, replace(plain, subject=subject), taps=("double.1.out",))
    assert error(found.flatten(2).transpose(1, 2), seen[0]) <= 1e-5


def test_gradients_reach_the_latent_and_nothing_of_the_subject(
    dummy_folder: Path, backbone: Flux1, adapter: IpAdapter, subject: EncodedImage, z: Tensor
) -> None:
    cond = backbone.condition("a cat", subject=subject, guidance=3.5)
    check_gradients(backbone, load(dummy_folder, checkpointing=True), z, cond)
    weights = [*adapter.projection.parameters(), *adapter.encoder.model.parameters()]
    weights += [x for reader in adapter.token_kv.values() for x in reader.parameters()]
    kept = [subject.tokens, *(x for pair in subject.kv.values() for x in pair)]
    assert len(kept) == 7
    check_frozen((*weights, *kept))


def test_the_gradient_is_the_slope(subject: EncodedImage) -> None:
    """Finite differences along one direction, in double precision but for the adapter."""
    query = torch.randn(1, 6, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def energy(query: Tensor) -> Tensor:
        return subject("double.0", query.float()).double().square().sum()

    query.requires_grad_(True)
    (slope,) = torch.autograd.grad(energy(query), query)
    step = slope / slope.norm() * 1e-1
    measured = (energy(query + step) - energy(query - step)) / 2
    assert float(measured.detach()) == pytest.approx(float((slope * step).sum()), rel=2e-2)


def test_keys_and_values_are_controlled_in_the_same_block(backbone: Flux1, subject: EncodedImage, z: Tensor) -> None:
    cond = backbone.condition("a cat", subject=subject, guidance=1.0)
    v = backbone.velocity(z, TIME, cond)

    class Silent:
        blocks = frozenset({"double.0"})

        def __call__(self, site: Site, x: Tensor) -> Tensor:
            return torch.zeros_like(x) if site.part == "v" else x

    silent = backbone.velocity(z, TIME, cond, kv=Silent())
    assert error(silent, v) > 1e-3
    assert error(silent, backbone.velocity(z, TIME, replace(cond, subject=None), kv=Silent())) > 1e-3
    assert gradient(backbone, z, cond, Silent()).isfinite().all()


def test_with_a_lora_velocities_are_those_of_diffusers_with_both(
    dummy_folder: Path, ip_adapter: SubjectOptions, z: Tensor, tmp_path: Path
) -> None:
    from diffusers import FluxPipeline
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    pipeline = FluxPipeline.from_pretrained(dummy_folder)
    pipeline.transformer.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_k"], init_lora_weights=False))
    layers: dict[str, Any] = get_peft_model_state_dict(pipeline.transformer)
    FluxPipeline.save_lora_weights(tmp_path, layers)
    file = tmp_path / "pytorch_lora_weights.safetensors"
    model = load(dummy_folder, lora=(str(file),))
    cond = model.condition("a cat", subject=load_adapter(ip_adapter, model).encode(picture(1)), guidance=3.5)
    expected = Diffusers(dummy_folder, ip_adapter, file).velocity(z, cond, picture(1), 0.7)
    assert error(model.velocity(z, TIME, cond), expected) <= 1e-5
    assert error(load(dummy_folder).velocity(z, TIME, cond), expected) > 1e-3


@pytest.mark.parametrize("quantize", [None, "int8", "fp8", "layerwise-fp8"])
def test_in_bfloat16_and_quantised_all_of_it_is_bfloat16(
    quantize: str | None,
    dummy_folder: Path,
    backbone: Flux1,
    subject: EncodedImage,
    ip_adapter: SubjectOptions,
    z: Tensor,
) -> None:
    if quantize in ("int8", "fp8"):
        pytest.importorskip("torchao", reason="torchao is not installed (extra: quant)")
    model = load(dummy_folder, dtype="bfloat16", quantize=quantize)
    rough = load_adapter(ip_adapter, model).encode(picture(1))
    v = model.velocity(z, TIME, model.condition("a cat", subject=rough, guidance=1.0))
    exact = backbone.velocity(z, TIME, backbone.condition("a cat", subject=subject, guidance=1.0))
    assert error(v, exact) < 0.3
    assert {x.dtype for x in (rough.tokens, *rough.kv["double.0"])} == {torch.bfloat16}
    assert gradient(model, z, model.condition("a cat", subject=rough, guidance=1.0)).isfinite().all()


def test_an_offloaded_encoder_sees_the_same(backbone: Flux1, subject: EncodedImage, ip_adapter: SubjectOptions) -> None:
    offloaded = load_adapter(ip_adapter, backbone, offload=True)
    assert torch.allclose(offloaded.encode(picture(1)).tokens, subject.tokens, atol=1e-5)


# -- what is refused ---------------------------------------------------------------------------------------------------


def changed(path: Path, change: Callable[[Any], Any]) -> Path:
    from safetensors.torch import load_file, save_file

    tensors = load_file(write_ip_adapter(path))
    change(tensors)
    save_file(tensors, path)
    return path


V_BIAS = "double_blocks.1.processor.ip_adapter_double_stream_v_proj.bias"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x.pop(V_BIAS), f"tensor {V_BIAS} is missing (one of 1)"),
        (lambda x: x.pop("ip_adapter_proj_model.norm.bias"), "tensor ip_adapter_proj_model.norm.bias is missing"),
        (lambda x: x.pop("ip_adapter_proj_model.proj.weight"), "tensor ip_adapter_proj_model.proj.weight is missing"),
        (lambda x: x.update({V_BIAS: torch.zeros(63)}), f"{V_BIAS} has shape (63,) instead of (64,)"),
        (lambda x: x.update({"single_blocks.0.weight": torch.zeros(1)}), "single_blocks.0.weight is unexpected"),
    ],
)
def test_what_does_not_fit_is_named(
    change: Callable[[Any], Any], words: str, backbone: Flux1, ip_adapter: SubjectOptions, tmp_path: Path
) -> None:
    weights = changed(tmp_path / "a.safetensors", change)
    assert words in refusal(replace(ip_adapter, weights=str(weights)), backbone)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"doubles": 2}, "tensor double_blocks.2."),
        ({"doubles": 4}, "double_blocks.3.processor.ip_adapter_double_stream_k_proj.bias is unexpected"),
        ({"inner": 96}, "(96, 32) instead of (64, 32)"),
        ({"width": 48}, "ip_adapter_proj_model.proj.weight has shape (192, 24) instead of (128, 24)"),
        ({"tokens": 5}, "(160, 24) instead of (128, 24)"),
    ],
)
def test_an_adapter_for_another_model_is_refused(
    settings: dict[str, int], words: str, backbone: Flux1, ip_adapter: SubjectOptions, tmp_path: Path
) -> None:
    weights = write_ip_adapter(tmp_path / "a.safetensors", **settings)
    assert words in refusal(replace(ip_adapter, weights=str(weights)), backbone)


def test_the_checkpoint_of_another_adapter_is_refused(
    backbone: Flux1, ip_adapter: SubjectOptions, instantcharacter: SubjectOptions
) -> None:
    with pytest.raises(UserError, match=r"tensor image_proj\.proj\.weight is missing"):
        load_subject(replace(ip_adapter, weights=instantcharacter.weights), backbone)
    with pytest.raises(UserError, match=r"tensor image_proj\.resampler\.latents is missing"):
        load_subject(replace(instantcharacter, weights=ip_adapter.weights), backbone)


def test_a_clip_that_cannot_serve_is_refused(backbone: Flux1, ip_adapter: SubjectOptions, tmp_path: Path) -> None:
    write_clip(tmp_path / "narrow", embedding=16)
    for clip, words in (
        (str(tmp_path / "narrow"), r"width 24, .* has 16"),
        ("/no/such", r"subject.clip` \(CLIP\) '/no/such' is neither"),
        (str(tmp_path), "CLIP encoder"),
    ):
        with pytest.raises(UserError, match=words):
            load_subject(replace(ip_adapter, clip=clip), backbone)


class Trap:
    def __reduce__(self) -> Any:
        return (exec, ("raise SystemExit('a pickle ran code')",))


def test_a_pickle_that_would_run_code_is_refused(backbone: Flux1, ip_adapter: SubjectOptions, tmp_path: Path) -> None:
    weights = tmp_path / "a.bin"
    torch.save({"image_proj": {"proj.weight": Trap()}}, weights)
    with pytest.raises(UserError, match="not a readable file of tensors only"):
        load_subject(replace(ip_adapter, weights=str(weights)), backbone)
