"""Keys and values: recorded by time, given back by the nearest time, mapped by the drag."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dragflow.method.backbone import Site
from dragflow.method.kv import KVStore, TokenMap
from dragflow.ops.geometry import CellMap, identity_map, move_cells, stretched_cells

SITE = Site("double.0", "k")


def tokens(offset: float = 0.0, n: int = 6, dtype: torch.dtype = torch.float32) -> Tensor:
    return (torch.arange(n, dtype=torch.float32)[None, :, None] + offset).expand(1, n, 2).to(dtype)


def recorded(*times: float) -> KVStore:
    store = KVStore(frozenset({"double.0"}), torch.device("cpu"))
    for t in times:
        store.recorder(t)(SITE, tokens(100 * t))
    return store


def moved(region: Tensor, dx: int) -> CellMap:
    size = (region.shape[0], region.shape[1])
    return move_cells(identity_map(size, region), region, ((1.0, 0.0, float(dx)), (0.0, 1.0, 0.0)))


def test_recording_changes_nothing_and_keeps_a_copy() -> None:
    store = KVStore(frozenset({"double.0"}), torch.device("cpu"))
    x = tokens().clone()
    assert store.recorder(0.5)(SITE, x) is x
    x.zero_()
    assert torch.equal(store.injector(0.5)(SITE, tokens(9)), tokens())


@pytest.mark.parametrize(("asked", "nearest"), [(0.5, 0.5), (0.0, 0.25), (1.0, 0.75), (0.36, 0.25), (0.64, 0.75)])
def test_a_recording_is_found_by_the_nearest_time(asked: float, nearest: float) -> None:
    injected = recorded(0.25, 0.5, 0.75).injector(asked)(SITE, tokens())
    assert torch.equal(injected, tokens(100 * nearest))


def test_the_order_of_recording_does_not_matter() -> None:
    one, other = recorded(0.25, 0.75), recorded(0.75, 0.25)
    assert torch.equal(one.injector(0.7)(SITE, tokens()), other.injector(0.7)(SITE, tokens()))


def test_the_same_time_records_once() -> None:
    store = recorded(0.5, 0.5)
    assert list(store.times) == [0.5]
    assert store.nbytes == 6 * 2 * 4


def test_injection_gives_the_same_when_asked_again_and_leaves_its_input_alone() -> None:
    injector = recorded(0.5).injector(0.5)
    x = tokens(7).clone()
    assert torch.equal(injector(SITE, x), injector(SITE, x))
    assert torch.equal(x, tokens(7))


def test_injection_takes_the_dtype_and_batch_of_the_call() -> None:
    injected = recorded(0.5).injector(0.5)(SITE, tokens(dtype=torch.bfloat16).expand(3, 6, 2))
    assert injected.dtype == torch.bfloat16
    assert injected.shape == (3, 6, 2)


def test_a_map_gives_targets_their_sources_and_lets_vacated_tokens_keep_their_own() -> None:
    region = torch.tensor([[True, True, False, False, False, False]])
    mapped = recorded(0.5).injector(0.5, TokenMap.of(moved(region, 3)))
    own = tokens(-10)
    assert mapped(SITE, own)[0, :, 0].tolist() == [-10, -9, 52, 50, 51, 55]


def test_a_stretched_part_leaves_no_token_to_itself() -> None:
    points = torch.tensor([[[x, 0.0] for x in (0, 0.4, 1, 3, 4, 5)]], dtype=torch.float64)
    stretched = stretched_cells(points, torch.zeros(1, 6, dtype=torch.bool))
    mapped = recorded(0.5).injector(0.5, TokenMap.of(stretched))
    assert mapped(SITE, tokens(-10))[0, :, 0].tolist() == [50, 50, 51, 53, 54, 55]


def test_where_nothing_moves_the_map_is_plain_injection() -> None:
    still = TokenMap.of(identity_map((2, 3), torch.zeros(1)))
    store = recorded(0.5)
    assert torch.equal(store.injector(0.5, still)(SITE, tokens(4)), store.injector(0.5)(SITE, tokens(4)))


def test_gradients_flow_through_tokens_that_keep_their_own_only() -> None:
    region = torch.tensor([[True, True, False, False, False, False]])
    mapped = recorded(0.5).injector(0.5, TokenMap.of(moved(region, 3)))
    x = tokens().clone().requires_grad_(True)
    mapped(SITE, x).sum().backward()
    assert x.grad is not None
    assert x.grad[0, :, 0].tolist() == [1, 1, 0, 0, 0, 0]
