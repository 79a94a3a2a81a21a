"""Qwen-Image-Edit and its successors against diffusers' own pipelines, and what their text encoder is shown."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dragflow.backbones.packing import pack, unpack
from dragflow.backbones.qwen_image.shown import shown_by
from dragflow.backbones.qwen_image_edit.model import SEEN, SIZES, QwenImageEdit, scaled
from dragflow.backbones.registry import load_backbone, wrap_pipeline
from dragflow.core.errors import UserError
from dragflow.core.models import ModelOptions
from dragflow.editor.frames import model_size
from dragflow.method.backbone import Reference
from dragflow.method.references import in_place, moved
from dragflow.ops.geometry import CellMap
from small_flux import TIME, latent
from small_qwen import Kind, library_pipeline, steps_of, write_qwen

PROMPT, GUIDANCE = "blend it in", 4.0


@dataclass(frozen=True)
class Case:
    """A kind of pipeline, with a small model of it."""

    kind: Kind
    still: bool
    """Whether references are modulated as at time 0."""
    folder: Path
    backbone: QwenImageEdit


@pytest.fixture(
    scope="module",
    params=[
        ("QwenImageEditPipeline", False),
        ("QwenImageEditPlusPipeline", False),
        ("QwenImageEditPlusPipeline", True),
    ],
    ids=["edit", "2509", "2511"],
)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    kind, still = request.param
    folder = write_qwen(tmp_path_factory.mktemp("model") / "edit", kind, layers=3, zero_cond_t=still)
    return Case(kind, still, folder, load(folder))


def load(folder: Path) -> QwenImageEdit:
    loaded = load_backbone(ModelOptions.of(folder, device="cpu"))
    assert isinstance(loaded, QwenImageEdit)
    return loaded


def as_picture(image: Tensor) -> Any:
    """A picture of PIL."""
    from diffusers.image_processor import VaeImageProcessor

    pictures: Any = VaeImageProcessor().postprocess(image * 2 - 1, output_type="pil")
    return pictures[0]


def small_pipeline(case: Case, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The library's own pipeline, made to take 64 x 96 pixels as they are, where it scales pictures to a megapixel."""
    pipe = library_pipeline(case.folder, case.kind)
    module = import_module(type(pipe).__module__)
    rule = module.calculate_dimensions
    smaller = {1024 * 1024: 64 * 96}
    monkeypatch.setattr(module, "calculate_dimensions", lambda area, ratio: rule(smaller.get(area, area), ratio))
    return pipe


@pytest.mark.parametrize("count", [1, 2])
def test_it_is_the_librarys_own_pipeline(count: int, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """With as many pictures as the pipeline takes; its text encoder sees them as the autoencoder gives them back."""
    if count > 1 and case.kind == "QwenImageEditPipeline":
        pytest.skip("its pipeline takes one picture")
    backbone, grid = case.backbone, (4, 6)
    if case.kind == "QwenImageEditPipeline":
        monkeypatch.setattr(type(backbone), "_seen_area", 64 * 96)
    pipe = small_pipeline(case, monkeypatch)
    pictures = [torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(i)) for i in range(count)]
    encoded = [backbone.encode(as_tensor(as_picture(picture))) for picture in pictures]
    see(pipe, [as_picture(backbone.decode(z)) for z in encoded], monkeypatch)
    cond = backbone.condition(
        PROMPT, references=tuple(in_place(z, grid, i) for i, z in enumerate(encoded, 1)), guidance=GUIDANCE
    )
    steps = steps_of(
        pipe,
        24,
        image=[as_picture(picture) for picture in pictures] if count > 1 else as_picture(pictures[0]),
        prompt=PROMPT,
        true_cfg_scale=GUIDANCE,
        height=64,
        width=96,
        latents=pack(torch.randn(1, 16, 8, 12, generator=torch.Generator().manual_seed(3))),
        num_inference_steps=2,
    )
    assert len(steps) == 2
    for step in steps:
        assert torch.allclose(cond.own.text.tokens, step.given["encoder_hidden_states"], atol=1e-5)
        assert torch.allclose(cond.negative.text.tokens, step.away["encoder_hidden_states"], atol=1e-5)
        tokens, t = step.given["hidden_states"], float(step.given["timestep"])
        assert torch.allclose(torch.cat([pack(z) for z in encoded], dim=1), tokens[:, 24:], atol=1e-5)
        z = unpack(tokens[:, :24], *grid)
        stream = backbone._embed(z, t, cond.own)
        rotary = pipe.transformer.pos_embed(
            step.given["img_shapes"], max_txt_seq_len=stream.text.shape[1], device=z.device
        )
        assert all(map(torch.equal, stream.rotary, rotary))
        assert torch.allclose(pack(backbone.velocity(z, t, cond.own)), step.answer, rtol=0, atol=1e-5)
        assert torch.allclose(pack(backbone.velocity(z, t, cond)), step.led, rtol=0, atol=1e-5)


