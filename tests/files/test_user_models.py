"""The user's models: the default, short names with their options, and what a damaged file says."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from dragflow.core.errors import UserError
from dragflow.core.models import ModelOptions, SubjectOptions
from dragflow.files import models
from dragflow.files.model_list import write_user_models
from dragflow.files.models import UserModels, default_model, settled_model, user_models

KEPT = ModelOptions("/models/flux dev.gguf", parts=("a/b", "vae.safetensors"), offload=True, quantize="int8")


def test_what_is_kept_is_read_again(models_file: Path) -> None:
    assert user_models() == UserModels()
    kept = UserModels(use="mine", models={"mine": KEPT, "two": ModelOptions("a/b", subject=SubjectOptions("nano"))})
    write_user_models(kept)
    assert models_file.read_text().startswith("# Made by")
    assert user_models() == kept


def test_an_option_wins_over_the_environment_and_that_over_the_choice(
    models_file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    models._say_nano.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert [default_model(), default_model()] == ["nano", "nano"]
    (said,) = caplog.records
    assert "nano" in said.message
    assert "photograph" in said.message
    write_user_models(UserModels(use="mine", models={"mine": KEPT}))
    assert settled_model(ModelOptions()) == KEPT
    monkeypatch.setenv("DRAGFLOW_MODEL", "someone/model")
    assert settled_model(ModelOptions()).model == "someone/model"
    assert settled_model(ModelOptions("nano")).model == "nano"


def test_options_win_over_those_that_are_kept_with_a_short_name(models_file: Path) -> None:
    write_user_models(UserModels(models={"mine": KEPT}))
    assert settled_model(ModelOptions("mine", quantize="fp8")) == replace(KEPT, quantize="fp8")
    assert settled_model(ModelOptions("other", quantize="fp8")) == ModelOptions("other", quantize="fp8")
    assert settled_model(settled_model(ModelOptions("mine"))) == KEPT


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("version = 2\n", "version"),
        ("version = 1\nuse = 3\n", "use"),
        ("version = 1\n[models.a]\nmodel = 'b'\n", "models.a.model"),
        ("version = 1\n[models.nano]\nmodel = 'a/b'\n", "built in"),
        ("version = 1\n[models.'a/b']\nmodel = 'a/b'\n", "letters, digits"),
        ("version = 1\n[models.a]\nmodel = 'a/b'\nspeed = 1\n", "models.a.speed"),
        ("version =", "is not TOML"),
    ],
)
def test_a_damaged_file_names_the_key_and_the_fix(text: str, said: str, models_file: Path) -> None:
    models_file.parent.mkdir()
    models_file.write_text(text)
    with pytest.raises(UserError, match="mend the file, or delete it") as refused:
        settled_model(ModelOptions())
    assert said in str(refused.value)
    assert str(models_file) in str(refused.value)
    assert settled_model(ModelOptions("nano")).model == "nano"
