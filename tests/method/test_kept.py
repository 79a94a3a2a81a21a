"""What a model that fills is told of a picture."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch

from dragflow.method.backbone import BackboneSpec
from dragflow.method.filling import kept, with_hole

SPEC = BackboneSpec("toy", 2, 4, 8, ("a",), ("a.out",), ("a",), ("a",), 8, fills=True)


def test_of_a_picture_that_is_kept_its_own_latent_is_told_and_an_empty_mask() -> None:
    z = torch.rand(1, 2, 3, 5)
    told = kept(z, SPEC)
    assert told is not None
    assert told.z is z
    assert told.mask.shape == (12, 20)
    assert not told.mask.any()


def test_a_model_that_does_not_fill_is_told_nothing() -> None:
    assert kept(torch.rand(1, 2, 3, 5), BackboneSpec("toy", 2, 4, 8, ("a",), ("a.out",), ("a",), ("a",), 8)) is None


def test_a_hole_is_grey_and_the_rest_the_picture() -> None:
    toy: Any = SimpleNamespace(encode=lambda image: image, device=torch.device("cpu"))
    image, hole = torch.rand(1, 3, 8, 16), torch.zeros(8, 16, dtype=torch.bool)
    hole[2:5, 3:9] = True
    told = with_hole(toy, image, hole)
    assert torch.equal(told.mask, hole)
    assert (told.z[..., hole] == 0.5).all()
    assert torch.equal(told.z[..., ~hole], image[..., ~hole])