def as_tensor(picture: Any) -> Tensor:
    from diffusers.image_processor import VaeImageProcessor

    return VaeImageProcessor().preprocess(picture) / 2 + 0.5


def see(pipe: Any, pictures: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the text encoder of a pipeline see these pictures in place of those that it is given."""
    encode = pipe.encode_prompt

    def encoded(*, image: Any, **given: Any) -> Any:
        sizes = [each.size for each in (image if isinstance(image, list) else [image])]
        shown = [pipe.image_processor.resize(each, h, w) for each, (w, h) in zip(pictures, sizes, strict=True)]
        return encode(image=shown if isinstance(image, list) else shown[0], **given)

    monkeypatch.setattr(pipe, "encode_prompt", encoded)


def test_but_for_the_autoencoder_the_text_encoder_sees_the_picture_itself(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a picture loses on its way through the latent is all that is lost."""
    backbone, picture = case.backbone, as_picture(torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(5)))
    area = 1024 * 1024 if case.kind == "QwenImageEditPipeline" else 384 * 384
    pipe = library_pipeline(case.folder, case.kind)
    resized = pipe.image_processor.resize(picture, *scaled((64, 96), area))
    theirs, _ = pipe.encode_prompt("see", image=resized if area > 384 * 384 else [resized])
    references = (in_place(backbone.encode(as_tensor(picture)), (4, 6)),)
    lossy = backbone.condition("see", references=references, guidance=1.0).text.tokens
    monkeypatch.setattr(backbone, "decode", lambda z: as_tensor(picture))
    backbone._text.cache_clear()
    exact = backbone.condition("see", references=references, guidance=1.0).text.tokens
    assert torch.allclose(exact, theirs, atol=1e-5)
    assert not torch.allclose(lossy, exact, atol=1e-3)
    backbone._text.cache_clear()


def test_rows_and_columns_of_a_picture_are_told_to_the_text_encoder(case: Case) -> None:
    """Without them transformers counts its patches as words, in silence; the weights were trained with them."""
    given: list[Tensor] = []
    encoder: Any = case.backbone.pipeline.text_encoder
    hook = encoder.model.language_model.register_forward_pre_hook(
        lambda _, __, inputs: given.append(inputs["position_ids"]), with_kwargs=True
    )
    case.backbone.condition("here", references=(in_place(latent().flip(-2), (3, 4)),), guidance=1.0)
    hook.remove()
    (positions,) = given
    assert positions.shape[0] == 3
    assert not torch.equal(positions[1], positions[2])


def test_without_a_picture_the_prompt_has_no_place_for_one(case: Case) -> None:
    wording = case.backbone._wording("move it", 0)
    assert "<|vision_start|>" not in wording
    assert wording.count("move it") == 1
    theirs = library_pipeline(case.folder, case.kind)
    if case.kind == "QwenImageEditPlusPipeline":  # the other has it in its template, whether there is a picture or not
        tokens, _ = theirs.encode_prompt("move it", image=None)
        assert torch.allclose(case.backbone.condition("move it", guidance=1.0).text.tokens, tokens, atol=1e-5)
    assert case.backbone._wording("move it", 2).count(SEEN) == 2


def test_a_picture_is_looked_at_once(case: Case) -> None:
    backbone, calls = case.backbone, list[Any]()
    pipeline: Any = backbone.pipeline
    hook = pipeline.text_encoder.model.visual.register_forward_pre_hook(lambda *_: calls.append(None))
    z = torch.randn(1, 16, 6, 8, generator=torch.Generator().manual_seed(8))
    for each in (z, z.clone()):
        backbone.condition("look", references=(in_place(each, (3, 4)),), guidance=GUIDANCE)
    assert len(calls) == 2  # with the prompt, and with the negative one
    backbone.condition("look", references=(in_place(z + 1, (3, 4)),), guidance=1.0)
    assert len(calls) == 3
    hook.remove()


def test_what_is_shown_has_its_tokens_where_the_reference_has_them() -> None:
    z = latent()
    assert torch.equal(shown_by(in_place(z, (3, 4))).z, z)
    source = torch.arange(12).reshape(3, 4).roll(1, 1)
    vacated = torch.zeros(3, 4, dtype=torch.bool)
    vacated[0, 0] = True
    shown = shown_by(moved(z, CellMap(source, ~vacated, vacated)))
    tokens, own = pack(shown.z), pack(z)
    assert not tokens[:, 0].any()  # mid-grey, or what 0 is to the autoencoder
    assert torch.equal(tokens[:, 1], own[:, 0])
    assert torch.equal(tokens[:, 4], own[:, 7])
    assert shown == shown_by(moved(z.clone(), CellMap(source, ~vacated, vacated)))
    assert shown != shown_by(in_place(z, (3, 4)))
    far = Reference(z, torch.tensor([0, 1]), torch.tensor([[2.0, 3.0], [3.0, 0.0]]))
    assert torch.equal(pack(shown_by(far).z)[:, 11], own[:, 0])
    assert pack(shown_by(far).z).any(-1).sum() == 1


