"""Files of every family compute what the folder of the same weights computes, to the bit; what is wrong is named."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from file_cases import FILES, FileCase, few_bits, save, shell, split_files, velocity, weights, whole_file, without
from file_cases import same as computes_the_same
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from dragflow.backbones.registry import load_backbone
from dragflow.core.errors import UserError
from dragflow.core.models import ModelOptions
from dragflow.files.recipes import load_recipe
from dragflow.pixels.resolve import resolve
from gguf_files import write_packed
from model_files import COMFY, prefixed, write_raw
from small_flux import error
from small_sd3 import write_sd3

_QUICK = ("flux1", "flux2-klein", "z-image")
_PARAMS = [pytest.param(name, marks=() if name in _QUICK else pytest.mark.slow) for name in FILES]


@pytest.fixture(scope="module", params=_PARAMS)
def case(request: pytest.FixtureRequest) -> FileCase:
    """Every family in turn."""
    return FILES[request.param]


@pytest.fixture(scope="module")
def folder(case: FileCase, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its model in diffusers layout."""
    return case.write(tmp_path_factory.mktemp("model") / "folder")


@pytest.fixture(scope="module")
def plain(case: FileCase, folder: Path) -> Any:
    """That model, loaded from its folder."""
    return case.case.load(folder, dtype="bfloat16")


@pytest.mark.parametrize("prefix", ["", COMFY, "diffusion_model."])
@pytest.mark.parametrize("layout", ["original", "diffusers"])
def test_a_transformers_file_is_its_folder_to_the_bit(
    layout: str, prefix: str, case: FileCase, folder: Path, plain: Any, tmp_path: Path
) -> None:
    tensors = load_file(weights(folder, "transformer"))
    written = case.transformer(tensors) if layout == "original" else tensors
    file = save(prefixed(prefix, written), tmp_path / "a.safetensors")
    found = case.case.load(file, parts=str(folder), dtype="bfloat16")
    assert computes_the_same(found, plain)
    states = [model.transformer.state_dict() for model in (found, plain)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][key], x) for key, x in states[1].items())


@pytest.mark.parametrize("stored", ["bf16", "fp8", "scaled fp8"])
def test_a_file_of_each_network_makes_up_the_model(stored: str, case: FileCase, folder: Path, tmp_path: Path) -> None:
    """As ComfyUI's folders have them; configurations, tokenizers and scheduler come from a folder without weights."""
    exact = case.write(tmp_path / "exact")
    model, files = split_files(case, exact, tmp_path, stored)
    parts = (str(shell(folder, tmp_path / "shell")), *map(str, files))
    found = case.case.load(model, parts=parts, dtype="bfloat16")
    assert computes_the_same(found, case.case.load(exact, dtype="bfloat16"))


@pytest.mark.parametrize("stored", ["fp8", "scaled fp8", "nf4"])
def test_a_transformer_in_fewer_bits_is_what_they_stand_for(
    stored: str, case: FileCase, folder: Path, tmp_path: Path
) -> None:
    tensors = case.transformer(load_file(weights(folder, "transformer")))
    packed, exact = few_bits(tensors, stored)
    exact = {name: x.bfloat16() for name, x in exact.items()}
    files = [save(each, tmp_path / f"{i}.safetensors") for i, each in enumerate((prefixed(COMFY, packed), exact))]
    assert computes_the_same(*(case.case.load(file, parts=str(folder), dtype="bfloat16") for file in files))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "prefix"), [("Q8_0", ""), ("Q4_0", COMFY), ("BF16", "")])
