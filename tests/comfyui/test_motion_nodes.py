"""Each motion, chained, as the library's own operations."""

from __future__ import annotations

import importlib
import json
from typing import Any

import numpy as np
import pytest
import torch

from dragflow import Affine, Box, Instruction, MaskArray, Operation, Remove, Rotate, Scale, Translate, preview
from dragflow.core.errors import DragFlowError


@pytest.fixture
def box(classes: dict[str, Any]) -> Any:
    return classes["DragFlowRegionFromBox"]().make(20, 20, 11, 11)[0]


def instruction(pack: Any, plan: Any) -> Instruction:
    plans = importlib.import_module(f"{pack.__name__}.nodes.plans")
    return plan.instruction(plans.Place(0, 1, (96, 96)))


def operations(pack: Any, plan: Any) -> tuple[Operation, ...]:
    return instruction(pack, plan).operations


def test_each_node_gives_its_motion(classes: dict[str, Any], pack: Any, box: Any) -> None:
    point = {"about": "point", "about_x": 3.0, "about_y": 4.0}
    middle = point | {"about": "middle"}
    cases: list[tuple[str, dict[str, Any], Any]] = [
        ("Move", {"mode": "by", "x": 7.0, "y": -2.0}, Translate((32.0, 23.0))),
        ("Move", {"mode": "to", "x": 7.0, "y": 2.0, "label": "whole object"}, Translate((7.0, 2.0), "relocation")),
        ("Deform", {"mode": "by", "x": 7.0, "y": 0.0}, Translate((32.0, 25.0), "deformation")),
        ("Rotate", {"degrees": 30.0, **point}, Rotate((3.0, 4.0), degrees=30.0)),
        ("Rotate", {"degrees": 30.0, **middle}, Rotate((25.0, 25.0), degrees=30.0)),
        ("Scale", {"factor_x": 2.0, "factor_y": 0.5, **middle}, Scale((25.0, 25.0), (2.0, 0.5))),
        ("Affine", dict(zip("abcdef", (1.0, 0.1, 2.0, 0.0, 1.0, 3.0), strict=True)), Affine(((1, 0.1, 2), (0, 1, 3)))),
    ]
    for name, widgets, motion in cases:
        (found,) = operations(pack, classes[f"DragFlow{name}"]().add(box, **widgets)[0])
        assert (found.motion, found.region, found.handle) == (motion, Box(20, 20, 30, 30), (25.0, 25.0)), name


def test_regions_are_copied_removed_and_swapped(classes: dict[str, Any], pack: Any, box: Any) -> None:
    other = classes["DragFlowRegionFromBox"]().make(60, 60, 9, 9)[0]
    plan = classes["DragFlowMove"]().add(box, mode="by", x=7.0, y=0.0, label="copy")[0]
    plan = classes["DragFlowRemove"]().add(other, plan, cut="hard")[0]
    plan = classes["DragFlowProtectedArea"]().say(plan, torch.ones(1, 96, 96))[0]
    copied, removed = operations(pack, plan)
    assert (copied.motion, removed.motion, removed.cut) == (Translate((32.0, 25.0), "copy"), Remove(), "hard")
    assert instruction(pack, plan).protect is not None
    one, two = operations(pack, classes["DragFlowSwap"]().add(box, other, order="in front")[0])
    assert (one.motion, one.handle, one.behind) == (Translate((64.0, 64.0), "relocation"), (25.0, 25.0), False)
    assert two.motion == Translate((25.0, 25.0), "relocation")


def test_chained_operations_happen_together(classes: dict[str, Any], pack: Any, box: Any) -> None:
    other = classes["DragFlowRegionFromBox"]().make(60, 60, 9, 9)[0]
    first = classes["DragFlowMove"]().add(box, mode="by", x=5.0, y=0.0)[0]
    both = classes["DragFlowRotate"]().add(
        other, first, degrees=20.0, about="middle", about_x=0.0, about_y=0.0, order="behind what is there", cut="hard"
    )[0]
    one, two = operations(pack, both)
    assert isinstance(one.motion, Translate)
    assert (two.motion, two.behind, two.cut) == (Rotate((64.0, 64.0), degrees=20.0), True, "hard")
    fronted = classes["DragFlowMove"]().add(box, mode="by", x=5.0, y=0.0, front=other)[0]
    assert operations(pack, fronted)[0].front == Box(60, 60, 68, 68)


