"""SAM 2.1 by the real loading code, on a small model with random weights in the real layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import Sam2Config, Sam2Model, Sam2VisionConfig

from dragflow.core.errors import UserError
from dragflow.select import BUILT_IN, selector
from dragflow.select import sam2 as module
from dragflow.select.sam2 import Sam2, cached_weights

SIDE = 128
PICTURE = np.asarray(Image.effect_noise((90, 70), 80).convert("RGB"))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    backbone = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": 16,
        "image_size": [SIDE, SIDE],
        "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [16, 32, 64, 128],
        "num_attention_heads_per_stage": [1, 2, 4, 8],
        "window_size_per_stage": [8, 4, 8, 4],
        "global_attention_blocks": [3],
    }
    vision = Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=[128, 64, 32, 16],
        backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]],
        fpn_hidden_size=32,
    )
    config = Sam2Config(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": 32, "image_size": SIDE, "patch_size": 16, "mask_input_channels": 4},
        mask_decoder_config={"hidden_size": 32, "mlp_dim": 64, "num_attention_heads": 2, "iou_head_hidden_dim": 32},
    )
    folder = tmp_path_factory.mktemp("sam2")
    Sam2Model(config).eval().save_pretrained(folder)
    return folder


def test_the_mask_is_the_model_s_at_the_size_of_the_picture(checkpoint: Path) -> None:
    found = Sam2(checkpoint, "cpu").select(PICTURE, [(30, 20)])
    assert (found.shape, found.dtype) == ((70, 90), np.bool_)
    assert found[20, 30]
    # By the model itself, from a picture that was squeezed and normalised by other code.
    square = Image.fromarray(PICTURE).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    values = (np.asarray(square) / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    model = Sam2Model.from_pretrained(checkpoint).eval()
    with torch.inference_mode():
        said = model(
            pixel_values=torch.tensor(values).permute(2, 0, 1)[None].float(),
            input_points=torch.tensor([[[[30.5 * SIDE / 90, 20.5 * SIDE / 70]]]]),
            input_labels=torch.ones((1, 1, 1), dtype=torch.long),
        )
    logits = said.pred_masks[0, 0, int(said.iou_scores[0, 0].argmax())].numpy()
    expected = np.asarray(Image.fromarray(logits).resize((90, 70), Image.Resampling.BILINEAR)) > 0
    assert (found == expected).mean() > 0.97


def test_a_picture_is_encoded_once(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sam2, encoded = Sam2(checkpoint, "cpu"), []
    whole = Sam2Model.get_image_embeddings

    def counted(model: Sam2Model, values: torch.Tensor) -> list[torch.Tensor]:
        encoded.append(values.shape)
        return whole(model, values)

    monkeypatch.setattr(Sam2Model, "get_image_embeddings", counted)
    first = sam2.select(PICTURE, [(30, 20)])
    sam2.select(PICTURE, [(60, 50), (31, 22)])
    assert np.array_equal(sam2.select(PICTURE, [(30, 20)]), first)
    assert len(encoded) == 1
    sam2.select(PICTURE[:, ::-1].copy(), [(30, 20)])
    assert len(encoded) == 2


def test_a_folder_that_is_no_checkpoint_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no config\.json"):
        selector(tmp_path)
    (tmp_path / "config.json").write_bytes((checkpoint / "config.json").read_bytes())
    whole = (checkpoint / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"cannot be loaded as SAM 2\.1"):
        Sam2(tmp_path, "cpu").select(PICTURE, [(30, 20)])


def test_weights_that_lack_a_tensor_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    (tmp_path / "config.json").write_bytes((checkpoint / "config.json").read_bytes())
    tensors = load_file(checkpoint / "model.safetensors")
    del tensors[next(name for name in tensors if name.startswith("mask_decoder"))]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lacks 1 weights of SAM 2\.1, as mask_decoder"):
        Sam2(tmp_path, "cpu").select(PICTURE, [(30, 20)])


def test_it_is_chosen_where_its_weights_are(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REPOSITORIES", ())
    assert cached_weights() is None
    assert selector() is BUILT_IN
    assert selector(checkpoint).name == "SAM 2.1"
    monkeypatch.setattr(module, "REPOSITORIES", ("facebook/sam2.1-hiera-tiny",))
    snapshot = tmp_path / "models--facebook--sam2.1-hiera-tiny" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("abc")
    for name in ("config.json", "model.safetensors"):
        (snapshot / name).write_bytes((checkpoint / name).read_bytes())
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert cached_weights() == snapshot
    assert selector().name == "SAM 2.1"
