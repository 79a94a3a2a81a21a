"""The IP-adapter in a small Stable Diffusion 3.5: the numbers of diffusers itself, and every tensor accounted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dragflow.backbones.flux1.model import Flux1
from dragflow.backbones.pipeline import PipelineBackbone
from dragflow.backbones.registry import load_backbone
from dragflow.core.config import SubjectConfig
from dragflow.core.errors import CapabilityError
from dragflow.core.models import ModelOptions, SubjectOptions
from dragflow.method.backbone import Site
from dragflow.subject.dummy import write_instantx, write_ip_adapter, write_sd3_ip_adapter
from dragflow.subject.encoders import to_pil
from dragflow.subject.ip_adapter.sd3 import TimedIpAdapter, build
from dragflow.subject.registry import load_subject
from dragflow.subject.resampler import ResamplerSize
from dragflow.subject.timed import EncodedSubject
from small_flux import SIDE, TIME, check_frozen, check_gradients, error, gradient, hooks, picture, refusal
from small_sd3 import diffusers_velocity, write_sd3
from watched import watched

H, W, STEPS, GUIDANCE = 48, 64, 4, 3.0
PROMPT = "a red ball beside a tree"
TOLERANCE = 1e-5


def load_model(folder: Path, **options: Any) -> PipelineBackbone:
    return cast("PipelineBackbone", load_backbone(ModelOptions.of(folder, device="cpu", **options)))


def load_adapter(options: SubjectOptions, backbone: PipelineBackbone, *, offload: bool = False) -> TimedIpAdapter:
    return cast("TimedIpAdapter", load_subject(options, backbone, offload=offload))


@pytest.fixture(scope="module")
def model(sd3_folder: Path) -> PipelineBackbone:
    return load_model(sd3_folder)


@pytest.fixture(scope="module")
def adapter(model: PipelineBackbone, sd3_ip_adapter: SubjectOptions) -> TimedIpAdapter:
    return load_adapter(sd3_ip_adapter, model)


@pytest.fixture
def subject(adapter: TimedIpAdapter) -> EncodedSubject:
    return adapter.encode(picture(1))


def pipeline(folder: Path, options: SubjectOptions, file: Path | None = None) -> Any:
    """A pipeline of diffusers with the adapter loaded by itself, in the way that its documentation shows."""
    from diffusers import StableDiffusion3Pipeline
    from transformers import SiglipImageProcessorPil, SiglipVisionModel

    pipe = StableDiffusion3Pipeline.from_pretrained(
        folder,
        image_encoder=SiglipVisionModel.from_pretrained(options.siglip),
        feature_extractor=SiglipImageProcessorPil(size={"height": SIDE, "width": SIDE}),
    )
    file = file or Path(str(options.weights))
    pipe.load_ip_adapter(str(file.parent), weight_name=file.name)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def theirs(sd3_folder: Path, sd3_ip_adapter: SubjectOptions) -> Any:
    return pipeline(sd3_folder, sd3_ip_adapter)


# -- what it computes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("guidance", [1.0, GUIDANCE])
@pytest.mark.parametrize("scale", [None, 1.5])
def test_every_step_is_the_pipelines(
    scale: float | None, guidance: float, model: PipelineBackbone, adapter: TimedIpAdapter, theirs: Any
) -> None:
    """With guidance, the negative prompt is beside a picture whose features are zeros."""
    theirs.set_ip_adapter_scale(0.5 if scale is None else scale)
    image = picture(2)
    with watched(theirs) as seen:
        theirs(
            PROMPT, height=H, width=W, num_inference_steps=STEPS, guidance_scale=guidance,
            max_sequence_length=int(theirs.tokenizer_3.model_max_length), ip_adapter_image=to_pil(image),
            generator=torch.Generator().manual_seed(0), output_type="latent",
        )  # fmt: skip
    plain = model.condition(PROMPT, guidance=guidance)
    subject = adapter.encode(image).under(SubjectConfig(scale=scale))
    cond = model.condition(PROMPT, subject=subject, guidance=guidance)
    times = [float(t) / 1000 for t in theirs.scheduler.timesteps]
    assert len(seen) == STEPS
    for (z, v), t in zip(seen, times, strict=True):
        assert error(model.velocity(z, t, cond), v) < TOLERANCE
        assert error(model.velocity(z, t, plain), v) > 1e-3


def test_the_picture_its_time_and_its_strength_matter(model: PipelineBackbone, adapter: TimedIpAdapter, z: Tensor):
    found = [
        model.velocity(z, TIME, model.condition("a cat", subject=adapter.encode(picture(seed)).under(c), guidance=1.0))
        for seed, c in (
            (1, SubjectConfig()),
            (2, SubjectConfig()),
            (1, SubjectConfig(scale=1.0)),
            (1, SubjectConfig(time_scale=1.0)),
        )
    ]
    assert all(error(v, found[0]) > 1e-4 for v in found[1:])


def test_truncated_features_see_it(model: PipelineBackbone, subject: EncodedSubject, theirs: Any, z: Tensor) -> None:
    """The output of a block is what diffusers' own block gives."""
    seen: list[Tensor] = []
    handle = theirs.transformer.transformer_blocks[2].register_forward_hook(lambda _, __, out: seen.append(out[1]))
    theirs.set_ip_adapter_scale(0.5)
    cond = model.condition("a cat", subject=subject, guidance=1.0)
    kwargs = {"ip_adapter_image_embeds": subject.fused}
    diffusers_velocity(theirs.transformer, z, cond, joint_attention_kwargs=kwargs)
    handle.remove()
    with torch.no_grad():
        (found,) = model.features(z, TIME, cond, taps=("block.2.out",))
    assert error(found.flatten(2).transpose(1, 2), seen[0]) < TOLERANCE