def test_what_is_drawn_joins_the_operations_before_it(classes: dict[str, Any], pack: Any, box: Any) -> None:
    before = classes["DragFlowMove"]().add(box, mode="by", x=5.0, y=0.0)[0]
    before = classes["DragFlowEditableArea"]().say(before, torch.ones(1, 96, 96), "extend")[0]
    drawn = {
        "version": 2,
        "operations": [
            {
                "region": {"type": "box", "left": 60, "top": 60, "right": 70, "bottom": 70},
                "motion": {"type": "translate", "to": [40, 65]},
            }
        ],
        "edit_prompt": "closer",
    }
    (plan,) = classes["DragFlowCanvas"]().give(torch.zeros(1, 96, 96, 3), json.dumps(drawn), before)["result"]
    assert [operation.region for operation in operations(pack, plan)] == [Box(60, 60, 70, 70), Box(20, 20, 30, 30)]
    assert (plan.edit_prompt, plan.editable_mode) == ("closer", "extend")


def test_a_preview_is_that_of_the_library_for_every_picture(classes: dict[str, Any], box: Any) -> None:
    pictures = np.random.default_rng(1).integers(0, 255, (2, 96, 96, 3), dtype=np.uint8)
    masks = np.zeros((2, 96, 96), np.float32)
    masks[0, 20:31, 20:31] = masks[1, 40:51, 40:51] = 1
    region = classes["DragFlowRegionFromMask"]().make(torch.from_numpy(masks))[0]
    plan = classes["DragFlowMove"]().add(region, mode="by", x=20.0, y=10.0, label="whole object")[0]
    area = torch.ones(1, 96, 96)
    plan = classes["DragFlowEditableArea"]().say(plan, area, "extend")[0]
    (drawn,) = classes["DragFlowPreview"]().draw(torch.from_numpy(pictures / 255), plan)
    for index, at in enumerate((25.0, 45.0)):
        asked = Operation(MaskArray(masks[index]), Translate((at + 20, at + 10), "relocation"), handle=(at, at))
        expected = np.asarray(preview(pictures[index], asked))
        assert (np.rint(drawn[index].numpy() * 255) == expected).all()


def test_what_breaks_a_rule_is_said_in_the_librarys_words(classes: dict[str, Any], box: Any) -> None:
    far = classes["DragFlowMove"]().add(box, mode="to", x=500.0, y=0.0)[0]
    with pytest.raises(DragFlowError, match="outside"):
        classes["DragFlowPreview"]().draw(torch.zeros(1, 96, 96, 3), far)


def test_a_point_finds_the_thing_there(classes: dict[str, Any], pack: Any) -> None:
    picture = torch.full((1, 96, 96, 3), 0.4)
    picture[:, 30:60, 20:50] = torch.tensor([0.9, 0.2, 0.1])
    region, mask = classes["DragFlowRegionFromPoint"]().find(picture, 35, 45)
    assert mask.shape == (1, 96, 96)
    assert mask[0, 32:58, 22:48].mean() > 0.95
    assert mask.mean() < 0.15
    (found,) = operations(pack, classes["DragFlowMove"]().add(region, mode="by", x=9.0, y=0.0)[0])
    assert isinstance(found.region, MaskArray)


def test_guesses_label_what_is_open_and_keep_the_words_of_the_person(classes: dict[str, Any], pack: Any) -> None:
    picture = torch.full((1, 96, 96, 3), 0.4)
    picture[:, 30:60, 20:50] = torch.tensor([0.9, 0.2, 0.1])
    region, _ = classes["DragFlowRegionFromPoint"]().find(picture, 35, 45)
    plan = classes["DragFlowMove"]().add(region, mode="by", x=30.0, y=10.0)[0]
    told = classes["DragFlowIntent"]().guess(picture, plan, "rules", 1)
    meant, prompt, edit_prompt, guesses = told["result"]
    (found,) = operations(pack, meant)
    assert found.motion.label is not None
    assert guesses.startswith("1. ")
    assert edit_prompt
    assert (told["ui"]["text"], isinstance(prompt, str)) == ([guesses], True)
    with pytest.raises(DragFlowError, match="2 pictures"):
        classes["DragFlowIntent"]().guess(picture.repeat(2, 1, 1, 1), plan, "rules", 1)
    with pytest.raises(DragFlowError, match="guess 19 does not exist"):
        classes["DragFlowIntent"]().guess(picture, plan, "rules", 19)
