"""A subject in a small FLUX: where it acts, what is computed how often, and that nothing of it stays behind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from dragflow.backbones.flux1.model import Flux1
from dragflow.core.config import SubjectConfig
from dragflow.core.errors import CapabilityError, UserError
from dragflow.core.models import SubjectOptions
from dragflow.subject.dummy import write_dinov2
from dragflow.subject.instantcharacter.adapter import InstantCharacter
from dragflow.subject.registry import load_subject
from dragflow.subject.timed import EncodedSubject
from small_flux import TIME, check_frozen, check_gradients, hooks, load


@pytest.fixture(scope="module")
def checkpointed(dummy_folder: Path) -> Flux1:
    return load(dummy_folder, checkpointing=True)


@pytest.fixture(scope="module")
def adapter(backbone: Flux1, instantcharacter: SubjectOptions) -> InstantCharacter:
    return cast("InstantCharacter", load_subject(instantcharacter, backbone))


@pytest.fixture
def subject(adapter: InstantCharacter) -> EncodedSubject:
    return adapter.encode(torch.rand(1, 3, 30, 40, generator=torch.Generator().manual_seed(1)))


@contextmanager
def count_calls(adapter: InstantCharacter) -> Iterator[Counter[str]]:
    """Runs of the parts of an adapter."""
    calls: Counter[str] = Counter()
    parts = {"siglip": adapter.encoders.members[0].model, "resampler": adapter.projector.resampler}
    parts |= {f"k {block}": attention.to_k_ip for block, attention in adapter.attentions.items()}
    handles = [
        part.register_forward_hook(lambda *_, name=name: calls.update([name]))  # pyright: ignore[reportArgumentType]
        for name, part in parts.items()
    ]
    yield calls
    for handle in handles:
        handle.remove()


def test_a_subject_changes_velocity_and_features_and_without_it_they_are_as_before(
    backbone: Flux1, subject: EncodedSubject, z: Tensor
) -> None:
    plain, kept = backbone.condition("a cat", guidance=1.0), backbone.condition("a cat", subject=subject, guidance=1.0)
    taps = ("double.0.out",)
    v, (f,) = backbone.velocity(z, TIME, plain), backbone.features(z, TIME, plain, taps=taps)
    assert not torch.allclose(backbone.velocity(z, TIME, kept), v, atol=1e-4)
    assert not torch.allclose(backbone.features(z, TIME, kept, taps=taps)[0], f, atol=1e-4)
    assert torch.equal(backbone.velocity(z, TIME, plain), v)
    assert torch.equal(backbone.features(z, TIME, plain, taps=taps)[0], f)
    assert hooks(backbone) == 0


def test_scale_zero_adds_nothing(backbone: Flux1, subject: EncodedSubject, z: Tensor) -> None:
    off = backbone.condition("a cat", subject=subject.under(SubjectConfig(scale=0.0)), guidance=1.0)
    assert torch.equal(
        backbone.velocity(z, TIME, off), backbone.velocity(z, TIME, backbone.condition("a cat", guidance=1.0))
    )


def test_scale_and_time_scale_matter(backbone: Flux1, subject: EncodedSubject, z: Tensor) -> None:
    found = [
        backbone.velocity(z, TIME, backbone.condition("a cat", subject=subject.under(config), guidance=1.0))
        for config in (SubjectConfig(), SubjectConfig(scale=0.5), SubjectConfig(time_scale=1.0))
    ]
    assert not torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


@pytest.mark.parametrize("block", ["double.1", "single.2"])
def test_every_block_adds_its_own_attention_to_its_image_tokens(
    block: str, backbone: Flux1, adapter: InstantCharacter, subject: EncodedSubject, z: Tensor
) -> None:
    cond = backbone.condition("", subject=subject, guidance=1.0)
    kind, _, index = block.partition(".")
    double, transformer = kind == "double", backbone._transformer
    module = (transformer.transformer_blocks if double else transformer.single_transformer_blocks)[int(index)]
    attention, text = module.attn, 0 if double else cond.text.tokens.shape[1]
    given: list[dict[str, Any]] = []
    found: list[Tensor] = []
    handles = [attention.register_forward_pre_hook(lambda _, __, kwargs: given.append(kwargs), with_kwargs=True)]
    if double:
        handles.append(attention.to_out[0].register_forward_hook(lambda _, __, out: found.append(out)))
    else:  # its projection takes the attention's output first, then that of the MLP
        handles.append(module.proj_out.register_forward_pre_hook(lambda _, args: found.append(args[0][..., :64])))
    backbone.velocity(z, TIME, cond)
    for handle in handles:
        handle.remove()
    with torch.no_grad():
        own = attention(**given[0])
        own = own[0] if double else own
        part = adapter.attentions[block]
        tokens = adapter.projector.resampler(subject.fused, 1000 * TIME)
        added = 1.5 * part(attention.to_q(given[0]["hidden_states"])[:, text:], part.project(tokens))
        added = added @ attention.to_out[0].weight.T if double else added
    assert added.abs().mean() > 1e-3
    assert torch.allclose(found[0][:, text:], own[:, text:] + added, atol=1e-5)
    assert torch.equal(found[0][:, :text], own[:, :text])


def test_tokens_and_keys_are_computed_once_for_each_time(
    backbone: Flux1, adapter: InstantCharacter, subject: EncodedSubject, z: Tensor
) -> None:
    source, target = (
        backbone.condition(p, subject=subject, guidance=g) for p, g in (("a cat", 1.0), ("a cat, moved", 3.5))
    )
    with count_calls(adapter) as calls:
        for _ in range(3):
            backbone.features(z, TIME, target, taps=backbone.spec.taps)
        doubles = {name for name in calls if name.startswith("k ")}
        assert doubles == {"k double.0", "k double.1", "k double.2"}  # nothing for blocks that do not run
        for t in (TIME, 0.4):
            backbone.velocity(z, t, source)
            backbone.velocity(z, t, target)
    assert calls == {"resampler": 2} | {f"k {block}": 2 for block in backbone.spec.blocks}


def test_gradients_reach_the_latent_and_nothing_of_the_subject(
    backbone: Flux1, checkpointed: Flux1, adapter: InstantCharacter, subject: EncodedSubject, z: Tensor
) -> None:
    cond = backbone.condition("a cat", subject=subject, guidance=3.5)
    check_gradients(backbone, checkpointed, z, cond)
    kept = [x for control in subject.by_time.values() for pair in control.kv.values() for x in (*pair, control.tokens)]
    assert kept
    check_frozen((*kept, *adapter.projector.parameters()))


def test_the_gradient_goes_through_the_adapters_query(backbone: Flux1, subject: EncodedSubject) -> None:
    """Finite differences along one direction, in double precision."""
    control = subject.at(TIME)
    query = torch.randn(1, 6, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def energy(query: Tensor) -> Tensor:
        return control("double.0", query.float()).double().square().sum()

    query.requires_grad_(True)
    (slope,) = torch.autograd.grad(energy(query), query)
    step = torch.randn_like(query) * 1e-2
    measured = (energy(query + step) - energy(query - step)) / 2
    assert float(measured.detach()) == pytest.approx(float((slope * step).sum()), rel=2e-2)


def test_every_hook_is_gone_after_a_subject_that_raises(backbone: Flux1, subject: EncodedSubject, z: Tensor) -> None:
    subject.at(TIME)
    control = subject.by_time[TIME]
    broken: Any = replace(control, attentions=dict.fromkeys(control.attentions), kv={})
    cond = backbone.condition("a cat", subject=replace(subject, by_time={TIME: broken}), guidance=1.0)
    with pytest.raises(AttributeError, match="project"):
        backbone.velocity(z, TIME, cond)
    assert hooks(backbone) == 0


def test_in_bfloat16_all_of_it_is_bfloat16(dummy_folder: Path, instantcharacter: SubjectOptions, z: Tensor) -> None:
    model = load(dummy_folder, dtype="bfloat16")
    subject = cast("EncodedSubject", load_subject(instantcharacter, model).encode(torch.rand(1, 3, 30, 40)))
    v = model.velocity(z, TIME, model.condition("a cat", subject=subject, guidance=1.0))
    assert v.dtype == torch.float32
    assert v.isfinite().all()
    control = subject.by_time[TIME]
    assert {x.dtype for x in (subject.fused, control.tokens, *control.kv["single.0"])} == {torch.bfloat16}


def test_fused_projections_are_refused(dummy_folder: Path, subject: EncodedSubject, z: Tensor) -> None:
    model = load(dummy_folder)
    cond = model.condition("", subject=subject, guidance=1.0)
    model._transformer.fuse_qkv_projections()
    with pytest.raises(CapabilityError, match="fused"):
        model.velocity(z, TIME, cond)


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_a_model_without_support_is_refused_with_what_has_it(backbone: Flux1, instantcharacter: SubjectOptions) -> None:
    for spec in (replace(backbone.spec, family="toy"), replace(backbone.spec, subject_heads=None)):
        other: Any = Flux1(backbone._transformer, backbone._pipeline)
        other.spec = spec
        with pytest.raises(CapabilityError, match=rf"instantcharacter is made for flux1, .* family {spec.family}"):
            load_subject(instantcharacter, other)


def test_options_that_name_nothing_are_refused(
    backbone: Flux1, instantcharacter: SubjectOptions, tmp_path: Path
) -> None:
    text = tmp_path / "adapter.txt"
    text.write_text("")
    for change, word in (
        ({"adapter": "photomaker"}, "instantcharacter"),
        ({"weights": "no-such.bin"}, r"no-such\.bin"),
        ({"weights": str(text)}, r"adapter\.txt"),
        ({"weights": str(tmp_path)}, r"is a folder: name the adapter's \.safetensors or \.bin file in it"),
        ({"siglip": "/no/such"}, r"SigLIP.*neither a folder nor a hub id"),
    ):
        with pytest.raises(UserError, match=word):
            load_subject(replace(instantcharacter, **change), backbone)


def test_encoders_of_another_width_are_refused(
    backbone: Flux1, instantcharacter: SubjectOptions, tmp_path: Path
) -> None:
    write_dinov2(tmp_path, width=16)
    with pytest.raises(UserError, match=r"width 64, .* have 48"):
        load_subject(replace(instantcharacter, dinov2=str(tmp_path)), backbone)
