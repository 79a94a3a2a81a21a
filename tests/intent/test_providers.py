"""Choosing a provider, the provider `file`, and the cache of answers."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dragflow.core.errors import IntentError, UserError
from dragflow.core.motion import Translate
from dragflow.core.result import IntentRecord
from dragflow.intent.answer import parse_answer
from dragflow.intent.base import Answer, IntentRequest
from dragflow.intent.cache import answer_key, ask
from dragflow.intent.options import ProviderOptions
from dragflow.intent.registry import PROVIDERS, load_provider


class Counting:
    """A model that counts how often it is asked."""

    name = "counting"
    remote = False

    def __init__(self, text: str, model: str | None = "one") -> None:
        self.text, self.model, self.asked = text, model, 0

    def propose(self, request: IntentRequest) -> Answer:
        self.asked += 1
        return Answer(parse_answer(self.text, request), IntentRecord(self.name, self.model, 1.5, 1, 100, 20))


@pytest.mark.usefixtures("far")
def test_a_provider_from_elsewhere_is_found_and_takes_nobody_s_name() -> None:
    assert PROVIDERS.names == ("rules", "file", "openai", "local", "far")
    assert load_provider("far", ProviderOptions()).name == "far"
    assert load_provider("rules", ProviderOptions()).name == "rules"


@pytest.mark.usefixtures("far")
def test_no_picture_leaves_the_machine_where_that_is_forbidden() -> None:
    with pytest.raises(UserError, match="`no_upload` forbids"):
        load_provider("far", ProviderOptions(), upload=False)
    assert load_provider("rules", ProviderOptions(), upload=False).name == "rules"


def test_an_unknown_provider_is_named() -> None:
    with pytest.raises(UserError, match="'oracle' is not known: choose one of rules, file"):
        load_provider("oracle", ProviderOptions())


def answers(tmp_path: Path, data: object) -> Any:
    path = tmp_path / "answers.json"
    path.write_text(json.dumps(data))
    return load_provider("file", ProviderOptions(answers=path))


def test_a_file_with_one_answer_gives_it_each_time_with_all_its_candidates(
    tmp_path: Path, asked: Any, said: Any
) -> None:
    provider = answers(tmp_path, json.loads(said()))
    for count in (3, 10):
        answer = provider.propose(asked(count=count))
        assert answer.proposal == parse_answer(said(), asked())
        assert (answer.record.provider, answer.record.model) == ("file", None)


def test_a_file_with_a_list_gives_one_after_the_other(tmp_path: Path, asked: Any, said: Any) -> None:
    provider = answers(tmp_path, [json.loads(said(prompt="one")), json.loads(said(prompt="two"))])
    prompts = [provider.propose(asked()).proposal.candidates[1].prompt for _ in range(2)]
    assert prompts == ["one", "two"]
    with pytest.raises(UserError, match="has only 2 answers"):
        provider.propose(asked())


def test_a_file_by_digests_gives_the_answer_of_the_picture(tmp_path: Path, asked: Any, said: Any) -> None:
    digest = asked().source.sha256
    provider = answers(tmp_path, {"0" * 64: json.loads(said(prompt="no")), digest: json.loads(said(prompt="yes"))})
    assert provider.propose(asked()).proposal.candidates[1].prompt == "yes"
    with pytest.raises(UserError, match=digest):
        answers(tmp_path, {"0" * 64: json.loads(said())}).propose(asked())


def test_what_a_file_says_keeps_the_rules(tmp_path: Path, asked: Any, said: Any) -> None:
    with pytest.raises(IntentError, match=r"candidates\.1\.label"):
        answers(tmp_path, json.loads(said(label="recolor"))).propose(asked())
    for bad in (3, [3], {"candidates": 3}):
        with pytest.raises((UserError, IntentError)):
            answers(tmp_path, bad).propose(asked())


def test_a_file_is_needed_and_must_be_there(tmp_path: Path) -> None:
    for options in (ProviderOptions(), ProviderOptions(answers=tmp_path / "none.json")):
        with pytest.raises(UserError, match=r"`provider.answers`|none\.json"):
            load_provider("file", options)


def test_the_same_question_is_asked_once(tmp_path: Path, asked: Any, said: Any) -> None:
    provider, folder = Counting(said()), tmp_path / "kept"
    first = ask(provider, asked(), folder)
    again = ask(provider, asked(), folder)
    assert provider.asked == 1
    assert again.proposal == first.proposal
    assert again.record == replace(first.record, cached=True)
    assert not first.record.cached
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_another_question_is_another_answer(asked: Any, said: Any) -> None:
    requests = [
        asked(), asked(Translate((61, 30))), asked(Translate((60, 30), "deformation")), asked(count=4),
        asked(max_side=64), asked(labels=("rotation",)),
        replace(asked(), prompts="instructions"),
        replace(asked(), instruction=replace(asked().instruction, prompt="other")),
        replace(asked(), source=replace(asked().source, pixels=asked().source.pixels + 1)),
    ]  # fmt: skip
    keys = {answer_key(Counting(said()), request) for request in requests}
    keys |= {answer_key(Counting(said(), model="two"), asked())}
    assert len(keys) == len(requests) + 1
    assert answer_key(Counting(said()), asked()) == answer_key(Counting(said()), asked())


def test_nothing_is_kept_without_a_folder_or_a_model(tmp_path: Path, asked: Any, said: Any) -> None:
    for provider, folder in ((Counting(said()), None), (Counting(said(), model=None), tmp_path / "kept")):
        ask(provider, asked(), folder)
        ask(provider, asked(), folder)
        assert provider.asked == 2
    assert not (tmp_path / "kept").exists()


def test_a_damaged_answer_is_asked_for_again(tmp_path: Path, asked: Any, said: Any) -> None:
    provider = Counting(said())
    ask(provider, asked(), tmp_path)
    (kept,) = tmp_path.iterdir()
    kept.write_text(kept.read_text()[:50])
    assert not ask(provider, asked(), tmp_path).record.cached
    assert ask(provider, asked(), tmp_path).record.cached
    assert provider.asked == 2


def test_a_cache_that_cannot_be_written_costs_no_answer(tmp_path: Path, asked: Any, said: Any) -> None:
    (tmp_path / "file").write_text("")
    assert ask(Counting(said()), asked(), tmp_path / "file" / "kept").record.attempts == 1


def test_asking_without_a_model_here_needs_no_torch() -> None:
    code = """
import sys
import dragflow.intent.accept, dragflow.intent.cache
from dragflow.intent.options import ProviderOptions
from dragflow.intent.registry import load_provider
load_provider("rules", ProviderOptions())
sys.exit(any(name in sys.modules for name in ("torch", "transformers", "openai")))
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
