"""`dragflow intent` and `dragflow edit --intent`: guesses shown, chosen, confirmed, and what stays of them."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dragflow.core.motion import Rotate, Translate
from dragflow.files.instructions import load_instruction
from dragflow.files.recipes import load_recipe

QUICK = ("--set", "inversion.steps=4", "--set", "inversion.skip=1", "--set", "optimise.refining=2")
ANSWER = {
    "background_prompt": "Noise of many colours.",
    "change": "A square goes away.",
    "candidates": [
        {"label": "turn", "prompt": "The square stands on its tip.", "anchor": {"x": 500, "y": 1000}},
        {"label": "stretch", "prompt": "A [red]wide[/red] bar.", "confidence": 0.5},
        {"label": "move", "prompt": "The square is at the right."},
    ],
}


@pytest.fixture(autouse=True)
def _at_the_desk(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk.folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(desk.folder / "cache"))
    monkeypatch.delenv("DRAGFLOW_INTENT", raising=False)


@pytest.fixture
def answers(desk: Any) -> Path:
    path = desk.folder / "answers.json"
    path.write_text(json.dumps(ANSWER))
    return path


@pytest.fixture
def drag(desk: Any) -> tuple[str | Path, ...]:
    return (desk.image, "--mask", desk.mask, "--to", "60,40")


def with_file(answers: Path) -> tuple[str | Path, ...]:
    return ("--provider", "file", "--provider.answers", answers)


def test_guesses_are_shown_and_drawn_and_nothing_is_chosen(run: Any, drag: Any, desk: Any, answers: Path) -> None:
    done = run("intent", *drag, *with_file(answers))
    assert done.code == 0, done.err
    for words in ("rotation", "[red]wide[/red]", "50,74", "0.50", "Noise of many colours.", "asked: file"):
        assert words in done.out
    assert desk.files() == {"picture.png", "mask.png", "two.png", "answers.json", "picture-intent.png"}
    assert Image.open("picture-intent.png").size == (100, 75)


def test_the_rules_need_nothing(run: Any, drag: Any) -> None:
    done = run("intent", *drag, "--json")
    assert done.code == 0, done.err
    (said,) = done.events
    assert (said["provider"], said["model"], said["picked"]) == ("rules", None, None)
    assert sorted(candidate["label"] for candidate in said["candidates"]) == ["deformation", "relocation", "rotation"]


def test_the_picked_guess_is_written(run: Any, drag: Any, desk: Any, answers: Path) -> None:
    for number, motion in ((1, Rotate((49.5, 74.0), to=(60, 40))), (2, Translate((60, 40), "deformation"))):
        out = desk.folder / f"{number}.json"
        done = run("intent", *drag, *with_file(answers), "--pick", str(number), "-o", out)
        assert done.code == 0, done.err
        made = load_instruction(out)
        assert made.operations[0].motion == motion
        assert made.prompt == "Noise of many colours."
        assert made.edit_prompt == ANSWER["candidates"][number - 1]["prompt"]
        assert run("task", "check", out, desk.image).code == 0


def test_auto_takes_the_first_and_an_anchor_may_be_given(run: Any, drag: Any, desk: Any, answers: Path) -> None:
    done = run(
        "intent", *drag, *with_file(answers), "--auto", "--anchor", "20,60", "-o", desk.folder / "i.json", "--json"
    )
    assert done.events[0]["picked"] == 1
    assert load_instruction(desk.folder / "i.json").operations[0].motion == Rotate((20, 60), to=(60, 40))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("-o", "i.json"), "nobody can choose a guess"),
        (("--auto",), "name it with -o"),
        (("--auto", "--pick", "1", "-o", "i.json"), "choose the guess in one way"),
        (("--pick", "0", "-o", "i.json"), "counted from 1"),
        (("--pick", "4", "-o", "i.json"), "guess 4 does not exist: choose 1 to 3"),
        (("--pick", "2", "--anchor", "3,4", "-o", "i.json"), "only a rotation has an anchor"),
        (("--pick", "1", "--anchor", "3", "-o", "i.json"), "2 numbers are needed"),
        (("--provider", "oracle"), "'oracle' is not known"),
        (("--candidates", "50"), "--candidates: input should be less than or equal to 20 (given 50)"),
        (("--provider.timeout", "0"), "--provider.timeout: input should be greater than 0"),
        (("--provider.max-image-side", "10"), "--provider.max-image-side: input should be greater than or equal to 64"),
        (("--overlay", "drag.gif"), "use .png"),
        (("--overlay", "picture.png"), "itself an input"),
        (("--auto", "--overlay", "x.png", "-o", "x.png"), "the path of two outputs"),
        (("--auto", "-o", "answers.json"), "itself an input"),
    ],
)
def test_what_cannot_be_done_is_said(options: Any, words: str, run: Any, drag: Any, desk: Any, answers: Path) -> None:
    before = desk.files()
    done = run("intent", *drag, *with_file(answers), *options)
    assert done.code == 2
    assert words in done.err
    assert desk.files() - before <= {"picture-intent.png"}


def test_a_model_is_asked_once_and_nothing_is_sent_where_that_is_forbidden(run: Any, drag: Any, far: Path) -> None:
    (far / "answer.json").write_text(json.dumps(ANSWER))
    command = ("intent", *drag, "--provider", "far", "--candidates", "3", "--json")
    refused = run(*command, "--no-upload")
    assert (refused.code, (far / "asked").exists()) == (2, False)
    assert "--no-upload forbids" in refused.err
    first, again, anew = run(*command), run(*command), run(*command, "--no-cache")
    assert [done.events[0]["cached"] for done in (first, again, anew)] == [False, True, False]
    assert (far / "asked").read_text() == "xx"
    assert first.events[0] | {"cached": True} == again.events[0]
    assert (first.events[0]["prompt_tokens"], first.events[0]["completion_tokens"]) == (100, 20)


def test_an_answer_that_breaks_a_rule_is_an_error(run: Any, drag: Any, answers: Path) -> None:
    answers.write_text(json.dumps(ANSWER | {"change": "see www.evil.example"}))
    done = run("intent", *drag, *with_file(answers))
    assert done.code == 2
    assert "change: holds a web address" in done.err


def test_an_edit_with_intent_goes_on_with_the_guess(
    run: Any, drag: Any, desk: Any, answers: Path, dummy_folder: Path
) -> None:
    outs = [desk.folder / "meant.png", desk.folder / "told.png"]
    sidecar = desk.folder / "meant.json"
    done = run(
        "edit", *drag, "--intent", *with_file(answers), "--pick", "2", "--json", "--sidecar", sidecar,
        "--model", dummy_folder, *QUICK, "-o", outs[0],
    )  # fmt: skip
    assert done.code == 0, done.err
    assert (done.events[0]["event"], done.events[0]["provider"]) == ("intent", "file")
    recipe = load_recipe(outs[0])
    (operation,) = recipe.instruction.operations
    assert operation.motion == Translate((60, 40), "deformation")
    cost = json.loads(sidecar.read_text())["intent"]
    assert (cost["provider"], cost["attempts"], cost["cached"]) == ("file", 1, False)
    # Who was asked is not in the picture: told the same by hand, the edit has the same bytes.
    told = run(
        "edit", *drag, "--label", "deformation", "--prompt", "Noise of many colours.",
        "--edit-prompt", "A [red]wide[/red] bar.", "--model", dummy_folder, *QUICK, "-o", outs[1],
        "--sidecar", desk.folder / "told.json",
    )  # fmt: skip
    assert told.code == 0, told.err
    assert outs[0].read_bytes() == outs[1].read_bytes()
    assert json.loads((desk.folder / "told.json").read_text())["intent"] is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--intent",), "nobody can choose a guess"),
        (("--pick", "1"), "--pick has no effect here: only --intent"),
        (("--provider", "file"), "--provider.name has no effect here: only --intent"),
        (("--intent", "--auto", "--from", "picture.png"), "leave out"),
    ],
)
def test_an_edit_does_not_guess_by_itself(options: Any, words: str, run: Any, drag: Any, desk: Any) -> None:
    before = desk.files()
    done = run("edit", *drag, *options, "--model", "no-such-model", "-o", desk.out)
    assert done.code == 2
    assert words in done.err
    assert desk.files() == before


@contextmanager
def terminal(typed: str, *command: str | Path) -> Iterator[subprocess.Popen[str]]:
    """The running command line with a terminal for its input, at which a person has typed."""
    keyboard, stdin = pty.openpty()
    os.write(keyboard, typed.encode())
    argv = [sys.executable, "-c", "from dragflow.cli.app import main; main()", *map(str, command)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=stdin, stdout=pipe, stderr=pipe, text=True, env=env) as running:
        try:
            yield running
        finally:
            running.kill()
    os.close(stdin)
    os.close(keyboard)


def at_a_terminal(typed: str, *command: str | Path) -> subprocess.CompletedProcess[str]:
    with terminal(typed, *command) as running:
        out, err = running.communicate(timeout=60)
    return subprocess.CompletedProcess(running.args, running.returncode, out, err)


def test_a_person_chooses_moves_the_anchor_and_confirms(drag: Any, desk: Any, answers: Path) -> None:
    command = ("intent", *drag, *with_file(answers), "-o", desk.folder / "i.json")
    done = at_a_terminal("7\n1\nhere\n20,60\ny\n", *command)
    assert done.returncode == 0, done.stderr
    for words in (
        "select one of the available options",
        "Anchor X,Y (50,74)",
        "'here'",
        "about 20,60",
        "target prompt: Noise of many colours. The square stands on its tip.",
    ):
        assert words in done.stderr
        assert words not in done.stdout  # which may be a file
    assert load_instruction(desk.folder / "i.json").operations[0].motion == Rotate((20, 60), to=(60, 40))


@pytest.mark.parametrize("typed", ["0\n", "2\nn\n", "\x04"], ids=["none", "not that", "end of input"])
def test_what_a_person_does_not_confirm_is_not_done(typed: str, drag: Any, desk: Any, answers: Path) -> None:
    done = at_a_terminal(typed, "intent", *drag, *with_file(answers), "-o", desk.folder / "i.json")
    assert done.returncode == 130, done.stderr
    assert "cancelled: " in done.stderr
    assert not (desk.folder / "i.json").exists()


def test_ctrl_c_at_a_question_cancels(drag: Any, desk: Any, answers: Path) -> None:
    with terminal("", "intent", *drag, *with_file(answers), "-o", desk.folder / "i.json") as running:
        assert running.stderr is not None
        asked = ""
        while not asked.endswith("(1): "):
            asked += running.stderr.read(1)
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (130, "\ncancelled: no guess was chosen\n")
    assert not (desk.folder / "i.json").exists()


def test_the_drawing_shows_the_chosen_guess_after_the_drag(run: Any, drag: Any, desk: Any, answers: Path) -> None:
    run("intent", *drag, *with_file(answers))
    before = np.asarray(Image.open("picture-intent.png"))
    at_a_terminal("1\n\ny\n", "intent", *drag, *with_file(answers), "-o", desk.folder / "i.json")
    assert not np.array_equal(before, np.asarray(Image.open("picture-intent.png")))
    motion = load_instruction(desk.folder / "i.json").operations[0].motion
    assert motion == Rotate((49.5, 74.0), to=(60, 40))  # the shown anchor was rounded, the one that is kept is not


@pytest.mark.parametrize("url", ["", " "])
def test_an_empty_address_sends_nothing(url: str, run: Any, desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-0123456789")
    asked = ("intent", desk.image, "--mask", desk.mask, "--to", "60,30", "--provider", "openai")
    refused = run(*asked, "--provider.base-url", url, "--overlay", desk.folder / "drag.png")
    assert refused.code == 2
    assert "--provider.base-url" in refused.err
    assert "sk-secret" not in refused.err


def test_of_files_with_the_default_name_only_a_drawing_is_replaced(
    run: Any, drag: Any, desk: Any, answers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(desk.folder)
    own = desk.folder / "picture-intent.png"
    for content in (desk.image.read_bytes(), b"no picture", b""):
        own.write_bytes(content)
        done = run("intent", *drag, *with_file(answers))
        assert (done.code, own.read_bytes()) == (2, content)
        assert "picture-intent.png exists already" in done.err
    assert run("intent", *drag, *with_file(answers), "--force").code == 0
    drawn = own.read_bytes()
    assert run("intent", *drag, *with_file(answers)).code == 0
    assert own.read_bytes() == drawn
    assert run("intent", *drag, *with_file(answers), "--overlay", own).code == 2
