"""What every backbone must hold to where it computes some tokens alone, beside the record of all others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from family_cases import FamilyCase
from torch import Tensor

from dragflow.backbones.guidance import Guided
from dragflow.backbones.pipeline import PipelineBackbone
from dragflow.core.errors import CapabilityError
from dragflow.method.active import Active, CallRecord, TextTokens
from dragflow.method.backbone import OwnKV, Reference, SubjectPlace
from dragflow.method.kv import KVStore, TokenMap
from dragflow.method.references import in_place
from small_flux import GRID, TIME, hooks, some_fill

CPU = torch.device("cpu")
ALL = torch.ones(GRID, dtype=torch.bool)
AREA = torch.zeros(GRID, dtype=torch.bool)
AREA[1:, 1:3] = True


def near(found: Tensor, expected: Tensor) -> bool:
    """As float32 allows: the same keys, in another order."""
    return torch.allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def z(backbone: PipelineBackbone) -> Tensor:
    cells = backbone.spec.pixel_multiple // backbone.spec.latent_stride
    size = (1, backbone.spec.latent_channels, cells * GRID[0], cells * GRID[1])
    return torch.randn(size, generator=torch.Generator().manual_seed(3))


class Mixing:
    """A subject that attends to the tokens that it gets, in no order, and adds what it finds."""

    place = SubjectPlace(normed=False, output="attention", own_kv=True)
    negative = None

    def __init__(self, blocks: tuple[str, ...]) -> None:
        self.blocks = frozenset(blocks)

    def at(self, t: float) -> Mixing:
        return self

    def __call__(self, block: str, query: Tensor, own: OwnKV | None = None) -> Tensor:
        assert own is not None
        return 0.5 * torch.nn.functional.scaled_dot_product_attention(query, *own)


@pytest.fixture(scope="module")
def told(backbone: PipelineBackbone, z: Tensor) -> Callable[[float], Any]:
    """All that a model of this family can be told at once, at a guidance."""
    spec = backbone.spec
    references: tuple[Reference, ...] = tuple(in_place(z.flip(-1) * i, GRID, i) for i in range(1, spec.references + 1))
    subject: Any = None if spec.subject_heads is None else Mixing(spec.blocks[::2])
    return cache(
        lambda guidance: backbone.condition(
            "a cat on grass", subject=subject, references=references, fill=some_fill(spec), guidance=guidance
        )
    )


@pytest.fixture(scope="module")
def cond(told: Callable[[float], Any]) -> Any:
    """Of one call."""
    return told(1.0)


@pytest.fixture(scope="module")
def guided(told: Callable[[float], Any]) -> Any:
    """Of two calls, where guidance is classifier-free."""
    return told(3.5)


def control(backbone: PipelineBackbone, z: Tensor, cond: Any) -> Any:
    """Keys and values of another latent, which some tokens do not take."""
    store = KVStore(frozenset(backbone.spec.kv_blocks), CPU)
    backbone.velocity(z + 0.1, TIME, cond, kv=store.recorder(TIME))
    count = GRID[0] * GRID[1]
    return store.injector(TIME, TokenMap(torch.arange(count).flip(0), torch.arange(count) % 3 == 0))


def recorded(backbone: PipelineBackbone, z: Tensor, cond: Any, kv: Any = None) -> CallRecord:
    record = CallRecord(CPU)
    backbone.velocity(z, TIME, cond, kv=kv, record=record)
    return record


def slope(backbone: PipelineBackbone, z: Tensor, cond: Any, kv: Any, active: Active | None, of: Tensor) -> Tensor:
    """The gradient in the latent of the features' mean square at some tokens."""
    z = z.clone().requires_grad_(True)
    features = backbone.features(z, TIME, cond, taps=backbone.spec.taps, kv=kv, active=active)
    loss = torch.stack([(f.float() * of).square().mean() for f in features]).sum()
    return torch.autograd.grad(loss, z)[0]


def cells(backbone: PipelineBackbone, tokens: Tensor) -> Tensor:
    """Where tokens are in the latent."""
    patch = backbone.spec.pixel_multiple // backbone.spec.latent_stride
    return tokens.repeat_interleave(patch, 0).repeat_interleave(patch, 1)


def test_recording_changes_nothing_and_holds_every_attention(
    backbone: PipelineBackbone, z: Tensor, guided: Any
) -> None:
    record = CallRecord(CPU)
    v = backbone.velocity(z, TIME, guided, record=record)
    assert torch.equal(v, backbone.velocity(z, TIME, guided))
    assert {name.split(".2")[0] for name in record.attentions} >= set(backbone.spec.blocks[:2])
    assert (record.negative is not None) == isinstance(guided, Guided)
    assert all(x.dtype == backbone.dtype for pair in record.attentions.values() for x in pair)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_with_all_tokens_active_a_call_is_the_plain_one_bit_for_bit(
    checkpointing: bool,
    backbone: PipelineBackbone,
    checkpointed: PipelineBackbone,
    z: Tensor,
    cond: Any,
    guided: Any,
) -> None:
    model = checkpointed if checkpointing else backbone
    kv = control(model, z, cond)
    for kept in (recorded(model, z + 1, guided), recorded(model, z + 1, model.condition("a dog", guidance=1.0))):
        whole = Active(ALL, kept)
        assert torch.equal(model.velocity(z, TIME, guided, kv=kv, active=whole), model.velocity(z, TIME, guided, kv=kv))
        assert torch.equal(slope(model, z, cond, kv, whole, ALL), slope(model, z, cond, kv, None, ALL))
    assert hooks(model) == 0