DIFFUSERS = {
    "0.norm1": "ln0",
    "0.norm2": "ln1",
    "0.to_q": "attn.to_q",
    "0.to_kv": "attn.to_kv",
    "0.to_out": "attn.to_out.0",
    "1.0": "adaln_norm",
    "1.1": "ff.net.0.proj",
    "1.3": "ff.net.2",
    "2.1": "adaln_proj",
}


def under_names_of_diffusers(source: str | None, path: Path) -> Path:
    tensors = load_file(str(source))
    for i in range(4):
        for ours, theirs in DIFFUSERS.items():
            for name in [name for name in tensors if name.startswith(f"image_proj.layers.{i}.{ours}.")]:
                tensors[name.replace(f".{i}.{ours}.", f".{i}.{theirs}.")] = tensors.pop(name)
    save_file(tensors, path)
    return path


def test_the_same_file_as_a_pickle_and_under_the_names_of_diffusers(
    sd3_folder: Path, model: PipelineBackbone, adapter: TimedIpAdapter, sd3_ip_adapter: SubjectOptions, tmp_path: Path
) -> None:
    renamed = under_names_of_diffusers(sd3_ip_adapter.weights, tmp_path / "diffusers.safetensors")
    pipeline(sd3_folder, sd3_ip_adapter, renamed)  # which are diffusers' indeed
    expected = nn.ModuleList([adapter.resampler, *adapter.attentions.values()]).state_dict()
    for path in (renamed, write_sd3_ip_adapter(tmp_path / "ip-adapter.bin")):
        other = load_adapter(replace(sd3_ip_adapter, weights=str(path)), model)
        found = nn.ModuleList([other.resampler, *other.attentions.values()]).state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in found)


def test_in_real_size_it_has_the_parameters_of_the_published_file() -> None:
    """Which is of 1.6 GB, at two bytes each."""
    size = ResamplerSize(features=1152, width=1280, depth=4, tokens=64, out=2432)
    with torch.device("meta"):
        whole = build(size, heads=(38, 64), blocks=38)
    assert 2 * sum(x.numel() for x in whole.parameters()) / 1e9 == pytest.approx(1.6, abs=0.05)


# -- what is computed how often, and what stays ------------------------------------------------------------------------


def test_with_the_subject_off_the_model_is_as_it_was(
    sd3_folder: Path, sd3_ip_adapter: SubjectOptions, z: Tensor
) -> None:
    model = load_model(sd3_folder)
    cond = model.condition("a cat", guidance=GUIDANCE)
    processors, modules = model.transformer.attn_processors, [name for name, _ in model.transformer.named_modules()]
    v, slope = model.velocity(z, TIME, cond), gradient(model, z, cond)
    subject = load_adapter(sd3_ip_adapter, model).encode(picture(1))
    assert not torch.equal(model.velocity(z, TIME, model.condition("a cat", subject=subject, guidance=GUIDANCE)), v)
    off = model.condition("a cat", subject=subject.under(SubjectConfig(scale=0.0)), guidance=GUIDANCE)
    assert torch.equal(model.velocity(z, TIME, off), v)
    assert torch.equal(model.velocity(z, TIME, cond), v)
    assert torch.equal(gradient(model, z, cond), slope)
    assert hooks(model) == 0
    assert model.transformer.attn_processors == processors
    assert [name for name, _ in model.transformer.named_modules()] == modules


