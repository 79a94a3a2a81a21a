"""IMAGE, MASK and alpha, as ComfyUI has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dragflow import UserError
from dragflow.pixels.masks import rasterise


def place(pack: Any, index: int = 0, count: int = 1, size: tuple[int, int] = (40, 60)) -> Any:
    import importlib

    return importlib.import_module(f"{pack.__name__}.nodes.plans").Place(index, count, size)


def region(classes: dict[str, Any], mask: Any, **widgets: Any) -> Any:
    return classes["DragFlowRegionFromMask"]().make(torch.as_tensor(mask, dtype=torch.float32), **widgets)[0]


def painted(size: tuple[int, int] = (40, 60)) -> np.ndarray:
    mask = np.zeros(size, np.float32)
    mask[10:20, 30:45] = 1
    return mask


def test_what_was_painted_in_the_mask_editor_is_the_region(classes: dict[str, Any], pack: Any, folders: Any) -> None:
    """The editor makes the file transparent there: alpha 0, MASK 1."""
    alpha = np.where(painted() > 0, 0, 255).astype(np.uint8)
    Image.fromarray(np.dstack([np.full((40, 60, 3), 90, np.uint8), alpha])).save(folders / "input" / "clipspace.png")
    _, mask = classes["LoadImage"]().load("clipspace.png")
    found, middle = region(classes, mask).at(place(pack))
    assert (rasterise(found, (40, 60)) == (painted() > 0)).all()
    assert middle == (37.0, 14.5)


def test_the_mask_of_a_cut_out_is_inverted_when_it_is_said(classes: dict[str, Any], pack: Any) -> None:
    """A cut-out is opaque where its object is: MASK 0 there."""
    mask = 1 - painted()
    found, middle = region(classes, mask, invert="yes").at(place(pack))
    assert (rasterise(found, (40, 60)) == (painted() > 0)).all()
    assert middle == (37.0, 14.5)
    found, _ = region(classes, mask, invert="no").at(place(pack))
    assert (rasterise(found, (40, 60)) == (painted() == 0)).all()
    with pytest.raises(UserError, match=r"covers 94 % of the picture.*Set `invert` to yes"):
        region(classes, mask).at(place(pack))


def test_the_empty_mask_of_a_picture_without_alpha_says_what_to_do(classes: dict[str, Any], pack: Any) -> None:
    with pytest.raises(UserError, match="MaskEditor"):
        region(classes, np.zeros((1, 64, 64))).at(place(pack))
    with pytest.raises(UserError, match="everything is masked"):
        region(classes, np.ones((1, 40, 60)), invert="yes").at(place(pack))


def test_a_mask_of_another_size_is_refused(classes: dict[str, Any], pack: Any) -> None:
    with pytest.raises(UserError, match="the mask is 60 x 40, the picture 80 x 80"):
        region(classes, painted()).at(place(pack, size=(80, 80)))


def test_one_of_several_masks_of_sam_is_chosen(classes: dict[str, Any], pack: Any) -> None:
    masks = np.stack([np.roll(painted(), shift, axis=1) for shift in (0, 5, 10)])
    _, middle = region(classes, masks, index=2).at(place(pack))
    assert middle == (47.0, 14.5)
    with pytest.raises(UserError, match="3 masks for 1 pictures: choose one by `index`"):
        region(classes, masks).at(place(pack))
    with pytest.raises(UserError, match="index 3 is beyond"):
        region(classes, masks, index=3)


def test_a_batch_takes_one_mask_for_all_or_one_for_each(classes: dict[str, Any], pack: Any) -> None:
    masks = np.stack([painted(), np.roll(painted(), 5, axis=1)])
    middles = [region(classes, masks).at(place(pack, index, 2))[1][0] for index in range(2)]
    assert middles == [37.0, 42.0]
    assert [region(classes, painted()).at(place(pack, index, 2))[1][0] for index in range(2)] == [37.0, 37.0]


def test_pictures_come_back_to_the_bit_also_after_save_image(classes: dict[str, Any], folders: Any) -> None:
    import importlib

    tensors = importlib.import_module(f"{classes['DragFlowEdit'].__module__.rsplit('.', 1)[0]}.tensors")
    every = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(4, axis=2)
    image = tensors.image([every, every[::-1]])
    assert image.shape == (2, 16, 16, 4)
    assert all((back == own).all() for back, own in zip(tensors.pictures(image), (every, every[::-1]), strict=True))
    saved = classes["SaveImage"]().save(image)["ui"]["images"][0]
    assert (np.asarray(Image.open(folders / "output" / saved["filename"])) == every).all()
    assert tensors.pictures(image[..., :1])[0].shape == (16, 16, 3)


def test_layers_have_alpha_and_a_mask_that_is_one_where_the_object_is(classes: dict[str, Any]) -> None:
    picture = torch.full((2, 64, 64, 3), 0.5)
    picture[:, 20:30, 20:30] = torch.tensor([1.0, 0.0, 0.0])
    box = classes["DragFlowRegionFromBox"]().make(20, 20, 10, 10)[0]
    plan = classes["DragFlowMove"]().add(box, mode="by", x=20.0, y=10.0, label="whole object", cut="hard")[0]
    area, ghost, plate, thing, mask = classes["DragFlowLayers"]().take(picture, plan)
    assert (area.shape, ghost.shape, plate.shape, thing.shape) == ((2, 64, 64), *[(2, 64, 64, n) for n in (4, 3, 4)])
    assert thing[0, 25, 25].tolist() == [1, 0, 0, 1]
    assert thing[0, 5, 5, 3] == ghost[0, 25, 25, 3] == 0
    assert ghost[0, 35, 45, 3] > 0.99
    assert (mask == thing[..., 3]).all()
    assert abs(float(plate[0, 25, 25, 0]) - 0.5) < 0.02
    assert area[0, 25, 25] == 1
    assert area[0, 60, 5] == 0
