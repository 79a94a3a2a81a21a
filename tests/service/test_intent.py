"""Guessing and choosing as a program does it: without a terminal, a question or a file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dragflow.core.blending import blending
from dragflow.core.errors import IntentError, UserError
from dragflow.core.motion import Rotate, Translate
from dragflow.core.task import Box, Instruction, Operation
from dragflow.files.pictures import SourceImage, from_pixels
from dragflow.intent.base import Answer, IntentRequest
from dragflow.intent.options import ProviderOptions
from dragflow.pixels.resolve import resolve
from dragflow.service.intent import PROVIDER_VARIABLE, GuessOptions, answer_data, choose, guess

ANSWER = {
    "background_prompt": "A grey field.",
    "change": "A box moves.",
    "candidates": [
        {"label": "relocation", "prompt": "The box is at the right."},
        {"label": "rotation", "prompt": "The box is on its tip.", "anchor": {"x": 0, "y": 1000}, "confidence": 0.25},
    ],
}
DRAG = Instruction((Operation(Box(20, 20, 35, 40), Translate((60, 30))),), "mine")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(PROVIDER_VARIABLE, raising=False)


@pytest.fixture
def source() -> SourceImage:
    return from_pixels(np.random.default_rng(0).integers(0, 256, (61, 91, 3), dtype=np.uint8))


@pytest.fixture
def file(tmp_path: Path) -> GuessOptions:
    path = tmp_path / "answers.json"
    path.write_text(json.dumps(ANSWER))
    return GuessOptions(ProviderOptions("file", answers=path))


@pytest.fixture
def guessed(source: SourceImage, file: GuessOptions) -> tuple[IntentRequest, Answer]:
    return guess(source, DRAG, file)


def test_the_rules_guess_by_default(source: SourceImage) -> None:
    request, answer = guess(source, DRAG, GuessOptions())
    assert answer.record.provider == "rules"
    assert len(answer.proposal.candidates) == 3
    assert request.source is source


def test_the_provider_is_the_given_one_or_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROVIDER_VARIABLE, "local")
    assert GuessOptions().name == "local"
    assert GuessOptions(ProviderOptions("file")).name == "file"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (GuessOptions(ProviderOptions("oracle")), "'oracle' is not known"),
        (GuessOptions(ProviderOptions("file")), "`provider.answers`"),
        (GuessOptions(ProviderOptions("openai"), upload=False), "`no_upload` forbids"),
    ],
)
def test_what_cannot_be_asked(source: SourceImage, options: GuessOptions, words: str) -> None:
    with pytest.raises(UserError, match=words):
        guess(source, DRAG, options)


def test_a_bad_answer_is_an_error(source: SourceImage, file: GuessOptions) -> None:
    assert file.provider.answers is not None
    file.provider.answers.write_text(json.dumps(ANSWER | {"change": ""}))
    with pytest.raises(IntentError, match="change"):
        guess(source, DRAG, file)


def test_a_chosen_guess_is_an_instruction(guessed: tuple[IntentRequest, Answer]) -> None:
    chosen = choose(*guessed, 2)
    (operation,) = chosen.instruction.operations
    assert chosen.number == 2
    assert operation.motion == Rotate((0, 60), to=(60, 30))
    assert (chosen.instruction.prompt, chosen.instruction.edit_prompt) == ("A grey field.", "The box is on its tip.")
    assert chosen.record == guessed[1].record


def test_an_anchor_replaces_the_guessed_one(guessed: tuple[IntentRequest, Answer]) -> None:
    (operation,) = choose(*guessed, 2, (10, 50)).instruction.operations
    assert operation.motion == Rotate((10, 50), to=(60, 30))


@pytest.mark.parametrize("number", [-1, 0, 3])
def test_a_number_without_a_guess(guessed: tuple[IntentRequest, Answer], number: int) -> None:
    with pytest.raises(UserError, match=f"guess {number} does not exist: choose 1 to 2"):
        choose(*guessed, number)


def test_only_a_rotation_has_an_anchor(guessed: tuple[IntentRequest, Answer]) -> None:
    with pytest.raises(UserError, match="anchor 10,50 is given and guess 1 is a relocation"):
        choose(*guessed, 1, (10, 50))


def test_an_answer_as_data_is_json(guessed: tuple[IntentRequest, Answer]) -> None:
    data = json.loads(json.dumps(answer_data(guessed[1])))
    assert (data["provider"], data["attempts"], data["change"]) == ("file", 1, "A box moves.")
    assert data["candidates"][1] == {
        "label": "rotation", "prompt": "The box is on its tip.", "anchor": [0, 60], "confidence": 0.25,
    }  # fmt: skip


def test_for_an_edit_model_the_rules_write_what_each_guess_would_be_told(source: SourceImage) -> None:
    request, answer = guess(source, DRAG, GuessOptions(), "instructions")
    prompts = {candidate.label: candidate.prompt for candidate in answer.proposal.candidates}
    assert prompts["relocation"].startswith("Blend the moved object into the picture")
    assert prompts["rotation"].startswith("Blend the turned object into the picture")
    assert prompts["deformation"].startswith("Blend the reshaped part into the picture")
    for number, candidate in enumerate(answer.proposal.candidates, 1):
        task = resolve(source.pixels, choose(request, answer, number).instruction)
        assert candidate.prompt == blending(task.operations)


def test_the_persons_own_edit_prompt_stays_an_edit_models_too(source: SourceImage) -> None:
    _, answer = guess(source, replace(DRAG, edit_prompt="Blend it."), GuessOptions(), "instructions")
    assert {candidate.prompt for candidate in answer.proposal.candidates} == {"Blend it."}