def test_references_stand_still_where_the_model_says_so(case: Case) -> None:
    backbone, z = case.backbone, latent()
    cond = backbone.condition("here", references=(in_place(z.flip(-1), (3, 4)),), guidance=1.0)
    early, late = (backbone._embed(z, t, cond) for t in (0.9, 0.2))
    block = backbone.transformer.transformer_blocks[0]
    first, second = (
        block._modulate(each.tokens, block.img_mod(each.temb).chunk(2, dim=-1)[0], each.still)[0]
        for each in (early, late)
    )
    assert torch.equal(first[:, 12:], second[:, 12:]) == case.still
    assert not torch.equal(first[:, :12], second[:, :12])


def test_sizes_are_those_of_the_pipeline(case: Case) -> None:
    from diffusers.pipelines.qwenimage.pipeline_qwenimage_edit_plus import calculate_dimensions

    assert {(1024, 1024), (928, 1120), (1120, 928)} <= set(SIZES)
    assert all(calculate_dimensions(1024 * 1024, w / h) == (w, h) for h, w in SIZES)
    for picture in ((1080, 1920), (75, 100), (3000, 2000)):
        w, h = calculate_dimensions(1024 * 1024, picture[1] / picture[0])
        assert scaled(picture, 1024 * 1024) == model_size(case.backbone.spec, picture, 1024 * 1024) == (h, w)


def test_a_loaded_pipeline_is_taken(case: Case) -> None:
    wrapped = wrap_pipeline(library_pipeline(case.folder, case.kind), ModelOptions())
    assert wrapped.spec.family == case.backbone.spec.family
    assert wrapped.spec.prompts == "instructions"
    references = (in_place(latent(), (3, 4)),)
    ours, theirs = (each.condition("a", references=references, guidance=1.0) for each in (case.backbone, wrapped))
    assert torch.allclose(ours.text.tokens, theirs.text.tokens, atol=1e-5)
    assert torch.equal(wrapped.velocity(latent(), TIME, ours), case.backbone.velocity(latent(), TIME, ours))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"patch_size": 16}, ("patch_size 16", "14")),
        ({"merge_size": 1}, ("merge_size 1", "2")),
        ({"size": {"shortest_edge": 1 << 30, "longest_edge": 1 << 31}}, (str(1 << 30), "1048576")),
        ({"size": {"shortest_edge": 3136, "longest_edge": 28}}, ("3136 to 28",)),
    ],
)
def test_a_processor_of_another_encoder_is_refused(
    changes: dict[str, Any], words: tuple[str, ...], case: Case, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(case.folder, tmp_path / "model"))
    path = copy / "processor" / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(UserError) as error:
        load(copy)
    assert all(word in str(error.value) for word in ("its processor", *words))


def test_a_processor_as_newer_libraries_save_it(case: Case, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(case.folder, tmp_path / "model"))
    path = copy / "processor" / "preprocessor_config.json"
    nested = {"image_processor": json.loads(path.read_text()) | {"size": {"shortest_edge": 784, "longest_edge": 7840}}}
    path.with_name("processor_config.json").write_text(json.dumps(nested))
    path.unlink()
    processor: Any = load(copy).pipeline.processor
    assert processor.image_processor.size["longest_edge"] == 7840


def test_a_tokenizer_that_stands_for_pictures_otherwise_is_refused(case: Case, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(case.folder, tmp_path / "model"))
    path = copy / "text_encoder" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"image_token_id": 7}))
    backbone = load(copy)
    with pytest.raises(UserError, match=r"image_pad.* than 7"):
        backbone.condition("see", references=(in_place(latent(), (3, 4)),), guidance=1.0)


def test_references_in_bfloat16_and_with_offloading(case: Case) -> None:
    for options in ({"dtype": "bfloat16"}, {"offload": True}):
        loaded = load_backbone(ModelOptions.of(case.folder, device="cpu", **options))  # pyright: ignore[reportArgumentType]
        cond = loaded.condition("see", references=(in_place(latent(), (3, 4)),), guidance=GUIDANCE)
        v = loaded.velocity(latent(), TIME, cond)
        assert v.dtype == torch.float32
        assert v.isfinite().all()
