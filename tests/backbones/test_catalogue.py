"""The models that are known, what of them is in the hub's cache, and what is said before a download begins."""

from __future__ import annotations

import logging
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants

from dragflow.backbones import hub
from dragflow.backbones.catalogue import Known, is_here, known_as, known_models, on_this_machine
from dragflow.backbones.family import published
from dragflow.core.errors import UserError
from dragflow.core.models import DOWNLOADS, ModelOptions
from dragflow.files.model_list import write_user_models
from dragflow.files.models import UserModels

DEV = "black-forest-labs/FLUX.1-dev"
PARTS = ("transformer", "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "scheduler")
COMMIT = "0" * 40
Keep = Callable[[str, Path], Path]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("the network is asked")

    monkeypatch.setattr(socket.socket, "connect", refused)


@pytest.fixture
def keep(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Keep:
    """Puts a folder into an empty cache of the hub, as the snapshot of a model."""
    cache = tmp_path / "hub"
    cache.mkdir()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))

    def keep(model: str, folder: Path) -> Path:
        place = cache / f"models--{model.replace('/', '--')}"
        (place / "refs").mkdir(parents=True)
        (place / "refs" / "main").write_text(COMMIT)
        return Path(shutil.copytree(folder, place / "snapshots" / COMMIT))

    return keep


def listed() -> dict[str, Known]:
    return {one.name: one for one in known_models()}


# -- what is known -----------------------------------------------------------------------------------------------------


def test_built_in_models_come_first_and_every_familys_weights_follow(keep: Keep) -> None:
    names = [one.name for one in known_models()]
    assert names == ["nano", "dummy", *published()]
    found = listed()
    assert (found["nano"].size or 0) > 30e6
    assert found["nano"].preset == "bridge"
    assert found[DEV].size is found[DEV].lacking is None
    assert found[DEV].terms == (
        "FLUX.1 [dev] Non-Commercial License, commercial use by agreement only, gated (for accounts that accepted it)"
    )
    assert found["Qwen/Qwen-Image"].terms == "Apache-2.0, commercial use allowed"


def test_what_is_on_the_disk_is_told_with_its_size(keep: Keep, dummy_folder: Path) -> None:
    snapshot = keep(DEV, dummy_folder)
    size = sum(path.stat().st_size for path in dummy_folder.rglob("*") if path.is_file()) + len(COMMIT)
    assert (listed()[DEV].size, listed()[DEV].lacking) == (size, None)
    (snapshot / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    assert listed()[DEV].lacking == "vae/*.safetensors"
    (snapshot / "model_index.json").write_text("{")
    assert listed()[DEV].lacking == "model_index.json"


def test_a_file_that_two_revisions_share_counts_once(keep: Keep, dummy_folder: Path) -> None:
    snapshot = keep(DEV, dummy_folder)
    size = listed()[DEV].size
    (snapshot.parent / "other").mkdir()
    (snapshot.parent / "other" / "config.json").symlink_to(snapshot / "vae" / "config.json")
    assert listed()[DEV].size == size


def test_others_in_the_cache_are_listed_if_they_can_be_loaded(keep: Keep, dummy_folder: Path, tmp_path: Path) -> None:
    keep("someone/fine-tune", dummy_folder)
    keep("someone/no--name", dummy_folder)
    other = Path(shutil.copytree(dummy_folder, tmp_path / "other"))
    (other / "model_index.json").write_text('{"_class_name": "AnotherPipeline"}')
    keep("someone/other", other)
    encoder = tmp_path / "encoder"
    encoder.mkdir()
    (encoder / "config.json").write_text("{}")
    keep("someone/encoder", encoder)
    (found,) = known_models()[2 + len(published()) :]
    assert (found.name, found.pipeline, found.licence) == ("someone/fine-tune", "FluxPipeline", None)
    assert found.terms == "licence: see its page"


def test_what_can_be_chosen_without_a_download(keep: Keep, dummy_folder: Path, models_file: Path) -> None:
    whole, half = keep("someone/whole", dummy_folder), keep("someone/half", dummy_folder)
    (half / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    write_user_models(UserModels(models={"mine": ModelOptions(str(whole))}))
    assert on_this_machine() == ("mine", "nano", "someone/whole")
    here = {"nano", "dummy", "mine", "someone/whole"}
    assert {name for name in (*here, "someone/half", "someone/none") if is_here(ModelOptions(name))} == here
    known = known_as(ModelOptions("mine"))
    assert known is not None
    assert known.size
    assert known_as(ModelOptions("someone/none")) is None


# -- what is said before a download ------------------------------------------------------------------------------------


def answer(model: str, monkeypatch: pytest.MonkeyPatch, folder: Path, **more: Any) -> list[str]:
    """Let the hub offer the files of a folder; gives what was asked of it, and every file is refused."""
    asked: list[str] = []
    files = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    siblings = [SimpleNamespace(rfilename=name, size=(folder / name).stat().st_size) for name in files]
    info = SimpleNamespace(**{"sha": COMMIT, "siblings": siblings, "card_data": None, "gated": False, **more})

    def refused(*_: object, **__: object) -> None:
        asked.append("file")
        raise UserError("refused")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_, **__: info)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refused)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(folder))
    return asked


def told(caplog: pytest.LogCaptureFixture, model: str) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.INFO, logger=DOWNLOADS):
        hub.find(model, parts=PARTS)
    return [record.message for record in caplog.records if record.name == DOWNLOADS]


def test_licence_and_size_are_said_before_a_file_is_asked_for(
    keep: Keep, dummy_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = answer(DEV, monkeypatch, dummy_folder)
    with caplog.at_level(logging.INFO, logger=DOWNLOADS), pytest.raises(UserError, match="refused"):
        hub.find(DEV)
    assert asked == ["file"]
    (record,) = caplog.records
    assert record.message.startswith(f"downloading model {DEV}, at most ")
    assert "MB: licence FLUX.1 [dev] Non-Commercial License, commercial use by agreement only, gated" in record.message


def test_a_complete_cache_says_nothing_and_half_a_one_what_it_lacks(
    keep: Keep, dummy_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    offered = Path(shutil.copytree(dummy_folder, tmp_path / "offered"))
    (offered / "safety_checker").mkdir()
    (offered / "safety_checker" / "model.safetensors").write_bytes(b"surplus")
    answer(DEV, monkeypatch, offered)
    snapshot = keep(DEV, dummy_folder)
    assert told(caplog, DEV) == []
    (snapshot / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    (line,) = told(caplog, DEV)
    assert line.startswith(f"downloading model {DEV}, at most 0 MB")


def test_the_licence_of_another_model_is_that_of_its_page(
    keep: Keep, dummy_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answer("x/y", monkeypatch, dummy_folder, card_data={"license": "mit\x1b[31m"}, gated="auto")
    assert told(caplog, "x/y")[0].endswith("MB: licence mit [31m, gated (for accounts that accepted it)")
    answer("x/y", monkeypatch, dummy_folder)
    assert told(caplog, "x/y")[0].endswith(": its page names no licence")


def test_a_size_that_the_hub_does_not_tell_is_unknown(
    keep: Keep, dummy_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    files = [path.relative_to(dummy_folder).as_posix() for path in dummy_folder.rglob("*") if path.is_file()]
    siblings = [SimpleNamespace(rfilename=name, size=None) for name in files]
    answer("x/y", monkeypatch, dummy_folder, siblings=siblings)
    assert told(caplog, "x/y") == ["downloading model x/y, of unknown size: its page names no licence"]