@pytest.mark.parametrize("text", ["fresh", "recorded"])
def test_some_tokens_beside_a_record_of_the_same_call_are_those_of_the_plain_call(
    text: TextTokens, backbone: PipelineBackbone, z: Tensor, guided: Any
) -> None:
    kv = control(backbone, z, guided)
    active = Active(AREA, recorded(backbone, z, guided, kv), text)
    v, plain = backbone.velocity(z, TIME, guided, kv=kv, active=active), backbone.velocity(z, TIME, guided, kv=kv)
    inside = cells(backbone, AREA)
    assert near(v[..., inside], plain[..., inside])
    assert not v[..., ~inside].any()
    with torch.no_grad():
        taps = backbone.spec.tap_names
        some = backbone.features(z, TIME, guided, taps=taps, kv=kv, active=active)
        whole = backbone.features(z, TIME, guided, taps=taps, kv=kv)
    for own, plain in zip(some, whole, strict=True):
        scale = float(plain.abs().max())
        assert near(own[..., AREA] / scale, plain[..., AREA] / scale)
        assert not own[..., ~AREA].any()


def test_what_is_not_computed_is_not_looked_at(backbone: PipelineBackbone, z: Tensor, cond: Any) -> None:
    active, outside = Active(AREA, recorded(backbone, z, cond)), ~cells(backbone, AREA)
    assert torch.equal(
        backbone.velocity(z + 3 * outside, TIME, cond, active=active), backbone.velocity(z, TIME, cond, active=active)
    )


def test_gradients_reach_the_latent_where_it_is_computed(
    backbone: PipelineBackbone, checkpointed: PipelineBackbone, z: Tensor, cond: Any
) -> None:
    kv = control(backbone, z, cond)
    active, inside = Active(AREA, recorded(backbone, z, cond, kv)), cells(backbone, AREA)
    found = slope(backbone, z, cond, kv, active, AREA)
    assert (found[..., inside].abs().amax(1) > 0).all()
    assert not found[..., ~inside].any()
    again = slope(checkpointed, z, cond, kv, active, AREA)
    assert torch.allclose(again, found, rtol=1e-5, atol=1e-9)
    # What the rest passes on of a change of the area is left out, and nothing else is.
    plain = slope(backbone, z, cond, kv, None, AREA)[..., inside]
    assert torch.nn.functional.cosine_similarity(found[..., inside].flatten(), plain.flatten(), dim=0) > 0.5


def test_features_of_some_tokens_run_no_block_after_the_last_tap(
    family: FamilyCase, backbone: PipelineBackbone, z: Tensor, cond: Any
) -> None:
    active, tap = Active(AREA, recorded(backbone, z, cond)), backbone.spec.tap_names[0]
    with ran(family, backbone) as names:
        backbone.features(z, TIME, cond, taps=(tap,), active=active)
    assert names == list(backbone.spec.blocks[: backbone.spec.blocks.index(tap.rpartition(".")[0]) + 1])


@contextmanager
def ran(family: FamilyCase, backbone: PipelineBackbone) -> Iterator[list[str]]:
    names: list[str] = []
    handles = [
        block.register_forward_pre_hook(lambda *_, name=name: names.append(name))
        for name, block in family.blocks(backbone.transformer).items()
    ]
    yield names
    for handle in handles:
        handle.remove()


def test_a_negative_prompt_without_a_record_attends_to_that_of_the_prompt(
    backbone: PipelineBackbone, z: Tensor, guided: Any
) -> None:
    if not isinstance(guided, Guided):
        pytest.skip("a family without classifier-free guidance")
    record = recorded(backbone, z, guided.own)
    v = backbone.velocity(z, TIME, guided.own, active=Active(AREA, record, "recorded"))
    away = backbone.velocity(z, TIME, guided.negative, active=Active(AREA, record, "fresh"))
    expected = torch.where(cells(backbone, AREA), backbone._lead(v, away, guided.scale), 0)
    found = backbone.velocity(z, TIME, guided, active=Active(AREA, record, "recorded"))
    assert torch.equal(found, expected)
    assert not torch.equal(v, away)


def test_an_attention_that_cannot_be_seen_is_refused(
    backbone: PipelineBackbone, z: Tensor, cond: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dragflow.backbones.attend._ATTENTION", None)
    with pytest.raises(CapabilityError, match="cannot be seen"):
        backbone.velocity(z, TIME, cond, record=CallRecord(CPU))


def test_a_lora_acts_on_the_active_tokens_too(
    family: FamilyCase, folder: Path, backbone: PipelineBackbone, z: Tensor, cond: Any
) -> None:
    from peft import LoraConfig

    tuned = family.load(folder)
    torch.manual_seed(0)
    tuned.transformer.add_adapter(LoraConfig(r=2, target_modules=["to_k", "to_qkv_mlp_proj"], init_lora_weights=False))
    active, inside = Active(AREA, recorded(tuned, z, cond)), cells(tuned, AREA)
    found, plain = tuned.velocity(z, TIME, cond, active=active), tuned.velocity(z, TIME, cond)
    assert near(found[..., inside], plain[..., inside])
    assert not near(plain, backbone.velocity(z, TIME, cond))
