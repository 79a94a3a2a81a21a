"""What every backbone must hold to with references: positions, controls, truncation, gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from family_cases import FamilyCase
from torch import Tensor

from dragflow.backbones.pipeline import PipelineBackbone
from dragflow.core.errors import CapabilityError
from dragflow.method.backbone import Reference, Site
from dragflow.method.kv import KVStore
from dragflow.method.references import in_place, moved
from dragflow.ops.geometry import CellMap
from small_flux import GRID, TIME, gradient, hooks

TOKENS = GRID[0] * GRID[1]


def latent(backbone: PipelineBackbone, seed: int) -> Tensor:
    patch = backbone.spec.pixel_multiple // backbone.spec.latent_stride
    size = (1, backbone.spec.latent_channels, patch * GRID[0], patch * GRID[1])
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def cells_moved(backbone: PipelineBackbone, z: Tensor, source: Tensor) -> Tensor:
    """The latent whose every token is the one that `source` (h, w) says, really moved."""
    patch = backbone.spec.pixel_multiple // backbone.spec.latent_stride
    rows, columns = source // GRID[1], source % GRID[1]
    inside = torch.arange(patch)
    y = (rows[:, None, :, None] * patch + inside[None, :, None, None]).expand(-1, -1, -1, patch)
    x = (columns[:, None, :, None] * patch + inside[None, None, None, :]).expand(-1, patch, -1, -1)
    return z[..., y.reshape(patch * GRID[0], -1), x.reshape(patch * GRID[0], -1)]


@pytest.fixture(autouse=True)
def takes_references(backbone: PipelineBackbone, request: pytest.FixtureRequest) -> None:
    if not backbone.spec.references and "too_many" not in request.node.name:
        pytest.skip("a family that takes no references")


@pytest.fixture
def z(backbone: PipelineBackbone) -> Tensor:
    return latent(backbone, 3)


@pytest.fixture
def other(backbone: PipelineBackbone) -> Tensor:
    return latent(backbone, 4)


def told(backbone: PipelineBackbone, *references: Reference) -> Any:
    """Of one call."""
    guidance = 1.0 if backbone.spec.guidance == "classifier-free" else 3.5
    return backbone.condition("a cat on grass", references=references, guidance=guidance)


def test_too_many_references_are_refused(backbone: PipelineBackbone, other: Tensor) -> None:
    most = backbone.spec.references
    with pytest.raises(
        CapabilityError, match=rf"{most + 1} references .* {backbone.spec.family} take {most or 'none'}"
    ):
        told(backbone, *(in_place(other, GRID, i + 1) for i in range(most + 1)))


def test_no_references_are_the_same_as_none(backbone: PipelineBackbone, z: Tensor) -> None:
    for guidance in (1.0, 3.5):
        plain = backbone.condition("a cat on grass", guidance=guidance)
        empty = backbone.condition("a cat on grass", references=(), guidance=guidance)
        assert torch.equal(backbone.velocity(z, TIME, empty), backbone.velocity(z, TIME, plain))


def test_a_reference_its_picture_and_its_index_matter(backbone: PipelineBackbone, z: Tensor, other: Tensor) -> None:
    seen = [
        backbone.velocity(z, TIME, cond)
        for cond in (
            told(backbone),
            told(backbone, in_place(other, GRID)),
            told(backbone, in_place(other + 1, GRID)),
            told(backbone, in_place(other, GRID, 2)),
        )
    ]
    assert all(v.shape == z.shape and v.isfinite().all() for v in seen)
    assert not any(torch.allclose(a, b, atol=1e-4) for i, a in enumerate(seen) for b in seen[:i])


def test_positions_moved_are_tokens_really_moved(backbone: PipelineBackbone, z: Tensor, other: Tensor) -> None:
    source = torch.arange(TOKENS).reshape(GRID).roll((1, 2), (0, 1))
    nothing = torch.zeros(GRID, dtype=torch.bool)
    by_position = moved(other, CellMap(source, ~nothing, nothing))
    really = in_place(cells_moved(backbone, other, source), GRID)
    one, two = (backbone.velocity(z, TIME, told(backbone, each)) for each in (by_position, really))
    assert torch.equal(one, two)
    assert not torch.allclose(one, backbone.velocity(z, TIME, told(backbone, in_place(other, GRID))), atol=1e-4)
    shuffled = torch.randperm(TOKENS, generator=torch.Generator().manual_seed(0))
    in_any_order = Reference(other, by_position.tokens[shuffled], by_position.positions[shuffled])
    assert torch.allclose(backbone.velocity(z, TIME, told(backbone, in_any_order)), one, atol=1e-5)


def test_vacated_cells_give_no_token_and_a_larger_region_some_twice() -> None:
    source = torch.arange(TOKENS).reshape(GRID)
    vacated = torch.zeros(GRID, dtype=torch.bool)
    vacated[0, 0], source[2, 3], source[2, 2] = True, 0, 0
    found = moved(torch.zeros(1, 1, *GRID), CellMap(source, source == 0, vacated), 2)
    assert found.tokens.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0]
    assert found.positions[:2].tolist() == [[0, 1], [0, 2]]
    assert found.positions[-2:].tolist() == [[2, 2], [2, 3]]
    assert found.index == 2


def test_the_same_picture_twice(backbone: PipelineBackbone, z: Tensor, other: Tensor) -> None:
    first, second = in_place(other, GRID, 1), in_place(other, GRID, 2)
    twice = backbone.velocity(z, TIME, told(backbone, first, second))
    assert torch.allclose(backbone.velocity(z, TIME, told(backbone, second, first)), twice, atol=1e-5)
    assert not torch.allclose(backbone.velocity(z, TIME, told(backbone, first)), twice, atol=1e-4)


def test_a_reference_may_have_another_size(backbone: PipelineBackbone, z: Tensor, other: Tensor) -> None:
    patch = backbone.spec.pixel_multiple // backbone.spec.latent_stride
    small = in_place(other[..., : 2 * patch, :patch], (2, 1))
    assert backbone.velocity(z, TIME, told(backbone, small)).isfinite().all()


def test_truncated_features_are_of_the_image_alone(
    family: FamilyCase, backbone: PipelineBackbone, z: Tensor, other: Tensor
) -> None:
    cond, caught = told(backbone, in_place(other, GRID)), dict[str, Tensor]()

    def catch(name: str) -> Callable[[Any, Any, Any], None]:
        return lambda _, __, out: caught.update({f"{name}.out": out[1]})

    tapped = {tap.rpartition(".")[0] for tap in backbone.spec.tap_names}
    blocks = {name: block for name, block in family.blocks(backbone.transformer).items() if name in tapped}
    handles = [block.register_forward_hook(catch(name)) for name, block in blocks.items()]
    with torch.no_grad():
        found = backbone.features(z, TIME, cond, taps=backbone.spec.tap_names)
    for handle in handles:
        handle.remove()
    for tap, feature in zip(backbone.spec.tap_names, found, strict=True):
        assert feature.shape[-2:] == GRID
        if tap in caught:
            assert torch.equal(feature.flatten(2).transpose(1, 2), caught[tap][:, :TOKENS])
            assert caught[tap].shape[1] == 2 * TOKENS


def test_gradients_reach_every_cell_with_and_without_checkpointing(
    backbone: PipelineBackbone, checkpointed: PipelineBackbone, z: Tensor, other: Tensor
) -> None:
    cond = told(backbone, in_place(other, GRID))
    found = gradient(backbone, z, cond)
    assert found.isfinite().all()
    assert (found.abs().amax(1) > 0).all()
    assert not torch.allclose(found, gradient(backbone, z, told(backbone)), rtol=1e-3)
    assert torch.allclose(gradient(checkpointed, z, cond), found, rtol=1e-5, atol=1e-9)


def test_a_control_sees_the_image_alone(backbone: PipelineBackbone, z: Tensor, other: Tensor) -> None:
    cond, spec = told(backbone, in_place(other, GRID)), backbone.spec
    store = KVStore(frozenset(spec.blocks), torch.device("cpu"))
    v = backbone.velocity(z, TIME, cond, kv=store.recorder(TIME))
    width = spec.kv_token_bytes // backbone.dtype.itemsize
    (sites,) = store.times.values()
    assert set(sites) == {Site(block, part) for block in spec.blocks for part in ("k", "v")}
    assert {tuple(x.shape) for x in sites.values()} == {(1, TOKENS, width)}
    assert torch.equal(v, backbone.velocity(z, TIME, cond))
    assert torch.equal(backbone.velocity(z, TIME, cond, kv=store.injector(TIME)), v)
    changed = backbone.velocity(z + 0.1, TIME, cond, kv=store.injector(TIME))
    assert not torch.allclose(changed, backbone.velocity(z + 0.1, TIME, cond), atol=1e-4)
    assert hooks(backbone) == 0
