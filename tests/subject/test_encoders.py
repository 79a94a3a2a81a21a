"""The pictures that encoders get, the layers whose features are used, and encoders that do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from dragflow.core.errors import UserError
from dragflow.core.models import SubjectOptions
from dragflow.subject.dummy import write_dinov2
from dragflow.subject.encoders import CLIP, SIGLIP, load_network
from dragflow.subject.instantcharacter.encoders import PatchEncoders, load_encoders, make_views

CPU = torch.device("cpu")


def load(options: SubjectOptions, *, offload: bool = False) -> PatchEncoders:
    return load_encoders(options.siglip, options.dinov2, CPU, torch.float32, offload=offload)


def image(h: int, w: int) -> Tensor:
    return torch.rand(1, 3, h, w, generator=torch.Generator().manual_seed(0)) * 0.5


def test_a_wide_picture_is_letterboxed_in_white_not_squashed() -> None:
    whole, _ = make_views(torch.zeros(1, 3, 20, 40), 28)
    pixels = np.asarray(whole)
    assert pixels.shape == (28, 28, 3)
    assert (pixels[7:21] == 0).all()
    assert (pixels[:7] == 255).all()
    assert (pixels[21:] == 255).all()


@pytest.mark.parametrize("size", [(1, 500), (500, 1), (1, 1)])
def test_the_thinnest_picture_still_has_a_pixel(size: tuple[int, int]) -> None:
    whole, crops = make_views(torch.zeros(1, 3, *size), 28)
    assert (np.asarray(whole) == 0).any()
    assert any((np.asarray(crop) == 0).any() for crop in crops)


def test_the_crops_are_the_quarters_of_a_picture_of_twice_the_size() -> None:
    quarters = torch.zeros(1, 3, 56, 56)
    for i, (y, x) in enumerate(((0, 0), (0, 28), (28, 0), (28, 28))):
        quarters[..., y : y + 28, x : x + 28] = i * 50 / 255
    _, crops = make_views(quarters, 28)
    assert [set(np.unique(np.asarray(crop))) for crop in crops] == [{0}, {50}, {100}, {150}]


def test_features_are_of_the_stated_layers_and_sizes(instantcharacter: SubjectOptions) -> None:
    encoders = load(instantcharacter)
    with torch.no_grad():
        features = encoders(image(30, 40))
    patches = 4  # 28 / 14 = 2 on a side
    assert features.low_shallow.shape == (1, 3 * patches, 64)
    assert features.low_deep.shape == (1, patches, 64)
    assert features.high_deep.shape == (1, 4 * patches, 64)
    whole, _ = make_views(image(30, 40), 28)
    pixels = torch.from_numpy(np.array(whole)).permute(2, 0, 1)[None].float() / 255
    members = (
        (encoders.members[0].model, (7, 13, 26), 0, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        (encoders.members[1].model, (9, 19, 29), 1, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    )
    for i, (model, layers, leading, mean, std) in enumerate(members):
        x = (pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
        with torch.no_grad():
            output = model(x, output_hidden_states=True)
        shallow = torch.cat([output.hidden_states[layer][:, leading:] for layer in layers], dim=1)
        channels = slice(32 * i, 32 * i + 32)
        assert torch.allclose(features.low_shallow[..., channels], shallow, atol=1e-5)
        assert torch.allclose(features.low_deep[..., channels], output.last_hidden_state[:, leading:], atol=1e-5)


def test_offloaded_encoders_give_the_same(instantcharacter: SubjectOptions) -> None:
    here, offloaded = (load(instantcharacter, offload=offload)(image(20, 20)) for offload in (False, True))
    assert torch.equal(here.low_deep, offloaded.low_deep)


def test_a_missing_encoder_says_how_to_name_one(instantcharacter: SubjectOptions) -> None:
    with pytest.raises(UserError, match=r"subject.siglip` \(SigLIP\) '/no/such' is neither"):
        load_encoders("/no/such", instantcharacter.dinov2, CPU, torch.float32, offload=False)
    with pytest.raises(UserError, match=r"subject.dinov2` \(DINOv2\) 'none' is neither"):
        load_encoders(instantcharacter.siglip, "none", CPU, torch.float32, offload=False)


def test_the_wrong_encoder_and_an_empty_folder_are_refused(instantcharacter: SubjectOptions, tmp_path: Path) -> None:
    for siglip in (instantcharacter.dinov2, str(tmp_path)):
        with pytest.raises(UserError, match="SigLIP encoder"):
            load_encoders(siglip, instantcharacter.dinov2, CPU, torch.float32, offload=False)


@pytest.mark.parametrize(("settings", "words"), [({"patch": 7}, "patches"), ({"layers": 28}, "layers")])
def test_an_encoder_that_does_not_fit_is_refused(
    settings: dict[str, int], words: str, instantcharacter: SubjectOptions, tmp_path: Path
) -> None:
    write_dinov2(tmp_path, **settings)
    with pytest.raises(UserError, match=words):
        load_encoders(instantcharacter.siglip, str(tmp_path), CPU, torch.float32, offload=False)


def test_of_two_towers_the_one_for_pictures_is_loaded(tmp_path: Path) -> None:
    """Encoders come from files that hold a tower for text, too, as those of the hub do."""
    from transformers import (
        CLIPConfig,
        CLIPModel,
        CLIPVisionModelWithProjection,
        SiglipConfig,
        SiglipModel,
        SiglipVisionModel,
    )

    vision = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = vision | {"hidden_size": 16, "intermediate_size": 24, "vocab_size": 40}
    vision |= {"image_size": 28, "patch_size": 14, "projection_dim": 8}
    for spec, whole, cls in (
        (SIGLIP, SiglipModel(SiglipConfig(text_config=text, vision_config=vision)), SiglipVisionModel),
        (
            CLIP,
            CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)),
            CLIPVisionModelWithProjection,
        ),
    ):
        whole.save_pretrained(tmp_path / spec.option)
        loaded = load_network(spec, cls, str(tmp_path / spec.option), CPU, torch.float32)
        found = loaded.state_dict()[
            "vision_model.embeddings.patch_embedding.weight" if spec is CLIP else "embeddings.patch_embedding.weight"
        ]
        assert torch.equal(found, whole.vision_model.embeddings.patch_embedding.weight)