def test_tokens_and_keys_are_computed_once_for_each_time(
    model: PipelineBackbone, adapter: TimedIpAdapter, subject: EncodedSubject, z: Tensor
) -> None:
    """For the picture, and for the zeros that guidance leads away from."""
    calls: Counter[str] = Counter()
    parts: dict[str, nn.Module] = {"tokens": adapter.resampler}
    parts |= {block: attention.to_k_ip for block, attention in adapter.attentions.items()}
    handles = [part.register_forward_hook(lambda *_, name=name: calls.update([name])) for name, part in parts.items()]
    conditions = [model.condition(text, subject=subject, guidance=GUIDANCE) for text in ("a cat", "a dog")]
    for cond in conditions:
        model.features(z, TIME, cond, taps=("block.1.out",))
    assert calls == dict.fromkeys(("tokens", "block.0", "block.1"), 1)  # nothing for blocks that do not run
    for cond in conditions:
        for t in (TIME, 0.4):
            model.velocity(z, t, cond)
    for handle in handles:
        handle.remove()
    assert calls == dict.fromkeys(("tokens", *model.spec.blocks), 4)


def test_gradients_reach_the_latent_and_nothing_of_the_subject(
    sd3_folder: Path, model: PipelineBackbone, adapter: TimedIpAdapter, subject: EncodedSubject, z: Tensor
) -> None:
    cond = model.condition("a cat", subject=subject, guidance=1.0)
    check_gradients(model, load_model(sd3_folder, checkpointing=True), z, cond)
    control = subject.by_time[TIME]
    kept = [x for pair in control.kv.values() for x in pair]
    assert kept
    weights = nn.ModuleList([adapter.resampler, adapter.encoder.model, *adapter.attentions.values()]).parameters()
    check_frozen((*weights, *kept, control.tokens, control.embedded))


@pytest.mark.parametrize("part", range(3), ids=["queries", "keys", "values"])
def test_the_gradient_is_the_slope(part: int, subject: EncodedSubject) -> None:
    """Finite differences along one direction, in double precision but for the adapter."""
    control = subject.at(TIME)
    generator = torch.Generator().manual_seed(0)
    qkv = [torch.randn(1, 6, 64, dtype=torch.float64, generator=generator) for _ in range(3)]

    def energy(x: Tensor) -> Tensor:
        q, k, v = (each.float() for each in (*qkv[:part], x, *qkv[part + 1 :]))
        return control("block.0", q, (k, v)).double().square().sum()

    x = qkv[part].requires_grad_(True)
    (slope,) = torch.autograd.grad(energy(x), x)
    step = slope / slope.norm() * 1e-1
    measured = (energy(x + step) - energy(x - step)) / 2
    assert float(measured.detach()) == pytest.approx(float((slope * step).sum()), rel=2e-2)


def test_keys_and_values_are_controlled_in_the_same_block(
    model: PipelineBackbone, subject: EncodedSubject, z: Tensor
) -> None:
    """What is injected is injected for the subject's attention, too, as if the model had projected it."""
    cond = model.condition("a cat", subject=subject, guidance=1.0)

    class Doubled:
        blocks = frozenset({"block.0"})

        def __call__(self, site: Site, x: Tensor) -> Tensor:
            return 2 * x

    found = model.velocity(z, TIME, cond, kv=Doubled())
    attention = model.transformer.transformer_blocks[0].attn
    weights = [x for name in ("to_k", "to_v") for x in attention.get_submodule(name).parameters()]
    with torch.no_grad():
        for x in weights:
            x *= 2
        expected = model.velocity(z, TIME, cond)
        for x in weights:
            x /= 2
    assert error(found, expected) < TOLERANCE
    assert gradient(model, z, cond, Doubled()).isfinite().all()


@pytest.mark.parametrize("quantize", [None, "int8", "layerwise-fp8"])
def test_in_bfloat16_and_quantised_all_of_it_is_bfloat16(
    quantize: str | None, sd3_folder: Path, model: PipelineBackbone, subject: EncodedSubject,
    sd3_ip_adapter: SubjectOptions, z: Tensor,
) -> None:  # fmt: skip
    if quantize == "int8":
        pytest.importorskip("torchao", reason="torchao is not installed (extra: quant)")
    rough = load_model(sd3_folder, dtype="bfloat16", quantize=quantize)
    seen = load_adapter(sd3_ip_adapter, rough).encode(picture(1))
    v = rough.velocity(z, TIME, rough.condition("a cat", subject=seen, guidance=1.0))
    assert error(v, model.velocity(z, TIME, model.condition("a cat", subject=subject, guidance=1.0))) < 0.3
    control = seen.by_time[TIME]
    assert {x.dtype for x in (seen.fused, control.tokens, *control.kv["block.0"])} == {torch.bfloat16}
    assert gradient(rough, z, rough.condition("a cat", subject=seen, guidance=1.0)).isfinite().all()


def test_an_offloaded_encoder_sees_the_same(
    model: PipelineBackbone, subject: EncodedSubject, sd3_ip_adapter: SubjectOptions
) -> None:
    offloaded = load_adapter(sd3_ip_adapter, model, offload=True)
    assert torch.equal(offloaded.encode(picture(1)).fused, subject.fused)


# -- what is refused ---------------------------------------------------------------------------------------------------


