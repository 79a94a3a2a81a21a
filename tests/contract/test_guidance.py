"""What every backbone with classifier-free guidance must hold to: two calls, the prompt's own last, and one record."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from dragflow.backbones.guidance import Guided, beyond, own
from dragflow.backbones.pipeline import PipelineBackbone
from dragflow.method.backbone import Site
from dragflow.method.kv import KVStore
from small_flux import GRID, TIME

SCALE = 3.5


@pytest.fixture
def z(backbone: PipelineBackbone) -> Tensor:
    patch = backbone.spec.pixel_multiple // backbone.spec.latent_stride
    size = (1, backbone.spec.latent_channels, patch * GRID[0], patch * GRID[1])
    return torch.randn(size, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def guided(backbone: PipelineBackbone) -> Guided:
    cond = backbone.condition("a cat on grass", guidance=SCALE)
    if backbone.spec.guidance != "classifier-free":
        assert not isinstance(cond, Guided)
        pytest.skip("a family without classifier-free guidance")
    return cond


def plain(backbone: PipelineBackbone, prompt: str) -> Any:
    cond = backbone.condition(prompt, guidance=1.0)
    assert not isinstance(cond, Guided)
    return cond


def test_the_velocity_is_led_from_the_negative_prompt(backbone: PipelineBackbone, z: Tensor, guided: Guided) -> None:
    v = backbone.velocity(z, TIME, plain(backbone, "a cat on grass"))
    away = backbone.velocity(z, TIME, plain(backbone, backbone.spec.negative))
    assert torch.equal(backbone.velocity(z, TIME, guided), backbone._lead(v, away, SCALE))
    assert not torch.equal(v, away)


def test_features_are_of_the_prompt_alone(backbone: PipelineBackbone, z: Tensor, guided: Guided) -> None:
    taps = backbone.spec.taps
    with torch.no_grad():
        led = backbone.features(z, TIME, guided, taps=taps)
        alone = backbone.features(z, TIME, plain(backbone, "a cat on grass"), taps=taps)
    assert all(torch.equal(a, b) for a, b in zip(led, alone, strict=True))


def test_the_record_is_of_the_prompt_and_goes_into_both_calls(
    backbone: PipelineBackbone, z: Tensor, guided: Guided
) -> None:
    blocks = frozenset(backbone.spec.kv_blocks)
    led, alone = (KVStore(blocks, torch.device("cpu")) for _ in range(2))
    backbone.velocity(z, TIME, guided, kv=led.recorder(TIME))
    backbone.velocity(z, TIME, own(guided), kv=alone.recorder(TIME))
    assert led.times[TIME].keys() == {Site(block, part) for block in blocks for part in ("k", "v")}
    assert all(torch.equal(x, alone.times[TIME][site]) for site, x in led.times[TIME].items())
    injector = alone.injector(TIME)
    v, away = (backbone.velocity(z, TIME, cond, kv=injector) for cond in (guided.own, guided.negative))
    assert torch.equal(backbone.velocity(z, TIME, guided, kv=injector), backbone._lead(v, away, SCALE))


def test_the_usual_rule() -> None:
    v, away = torch.full((2,), 3.0), torch.full((2,), 1.0)
    assert beyond(v, away, 2.0).tolist() == [5.0, 5.0]
    assert beyond(v, away, 1.0).tolist() == [3.0, 3.0]