def test_a_gguf_file_is_near_what_it_stands_for(
    kind: str, prefix: str, case: FileCase, folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("gguf", reason="gguf is not installed (extra: quant)")
    tensors = case.transformer(load_file(weights(folder, "transformer")))
    tensors = {prefix + name: x.float().contiguous() for name, x in tensors.items()}
    exact = save(write_packed(tmp_path / "a.gguf", tensors, kind), tmp_path / "exact.safetensors")
    found, plain = (case.case.load(file, parts=str(folder)) for file in (tmp_path / "a.gguf", exact))
    assert error(velocity(found), velocity(plain)) < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("quantize", ["layerwise-fp8", "int8", "fp8"])
def test_a_file_is_quantised_as_its_folder_is(quantize: str, case: FileCase, folder: Path, tmp_path: Path) -> None:
    if quantize != "layerwise-fp8":
        pytest.importorskip("torchao", reason="torchao is not installed (extra: quant)")
    file = save(case.transformer(load_file(weights(folder, "transformer"))), tmp_path / "a.safetensors")
    options: dict[str, Any] = {"quantize": quantize, "dtype": "bfloat16"}
    assert computes_the_same(case.case.load(file, parts=str(folder), **options), case.case.load(folder, **options))


def test_a_checkpoint_of_everything_needs_no_other_weights(
    case: FileCase, folder: Path, plain: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = whole_file(case, folder, tmp_path / "a.safetensors")
    save({**load_file(file), "text_encoders.clip_l.logit_scale": torch.ones(())}, file)
    with caplog.at_level(logging.INFO, "dragflow"):
        found = case.case.load(file, parts=str(shell(folder, tmp_path / "shell")), dtype="bfloat16")
    assert computes_the_same(found, plain)
    assert f"1 tensors of {file} belong to none of its networks and are left out" in caplog.text


@pytest.fixture(scope="module")
def apart(case: FileCase, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Its networks in files of their own, by the part that each is, and the folder with the rest."""
    place = tmp_path_factory.mktemp("apart")
    model, files = split_files(case, folder, place)
    return {"transformer": model, "shell": shell(folder, place / "shell"), **{file.stem: file for file in files}}


def load(apart: dict[str, Path]) -> Any:
    parts = [str(file) for part, file in apart.items() if part != "transformer"]
    return load_backbone(ModelOptions.of(apart["transformer"], parts=parts, device="cpu"))


def changed(tensors: dict[str, Tensor], name: str, wrong: str) -> dict[str, Tensor]:
    """Tensors of which one is wrong."""
    if wrong == "missing":
        return {key: x for key, x in tensors.items() if key != name}
    if wrong == "surplus":
        return {**tensors, "more.weight": torch.ones(2, 2)}
    return {**tensors, name: tensors[name][:-1] if wrong == "shape" else tensors[name].to(getattr(torch, wrong))}


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ("missing", r"tensor {} is missing|not a model that is known"),
        ("surplus", r"tensor more\.weight is unexpected"),
        ("shape", r"has shape"),
        ("int8", r"has the type I8, which is not one of weights"),
        ("bool", r"has the type BOOL, which is not one of weights"),
        ("complex64", r"has the type C64, which is not one of weights"),
    ],
)
@pytest.mark.parametrize("part", ["transformer", "text_encoder", "vae"])
def test_what_is_wrong_with_a_file_names_part_and_tensor(
    part: str, wrong: str, rule: str, apart: dict[str, Path], tmp_path: Path
) -> None:
    tensors = load_file(apart[part])
    name = next(name for name, x in tensors.items() if x.ndim > 1 and re.search(r"proj|attention|attn|middle", name))
    file = save(changed(tensors, name, wrong), tmp_path / "a.safetensors")
    with pytest.raises(UserError, match=rule.replace("{}", ".*")) as raised:
        load(apart | {part: file})
    assert str(file) in str(raised.value)


@pytest.mark.parametrize("part", ["transformer", "text_encoder", "vae"])
def test_a_file_that_is_cut_short_or_lies_names_the_tensor(part: str, apart: dict[str, Path], tmp_path: Path) -> None:
    whole, file = apart[part].read_bytes(), tmp_path / "a.safetensors"
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="the file ends within tensor"):
        load(apart | {part: file})
    length = 8 + int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8:length])
    name = next(name for name in header if name != "__metadata__")
    header[name]["shape"] = [1 << 30, 1 << 30]
    write_raw(file, header, whole[length:])
    with pytest.raises(UserError, match=rf"tensor {re.escape(name)} of shape .* needs \d+ bytes"):
        load(apart | {part: file})


def test_parts_of_another_family_are_refused_by_what_they_are(
    case: FileCase, apart: dict[str, Path], tmp_path: Path
) -> None:
    other = FILES["flux1" if case.case.name == "sd3" else "sd3"]
    theirs = split_files(other, other.write(tmp_path / "folder"), tmp_path)
    with pytest.raises(UserError, match=r"`parts` .* is (FLUX\.1|Stable Diffusion 3) .*, and what is needed is"):
        load(apart | {"text_encoder": theirs[0]})
    one, another = (
        prefixed(prefix, load_file(file)) for prefix, file in ((COMFY, apart["transformer"]), ("", theirs[0]))
    )
    file = save(one | another, tmp_path / "both.safetensors")
    with pytest.raises(UserError, match=r"holds two transformers|twice, as"):
        load(apart | {"transformer": file})


def test_an_edit_of_files_alone(case: FileCase, apart: dict[str, Path], run: Any, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    parts = [word for part, file in apart.items() if part != "transformer" for word in ("--parts", file)]
    settings = ("size.max_pixels=6144", "size.window=whole", "inversion.steps=4", "inversion.skip=1")
    small = [word for setting in settings for word in ("--set", setting)]
    drag = ("--box", "20,20,43,43", "--to", "60,32")
    out = tmp_path / "out.png"
    done = run("edit", tmp_path / "picture.png", *drag, "--model", apart["transformer"], *parts, *small, "-o", out)
    assert done.code == 0, done.err
    changed = (np.asarray(Image.open(out).convert("RGB")) != pixels).any(-1)
    assert changed[20:44, 20:44].any()
    assert not changed[~resolve(pixels, load_recipe(out).instruction).area].any()
    recipe = load_recipe(out).weights.options
    assert recipe.model == str(apart["transformer"])
    assert set(recipe.parts) == {str(file) for part, file in apart.items() if part != "transformer"}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("flux2-klein", lambda held: held | {"lm_head.weight": held["model.embed_tokens.weight"]}),
        ("z-image", lambda held: held | {"lm_head.weight": held["embed_tokens.weight"]}),
        pytest.param("qwen-image", without("lm_head"), marks=pytest.mark.slow),
        pytest.param("sd3", dict, marks=pytest.mark.slow),
    ],
)
def test_what_some_files_of_text_encoders_hold_and_others_do_not_changes_nothing(
    name: str, change: Callable[[dict[str, Tensor]], dict[str, Tensor]], tmp_path: Path
) -> None:
    """The head of a language model, and the projection of CLIP-L where it is none."""
    case = FILES[name]
    folder = case.write(tmp_path / "folder")
    held = {key: x.clone() for key, x in change(load_file(weights(folder, "text_encoder"))).items()}
    file = save(held, tmp_path / "encoder.safetensors")
    model = save(case.transformer(load_file(weights(folder, "transformer"))), tmp_path / "model.safetensors")
    found = case.case.load(model, parts=(str(folder), str(file)), dtype="bfloat16")
    assert torch.equal(velocity(found), velocity(case.case.load(folder, dtype="bfloat16")))


def test_a_text_encoder_as_gguf_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("gguf", reason="gguf is not installed (extra: quant)")
    case = FILES["flux1"]
    folder = case.write(tmp_path / "folder")
    names = ("enc.blk.0.attn_q.weight", "enc.output_norm.weight", "token_embd.weight")
    write_packed(tmp_path / "t5.gguf", {name: torch.ones(64, 64) for name in names}, "Q8_0")
    with pytest.raises(UserError, match=r"its text_encoder_2 in .*t5\.gguf cannot be loaded \(of GGUF files"):
        load(
            {
                "transformer": save(
                    case.transformer(load_file(weights(folder, "transformer"))), tmp_path / "a.safetensors"
                ),
                "shell": folder,
                "t5": tmp_path / "t5.gguf",
            }
        )


@pytest.mark.slow
def test_a_text_encoder_that_the_model_has_not_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Stable Diffusion 3 with T5 and without it."""
    case = FILES["sd3"]
    alone = replace(case, case=replace(case.case, write=lambda to: write_sd3(to, wide=True, t5=False)))
    whole, folder = case.write(tmp_path / "whole"), alone.write(tmp_path / "folder")
    model = save(case.transformer(load_file(weights(folder, "transformer"))), tmp_path / "model.safetensors")
    t5 = save(load_file(weights(whole, "text_encoder_3")), tmp_path / "t5" / "t5.safetensors")
    with pytest.raises(UserError, match=rf"`parts` {t5} is T5 .*, and the model of {folder} has no text_encoder_3"):
        load({"transformer": model, "shell": folder, "t5": t5})
    plain = case.case.load(folder, dtype="bfloat16")
    with caplog.at_level(logging.INFO, "dragflow"):
        found = case.case.load(model, parts=str(folder), model_root=str(t5.parent), dtype="bfloat16")
    assert computes_the_same(found, plain)
    assert f"the text_encoder_3 in {t5} is left out, since {folder} has none" in caplog.text
    assert found.weights.options.parts == (str(folder),)
