"""`dragflow model use | add | download | remove`, and that every edge takes the model that the user chose."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import huggingface_hub
import pytest
from huggingface_hub import constants

from dragflow import Editor, ModelOptions, Operation, UserError
from dragflow import edit as edit_once
from dragflow.backbones import registry
from dragflow.core.task import Box
from dragflow.files.models import user_models

COMMIT = "0" * 40
Edge = Callable[[Any, Any], object]


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache of the hub; no network."""
    place = tmp_path / "hub"
    place.mkdir()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(place))
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("the network is asked"))
    return place


def keep(cache: Path, model: str, folder: Path) -> Path:
    place = cache / f"models--{model.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text(COMMIT)
    shutil.copytree(folder, place / "snapshots" / COMMIT)
    return place


@pytest.fixture
def offered(cache: Path, dummy_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub offers a model, which a download puts into the cache."""
    files = [path.relative_to(dummy_folder).as_posix() for path in dummy_folder.rglob("*") if path.is_file()]
    siblings = [SimpleNamespace(rfilename=name, size=(dummy_folder / name).stat().st_size) for name in files]
    info = SimpleNamespace(sha=COMMIT, siblings=siblings, card_data={"license": "mit"}, gated=False)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_, **__: info)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_, **__: str(dummy_folder / "model_index.json"))

    def download(model: str, **_: object) -> str:
        return str(keep(cache, model, dummy_folder) / "snapshots" / COMMIT)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return dummy_folder


# -- one default -------------------------------------------------------------------------------------------------------

EDGES: dict[str, Edge] = {
    "edit": lambda run, desk: run("edit", desk.image, "--mask", desk.mask, "--to", "60,40", "-o", desk.out),
    "batch": lambda run, desk: run("batch", desk.folder / "edits.jsonl", "-o", desk.new("results")),
    "bench run": lambda run, desk: run("bench", "run", "world:1", "-o", desk.new("run")),
    "bench fidelity": lambda run, desk: run("bench", "fidelity"),
    "lora train": lambda run, desk: run("lora", "train", desk.image, "-o", desk.folder / "a.safetensors"),
    "train bridge": lambda run, desk: run("train", "bridge", "-o", desk.folder / "b.safetensors"),
    "Editor.load": lambda run, desk: Editor.load(),
    "dragflow.edit": lambda run, desk: edit_once(desk.image, Operation(Box(10, 10, 30, 30), desk.motion)),
    "served": lambda run, desk: desk.pool.get(desk.served(ModelOptions())[0]),
}


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch, desk: Any) -> Callable[[str, Any], str]:
    """Which model an edge would load."""
    from dragflow import Translate
    from dragflow.files.models import settled_model
    from dragflow.http.settings import models_of
    from dragflow.service import ModelPool

    def refused(options: ModelOptions) -> Any:
        options = settled_model(options)
        raise UserError(f"{options.model} {options.quantize} is what would be loaded")

    monkeypatch.setattr(registry, "source_of", refused)
    (desk.folder / "edits.jsonl").write_text(json.dumps({"image": "picture.png", "instruction": "t.json"}) + "\n")
    given = SimpleNamespace(**vars(desk), image=desk.image, mask=desk.mask, out=desk.out)
    given.motion, given.pool = Translate((60, 40)), ModelPool()
    given.new = lambda name: desk.folder / f"{name}-{uuid4()}"
    given.served = lambda options: models_of([], options)

    def loads(edge: str, run: Any) -> str:
        run("task", "new", desk.image, "--mask", desk.mask, "--to", "60,40", "-o", desk.folder / "t.json", "--force")
        try:
            told = EDGES[edge](run, given)
        except UserError as error:
            return str(error)
        return told.err  # pyright: ignore[reportAttributeAccessIssue]

    return loads


@pytest.mark.parametrize("edge", EDGES)
def test_every_edge_takes_the_model_that_is_chosen(edge: str, loads: Any, run: Any, models_file: Path) -> None:
    assert "nano None is what" in loads(edge, run)
    run("model", "add", "mine", "someone/model", "--quantize", "int8")
    run("model", "use", "mine")
    assert "someone/model int8 is what" in loads(edge, run)


def test_the_environment_wins_over_the_choice_and_an_option_over_both(
    loads: Any, run: Any, desk: Any, models_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("model", "add", "mine", "someone/model", "--quantize", "int8")
    run("model", "use", "someone/other")
    monkeypatch.setenv("DRAGFLOW_MODEL", "mine")
    assert "someone/model int8 is what" in loads("edit", run)
    drag = ("--mask", desk.mask, "--to", "60,40")
    assert "dummy None is what" in run("edit", desk.image, *drag, "--model", "dummy").err
    assert "someone/model fp8 is what" in run("edit", desk.image, *drag, "--quantize", "fp8").err


# -- the list ----------------------------------------------------------------------------------------------------------


def test_a_folder_gets_a_short_name_that_is_found_from_any_folder(
    run: Any, models_file: Path, dummy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(dummy_folder, tmp_path / "weights")
    (tmp_path / "style.safetensors").touch()
    monkeypatch.chdir(tmp_path)
    assert run("model", "add", "small", "weights", "--lora", "style.safetensors:0.5").code == 0
    assert user_models().models["small"] == ModelOptions(
        str(tmp_path / "weights"), lora=(f"{tmp_path}/style.safetensors:0.5",)
    )
    again = run("model", "add", "small", "a/b")
    assert (again.code, "--force" in again.err) == (2, True)
    assert run("model", "use", "small").out.startswith("small is used")
    listed = json.loads(run("model", "list", "--json").out)
    assert (listed["default"], listed["short"]["small"]["model"]) == ("small", str(tmp_path / "weights"))
    removed = run("model", "remove", "small")
    assert "stays where it is" in removed.out
    assert user_models().models == {}
    assert user_models().use is None
    assert (tmp_path / "weights" / "model_index.json").exists()
    assert "deletes none" in run("model", "remove", "weights").err


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("add", "a/b", "c/d"), "letters, digits"),
        (("add", "nano", "c/d"), "built in"),
        (("add", "x", "nowhere"), "neither a folder nor a hub id"),
        (("add", "x", "c/d", "--model", "e/f"), "--model has no effect"),
        (("add", "x", "c/d", "--parts", "e/f"), "--parts has no effect"),
        (("use", "nowhere"), "short names"),
        (("download", "nano"), "nothing is downloaded"),
        (("remove", "nano"), "not removed"),
        (("remove", "c/d"), "nothing of c/d is removed"),
    ],
)
def test_what_makes_no_sense_is_refused(
    command: tuple[str, ...], said: str, run: Any, models_file: Path, cache: Path
) -> None:
    told = run("model", *command)
    assert told.code == 2
    assert said in told.err
    assert not models_file.exists()


# -- the disk ----------------------------------------------------------------------------------------------------------


def test_a_download_says_licence_and_size_and_can_be_removed(
    run: Any, models_file: Path, cache: Path, offered: Path
) -> None:
    run("model", "add", "mine", "someone/model")
    assert "dragflow model download mine" in run("model", "use", "mine").out
    told = run("model", "download", "mine")
    assert told.code == 0, told.err
    assert "downloading model someone/model, at most 4 MB: licence mit" in told.err
    assert told.out.startswith("mine is on this disk, ")
    assert "not on this disk" not in run("model", "use", "mine").out
    asked = run("model", "remove", "mine")
    assert (asked.code, "--yes" in asked.err) == (2, True)
    assert (cache / "models--someone--model").is_dir()
    other = keep(cache, "someone/other", offered)
    assert run("model", "remove", "mine", "--yes").code == 0
    assert list(cache.glob("models--*")) == [other]
    assert user_models().models == {}


def test_a_disk_that_is_too_full_is_told_before_a_download(
    run: Any, cache: Path, offered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10**6))
    told = run("model", "download", "someone/model")
    assert told.code == 2
    assert "needs 4 MB more, and the disk of" in told.err
    assert "1 MB free" in told.err
    blobs = cache / "models--someone--model" / "blobs"
    blobs.mkdir(parents=True)
    with (blobs / "a.incomplete").open("wb") as begun:
        begun.truncate(10**8)  # what an interrupted download has already
    shutil.rmtree(blobs.parent / "snapshots", ignore_errors=True)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(offered))
    assert run("model", "download", "someone/model").code == 0


def test_an_interrupted_download_says_how_it_is_resumed(
    run: Any, offered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(huggingface_hub, "snapshot_download", interrupted)
    told = run("model", "download", "someone/model")
    assert told.code == 130
    assert "the same command resumes it" in told.err


def test_a_folder_of_the_cache_that_is_a_link_is_not_followed(
    run: Any, cache: Path, dummy_folder: Path, tmp_path: Path
) -> None:
    keep(tmp_path, "someone/model", dummy_folder).rename(tmp_path / "mine")
    (cache / "models--someone--model").symlink_to(tmp_path / "mine")
    told = run("model", "remove", "someone/model", "--yes")
    assert told.code == 2
    assert "is a link" in told.err
    assert (tmp_path / "mine" / "snapshots").is_dir()
