"""What every backbone that takes a subject must hold to: where it acts, what it gets, what it changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from family_cases import FamilyCase
from torch import Tensor, nn

from dragflow.backbones.guidance import Guided, own
from dragflow.backbones.pipeline import PipelineBackbone
from dragflow.core.config import SubjectConfig
from dragflow.method.backbone import OwnKV, Site, SubjectPlace
from small_flux import GRID, TIME, gradient, hooks

TOKENS = GRID[0] * GRID[1]
PLACES = {
    "raw": SubjectPlace(normed=False, output="attention"),
    "normed": SubjectPlace(normed=True, output="attention"),
    "beside its own keys": SubjectPlace(normed=False, output="attention", own_kv=True),
    "at the block": SubjectPlace(normed=True, output="block", own_kv=True),
}


@dataclass
class Toy:
    """A subject, and its own control: adds a share of what it gets, and notes that."""

    blocks: frozenset[str]
    place: SubjectPlace
    share: float = 0.5
    negative: Toy | None = None
    seen: list[tuple[str, Tensor, OwnKV | None]] = field(default_factory=list)

    def under(self, config: SubjectConfig) -> Toy:
        return self

    def at(self, t: float) -> Toy:
        return self

    def __call__(self, block: str, query: Tensor, own: OwnKV | None = None) -> Tensor:
        self.seen.append((block, query.detach(), own and (own[0].detach(), own[1].detach())))
        return self.share * (query if own is None else query * own[0] + own[1])


@pytest.fixture(params=PLACES.values(), ids=list(PLACES))
def place(request: pytest.FixtureRequest) -> SubjectPlace:
    return request.param


@pytest.fixture
def z(backbone: PipelineBackbone) -> Tensor:
    cells = backbone.spec.pixel_multiple // backbone.spec.latent_stride
    size = (1, backbone.spec.latent_channels, cells * GRID[0], cells * GRID[1])
    return torch.randn(size, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def toy(backbone: PipelineBackbone, place: SubjectPlace) -> Toy:
    """In every third block, of both kinds where there are two."""
    if backbone.spec.subject_heads is None:
        pytest.skip("a family that takes no subject")
    # A single block of FLUX.1 gives text and image in one tensor, to which no output of a block is added.
    blocks = [name for name in backbone.spec.blocks if place.output == "attention" or not name.startswith("single")]
    return Toy(frozenset(blocks[::3]), place)


def conditioned(backbone: PipelineBackbone, subject: Toy | None) -> Any:
    return own(backbone.condition("a cat", subject=subject, guidance=1.0))


def attentions(family: FamilyCase, backbone: PipelineBackbone) -> dict[str, Any]:
    return {name: block.get_submodule("attn") for name, block in family.blocks(backbone.transformer).items()}


def test_it_gets_the_image_tokens_of_its_blocks_once(backbone: PipelineBackbone, toy: Toy, z: Tensor) -> None:
    backbone.velocity(z, TIME, conditioned(backbone, toy))
    heads, size = backbone.spec.subject_heads or (0, 0)
    assert [name for name, *_ in toy.seen] == [name for name in backbone.spec.blocks if name in toy.blocks]
    for _, query, kv in toy.seen:
        assert query.shape == (1, TOKENS, heads * size)
        assert [x.shape for x in kv or ()] == [query.shape] * (2 if toy.place.own_kv else 0)


def test_what_it_gets_is_the_attentions_own(
    family: FamilyCase, backbone: PipelineBackbone, toy: Toy, z: Tensor
) -> None:
    found: dict[tuple[str, str], Tensor] = {}
    handles: list[Any] = []

    def catch(block: str, part: str) -> Any:
        return lambda _, __, out: found.update({(block, part): out[:, -TOKENS:]})

    for name, attention in attentions(family, backbone).items():
        handles += [getattr(attention, f"to_{part}").register_forward_hook(catch(name, part)) for part in "qkv"]
    backbone.velocity(z, TIME, conditioned(backbone, toy))
    for handle in handles:
        handle.remove()
    count = (backbone.spec.subject_heads or (0, 0))[0]
    for name, query, kv in toy.seen:
        expected = found[name, "q"]
        if toy.place.normed:
            norm: nn.Module = attentions(family, backbone)[name].norm_q
            expected = norm(expected.unflatten(-1, (count, -1))).flatten(2)
        assert torch.equal(query, expected.detach())
        assert all(torch.equal(x, found[name, part]) for x, part in zip(kv or (), "kv", strict=kv is not None))


def test_it_changes_velocity_and_features_and_without_it_they_are_as_before(
    backbone: PipelineBackbone, toy: Toy, z: Tensor
) -> None:
    plain, kept = conditioned(backbone, None), conditioned(backbone, toy)
    v, slope = backbone.velocity(z, TIME, plain), gradient(backbone, z, plain)
    assert not torch.allclose(backbone.velocity(z, TIME, kept), v, atol=1e-4)
    assert not torch.allclose(gradient(backbone, z, kept), slope, rtol=1e-3)
    toy.share = 0.0
    assert torch.equal(backbone.velocity(z, TIME, kept), v)
    assert torch.equal(backbone.velocity(z, TIME, plain), v)
    assert torch.equal(gradient(backbone, z, plain), slope)
    assert hooks(backbone) == 0


def test_checkpointing_asks_it_again_and_changes_no_gradient(
    backbone: PipelineBackbone, checkpointed: PipelineBackbone, toy: Toy, z: Tensor
) -> None:
    found = gradient(backbone, z, conditioned(backbone, toy))
    once = len(toy.seen)
    assert found.isfinite().all()
    assert torch.allclose(gradient(checkpointed, z, conditioned(checkpointed, toy)), found, rtol=1e-5, atol=1e-9)
    assert len(toy.seen) == 3 * once
    assert hooks(checkpointed) == 0


def test_it_sees_keys_and_values_as_a_control_has_left_them(backbone: PipelineBackbone, toy: Toy, z: Tensor) -> None:
    class Sevens:
        blocks = toy.blocks

        def __call__(self, site: Site, x: Tensor) -> Tensor:
            return torch.full_like(x, 7 if site.part == "k" else -7)

    backbone.velocity(z, TIME, conditioned(backbone, toy), kv=Sevens())
    for _, _, kv in toy.seen:
        assert (kv is not None) == toy.place.own_kv
        assert all((x == value).all() for x, value in zip(kv or (), (7, -7), strict=kv is not None))


def test_guidance_leads_from_the_negative_subject(backbone: PipelineBackbone, toy: Toy, z: Tensor) -> None:
    if backbone.spec.guidance != "classifier-free":
        pytest.skip("a family without classifier-free guidance")
    away = backbone.velocity(z, TIME, backbone.condition(backbone.spec.negative, guidance=1.0))
    for negative in (None, Toy(toy.blocks, toy.place, share=-0.5)):
        toy.negative = negative
        guided = backbone.condition("a cat", subject=toy, guidance=3.0)
        assert isinstance(guided, Guided)
        without = backbone.condition(backbone.spec.negative, subject=negative, guidance=1.0)
        led = backbone.velocity(z, TIME, without)
        assert torch.equal(led, away) == (negative is None)
        v = backbone.velocity(z, TIME, conditioned(backbone, toy))
        assert torch.equal(backbone.velocity(z, TIME, guided), backbone._lead(v, led, 3.0))


def test_every_hook_is_gone_after_a_subject_that_raises(backbone: PipelineBackbone, toy: Toy, z: Tensor) -> None:
    class Broken(Toy):
        def __call__(self, block: str, query: Tensor, own: OwnKV | None = None) -> Tensor:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        backbone.velocity(z, TIME, conditioned(backbone, Broken(toy.blocks, toy.place)))
    assert hooks(backbone) == 0
