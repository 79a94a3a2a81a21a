"""How a model is loaded so that it fits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from dragflow.backbones import devices, memory
from dragflow.backbones.footprint import Footprint
from dragflow.backbones.memory import GIB, fitted, needed, plan
from dragflow.core.errors import UserError
from dragflow.core.models import ModelOptions
from small_flux import load

FLUX1 = Footprint(
    "FLUX.1-dev",
    transformer=11_901_408_320,
    others=4_969_190_819,
    kv_token_bytes=159744,
    pixel_multiple=16,
    autoencoder=83_819_683,
    blocks=11_837_283_328,
    block=339_831_296,
)


def planned(gib: float, *, accelerated: bool = True, **options: object) -> memory.Plan:
    return plan(ModelOptions.of("x", **options), FLUX1, gib * GIB, accelerated=accelerated)


@pytest.mark.parametrize(
    ("gib", "quantize", "offload", "swap"),
    [(48, None, False, False), (24, "int8", True, False), (12, "nf4", True, False), (8, None, True, True)],
)
def test_less_memory_costs_time_before_it_costs_quality(
    gib: float, quantize: str | None, offload: bool, swap: bool
) -> None:
    pytest.importorskip("torchao", reason="torchao is not installed (extra: quant)")
    found = planned(gib)
    assert found.fits
    assert (found.options.quantize, found.options.offload, found.options.swap) == (quantize, offload, swap)
    assert found.options.checkpointing
    assert found.options.dtype == "bfloat16"


def test_what_is_given_stays_and_what_fits_nowhere_is_said() -> None:
    found = planned(12, quantize="fp8", dtype="float16")
    assert (found.options.quantize, found.options.dtype, found.options.swap) == ("fp8", "float16", True)
    assert planned(24, checkpointing=False, quantize="int8").options.checkpointing is False
    small = planned(1)
    assert not small.fits
    assert str(small).startswith("does not fit: bfloat16")
    assert "of 1.0 GiB" in str(small)


def test_the_cpu_takes_float32_while_that_fits() -> None:
    widths = [planned(gib, accelerated=False).options for gib in (80, 48)]
    assert [options.dtype for options in widths] == ["float32", "bfloat16"]
    assert not any(options.offload or options.swap for options in widths)


def test_the_need_follows_from_the_models_numbers() -> None:
    options = ModelOptions(dtype="bfloat16", checkpointing=True)
    whole = needed(options, FLUX1, (1024, 1024))
    int8 = needed(ModelOptions(dtype="bfloat16", checkpointing=True, quantize="int8"), FLUX1, (1024, 1024))
    assert whole - int8 == FLUX1.blocks
    far = needed(options, FLUX1, (2048, 2048)) - whole
    assert 0 < far < 10 * GIB
    assert needed(options, FLUX1, (1024, 1024), dragged=False) <= whole


def test_memory_is_settled_before_a_model_is_loaded(dummy_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_RESERVE", 0)
    options = ModelOptions.of(dummy_folder, device="cpu", memory="auto")
    assert fitted(options, FLUX1).memory is None
    loaded = load(dummy_folder, memory=1e-3)  # GiB
    assert loaded.weights.options.quantize is not None
    assert loaded.weights.options.memory is None
    assert loaded.checkpointing


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), "all"])
def test_memory_is_auto_or_a_size(value: object) -> None:
    with pytest.raises(UserError, match=r"`?memory`?"):
        ModelOptions.of("x", memory=value)


def test_networks_that_have_no_room_beside_another_take_turns_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    places: list[tuple[str, str]] = []
    encoder, transformer = nn.Linear(8, 8), nn.Linear(4, 4)
    names = {id(encoder): "encoder", id(transformer): "transformer"}
    monkeypatch.setattr(devices, "move", lambda network, device: places.append((names[id(network)], str(device))))
    free = iter([100.0, 1000.0])
    monkeypatch.setattr(devices, "free_memory", lambda device: next(free))
    with devices.on_device([encoder], torch.device("cuda"), offload=True, aside=transformer):
        assert places == [("transformer", "cpu"), ("encoder", "cuda")]
    assert places[2:] == [("encoder", "cpu"), ("transformer", "cuda")]
    free = iter([100.0, 200.0])
    places.clear()
    with devices.on_device([encoder], torch.device("cuda"), offload=True, aside=transformer):
        assert places == [("transformer", "cpu")]  # it works in main memory
