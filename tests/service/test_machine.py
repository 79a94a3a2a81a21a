"""What this machine has, and what a model needs of it."""

from __future__ import annotations

from importlib.metadata import version

import psutil
import pytest

from dragflow.backbones.footprint import Footprint
from dragflow.files.presets import load_preset, preset_names
from dragflow.service import machine

MODEL = Footprint(
    "some model",
    transformer=10**10,
    others=4 * 10**9,
    kv_token_bytes=1000,
    record_token_bytes=5000,
    text_tokens=512,
    pixel_multiple=16,
)


def test_versions_of_packages_and_none_for_one_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "PACKAGES", ("torch", "no-such-package"))
    assert machine.packages() == {"torch": version("torch"), "no-such-package": None}


def test_the_cpu_comes_first_with_the_machines_memory() -> None:
    cpu, *_ = machine.devices()
    assert (cpu.name, cpu.memory) == ("cpu", psutil.virtual_memory().total)


def test_the_largest_gpu_counts_and_main_memory_only_without_one() -> None:
    cpu, small, large = (machine.Device(name, "", size) for name, size in (("cpu", 9), ("cuda:0", 2), ("cuda:1", 5)))
    assert machine.usable_memory((cpu,)) == 9
    assert machine.usable_memory((cpu, large, small)) == 5


def test_what_presets_need_follows_from_the_models_size() -> None:
    by_name = {needs.preset: needs for needs in machine.preset_needs(MODEL, (1024, 512))}
    assert tuple(by_name) == tuple(preset_names())
    plain, int8 = (by_name["default"].by_quantisation[name] for name in ("none (bfloat16)", "int8"))
    assert plain.whole - int8.whole == MODEL.transformer
    assert plain.whole - plain.offloaded == 2 * MODEL.others
    assert by_name["paste"].by_quantisation["int8"].whole <= int8.whole  # no backward pass
    paper = load_preset("paper").inversion
    assert by_name["paper"].record == (paper.steps - paper.skip + 1) * 64 * 32 * 1000
    assert by_name["default"].record == 7 * (64 * 32 + 512) * 5000  # every second of 13 calls
    assert by_name["text"].record == 0
