"""Scenes in which a thing is copied or removed, with their truth, and what stands for either in benchmarks."""

from __future__ import annotations

import numpy as np
import pytest

from dragflow.bench.data.registry import open_data
from dragflow.bench.methods import run_without_model
from dragflow.core.errors import UserError
from dragflow.core.motion import Remove
from dragflow.world.cases import CHANGED, drag_case
from dragflow.world.export import export_case


def test_a_copy_leaves_the_thing_and_shows_it_again() -> None:
    moved, copied = (drag_case(1, kind, 96, "test") for kind in ("translate", "copy"))
    assert np.array_equal(copied.source, moved.source)
    assert np.array_equal(copied.target_mask, moved.target_mask)
    still = copied.mask & ~copied.area
    assert still.any()
    assert np.array_equal(copied.target[still], copied.source[still])
    inner = copied.target_mask
    assert np.abs(copied.target[inner].astype(int) - moved.target[inner]).mean() < 2


def test_a_removal_leaves_nothing_of_the_thing() -> None:
    case = drag_case(1, "remove", 96, "test")
    assert not case.target_mask.any()
    assert case.moved.objects == case.scene.objects[: len(case.moved.objects)]
    assert len(case.moved.objects) == len(case.scene.objects) - 1
    assert (np.abs(case.source.astype(int) - case.target).max(-1)[case.mask] > 6).mean() > 0.9
    assert np.abs(case.source.astype(int) - case.target)[~case.area].max() <= CHANGED


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["copy", "remove"])
def test_samples_ask_for_them_and_a_relocation_with_a_paste_stands_for_either(kind: str) -> None:
    sample = open_data(f"world-{kind}:1@3").load("3")
    (operation,) = sample.asked.operations
    assert isinstance(operation.motion, Remove) if kind == "remove" else operation.motion.label == "copy"
    shown = run_without_model("relocate-paste", sample).image
    outside = ~sample.task.area
    assert np.array_equal(shown[outside], sample.image.pixels[outside])
    assert not np.array_equal(shown, sample.image.pixels)
    with pytest.raises(UserError, match="ReD Bench has no task"):
        export_case(drag_case(3, kind, 64), "unused")