def changed(source: str | None, path: Path, change: Callable[[dict[str, Tensor]], Any]) -> str:
    tensors = load_file(str(source))
    change(tensors)
    save_file(tensors, path)
    return str(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x.pop("ip_adapter.4.to_v_ip.weight"), "tensor ip_adapter.4.to_v_ip.weight is missing (one of 1)"),
        (lambda x: x.pop("ip_adapter.6.norm_ip_k.weight"), "tensor ip_adapter.6.norm_ip_k.weight is missing"),
        (lambda x: x.pop("image_proj.latents"), "tensor image_proj.latents is missing"),
        (lambda x: x.pop("image_proj.layers.3.0.to_kv.weight"), "image_proj.layers.3.0.to_kv.weight is missing"),
        (lambda x: x.update({"ip_adapter.0.to_k_ip.bias": torch.zeros(64)}), "0.to_k_ip.bias is unexpected"),
        (lambda x: x.update({"optimizer.step": torch.zeros(1)}), "tensor optimizer.step is unexpected"),
        (lambda x: x.update({"image_proj.norm_out.bias": torch.zeros(63)}), "(63,) instead of (64,)"),
        (lambda x: x.update({"image_proj.latents": torch.zeros(1, 8, 48)}), "the width of the resampler is 48"),
    ],
)
def test_what_does_not_fit_is_named(
    change: Any, words: str, model: PipelineBackbone, sd3_ip_adapter: SubjectOptions, tmp_path: Path
) -> None:
    weights = changed(sd3_ip_adapter.weights, tmp_path / "a.safetensors", change)
    assert words in refusal(replace(sd3_ip_adapter, weights=weights), model)


def test_what_does_not_fit_is_named_as_the_file_has_it(
    model: PipelineBackbone, sd3_ip_adapter: SubjectOptions, tmp_path: Path
) -> None:
    renamed = under_names_of_diffusers(sd3_ip_adapter.weights, tmp_path / "a.safetensors")
    weights = changed(str(renamed), tmp_path / "b.safetensors", lambda x: x.pop("image_proj.layers.2.ff.net.2.weight"))
    words = "tensor image_proj.layers.2.ff.net.2.weight is missing (one of 1)"
    assert words in refusal(replace(sd3_ip_adapter, weights=weights), model)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"blocks": 6}, "tensor ip_adapter.6.norm_ip.linear.weight is missing (one of 7)"),
        ({"blocks": 8}, "ip_adapter.7.norm_ip.linear.bias is unexpected (one of 7)"),
        ({"heads": 3}, "(96, 96) instead of (64, 96)"),
        ({"embedding": 24}, "trained for an embedding of width 24, but that of SigLIP"),
    ],
)
def test_an_adapter_for_another_model_is_refused(
    settings: dict[str, int], words: str, model: PipelineBackbone, sd3_ip_adapter: SubjectOptions, tmp_path: Path
) -> None:
    weights = write_sd3_ip_adapter(tmp_path / "a.safetensors", **settings)
    assert words in refusal(replace(sd3_ip_adapter, weights=str(weights)), model)


@pytest.mark.parametrize("write", [write_ip_adapter, write_instantx])
def test_an_adapter_for_the_other_family_is_refused(
    write: Callable[[Path], Path], model: PipelineBackbone, backbone: Flux1, sd3_ip_adapter: SubjectOptions,
    tmp_path: Path,
) -> None:  # fmt: skip
    of_flux = replace(sd3_ip_adapter, weights=str(write(tmp_path / "a.safetensors")))
    said = refusal(of_flux, model)
    assert f"{of_flux.weights} is not an IP-adapter for Stable Diffusion 3.5, as the model is: give InstantX's" in said
    said = refusal(sd3_ip_adapter, backbone)
    assert f"{sd3_ip_adapter.weights} is an IP-adapter for Stable Diffusion 3.5, but the model is FLUX.1: give" in said


def test_instantcharacter_is_for_flux_alone(model: PipelineBackbone, instantcharacter: SubjectOptions) -> None:
    with pytest.raises(
        CapabilityError, match=r"made for flux1, flux1-kontext, flux1-fill and does not work in .* family sd3"
    ):
        load_subject(instantcharacter, model)


def test_a_model_with_second_attentions_is_refused(sd3_ip_adapter: SubjectOptions, tmp_path: Path) -> None:
    medium = load_model(write_sd3(tmp_path / "medium", dual=3))
    with pytest.raises(CapabilityError, match=r"second attention, as those of Stable Diffusion 3\.5 medium: use"):
        load_subject(sd3_ip_adapter, medium)


def test_an_encoder_that_the_layout_does_not_take_is_refused(
    model: PipelineBackbone, sd3_ip_adapter: SubjectOptions
) -> None:
    assert "leave `subject.clip` out" in refusal(replace(sd3_ip_adapter, clip="other"), model)
