"""The work behind `dragflow intent` and `dragflow edit --intent`: ask, show, let a person choose and confirm."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import typer

from dragflow.cli.operations import point
from dragflow.core.errors import Cancelled, UserError
from dragflow.core.motion import rotation_degrees
from dragflow.core.result import IntentRecord
from dragflow.core.task import DragTask, Instruction, Point, Rotate
from dragflow.intent.accept import accept
from dragflow.intent.base import CANDIDATES, Answer, Candidate, IntentRequest, ProviderOptions
from dragflow.intent.cache import ask, cache_folder
from dragflow.intent.registry import load_provider
from dragflow.intent.request import make_request
from dragflow.io.files import check_writable
from dragflow.io.images import SourceImage, check_png_name, load_image, save_png
from dragflow.io.instruction import save_instruction
from dragflow.io.preview import marks, overlay
from dragflow.io.resolve import resolve

T = TypeVar("T")


@dataclass(frozen=True)
class Asking:
    """Who is asked, and how one of the guesses is chosen."""

    provider: str
    options: ProviderOptions = field(default_factory=ProviderOptions)
    count: int = CANDIDATES
    pick: int | None = None
    auto: bool = False
    anchor: Point | None = None
    cache: bool = True
    upload: bool = True

    @property
    def number(self) -> int | None:
        """The guess that was chosen beforehand, counted from 1; None where a person has to choose."""
        return 1 if self.auto else self.pick


@dataclass(frozen=True)
class Chosen:
    """A guess that was confirmed."""

    number: int
    instruction: Instruction
    record: IntentRecord


def make_asking(
    *,
    provider: str | None,
    options: ProviderOptions,
    pick: int | None,
    auto: bool,
    anchor: str | None,
    cache: bool,
    upload: bool,
    count: int = CANDIDATES,
) -> Asking:
    """The options of asking.

    Raises:
        UserError: two ways of choosing, or a number out of range.
    """
    if pick is not None and auto:
        raise UserError(f"--pick {pick} and --auto are both given: choose the guess in one way")
    if pick is not None and pick < 1:
        raise UserError(f"--pick {pick}: guesses are counted from 1")
    patience = 1.0 if options.timeout is None else options.timeout
    if not 0 < patience < 3600 or not 0 <= options.retries <= 10:
        raise UserError(
            f"--timeout {patience:g}, --retries {options.retries}: wait more than 0 and less than 3600 seconds, "
            "and try again 0 to 10 times"
        )
    return Asking(
        provider=provider or _default_provider(),
        options=options,
        count=count,
        pick=pick,
        auto=auto,
        anchor=None if anchor is None else point("--anchor", anchor),
        cache=cache,
        upload=upload,
    )


def _default_provider() -> str:
    return os.environ.get("DRAGFLOW_INTENT") or "rules"


def unused(asking: Asking) -> None:
    """Refuse options of asking where nobody is going to be asked.

    Raises:
        UserError: some are given.
    """
    if asking != Asking(_default_provider()):
        raise UserError("--provider, --pick, --auto and their like belong to --intent: add it, or leave them out")


def run_intent(
    image: Path,
    instruction: Instruction,
    asking: Asking,
    *,
    inputs: Sequence[Path],
    output: Path | None,
    drawn: Path | None,
    as_json: bool,
) -> None:
    """Guess, show, draw, and write the instruction of the chosen guess.

    Raises:
        UserError: anything that breaks a rule, before a provider is asked where that can be known before.
        IntentError: no answer that can be used.
    """
    drawn = drawn or default_drawing(image)
    check_png_name(drawn)
    check_writable(drawn, inputs=inputs)
    if output is not None:
        if output == drawn:
            raise UserError(f"output {output} is the drawing itself: choose another name")
        check_writable(output, inputs=inputs)
        check_chooser(asking, as_json=as_json)
    elif asking.number is not None:
        raise UserError("a guess is chosen, and its instruction has no file: name it with -o FILE")
    source = load_image(image)
    request, answer = guess(source, instruction, asking)
    save_png(drawn, source, marks(request.task))
    if not as_json:
        show(answer)
        typer.echo(f"{drawn}: the drag")
    chosen = None if output is None else _choice(request, answer, asking, drawn)
    if chosen is not None and output is not None:
        save_instruction(output, chosen.instruction)
    if as_json:
        from dragflow.cli.progress import emit

        emit(as_data(answer) | {"overlay": str(drawn), "picked": chosen and chosen.number})
    elif output is not None:
        typer.echo(f"{output}: the instruction")


def choose(
    source: SourceImage, instruction: Instruction, asking: Asking, *, drawn: Path | None, as_json: bool
) -> Chosen:
    """Ask what an instruction means and let the person choose, for an edit that goes on with it.

    Raises:
        UserError, IntentError: see `run_intent`.
        Cancelled: the person took none of the guesses.
    """
    request, answer = guess(source, instruction, asking)
    if as_json:
        from dragflow.cli.progress import emit

        emit({"event": "intent", **as_data(answer)})
    else:
        show(answer)
    return _choice(request, answer, asking, drawn)


def default_drawing(image: Path) -> Path:
    """Where the drag is drawn unless a file is named; drawn anew each time."""
    return Path(f"{image.stem}-intent.png")


def check_chooser(asking: Asking, *, as_json: bool) -> None:
    """Refuse to guess for a person who is not there.

    Raises:
        UserError: no guess is chosen beforehand, and there is no terminal to choose at.
    """
    if asking.number is None and (as_json or not sys.stdin.isatty()):
        raise UserError("nobody is at a terminal to choose a guess: give --pick N, or --auto for the first one")


def guess(source: SourceImage, instruction: Instruction, asking: Asking) -> tuple[IntentRequest, Answer]:
    """Ask the provider.

    Raises:
        UserError, IntentError: see `run_intent`.
    """
    provider = load_provider(asking.provider, asking.options, upload=asking.upload)
    request = make_request(source, instruction, count=asking.count, max_side=asking.options.max_image_side)
    return request, ask(provider, request, cache_folder() if asking.cache else None)


def show(answer: Answer) -> None:
    """The guesses as a table, and what asking cost."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("#", "label", "editing prompt", "anchor", "confidence")
    for i, candidate in enumerate(answer.proposal.candidates, 1):
        sure = "" if candidate.confidence is None else f"{candidate.confidence:.2f}"
        table.add_row(str(i), candidate.label, Text(candidate.prompt), _rounded(candidate.anchor), sure)
    console, record = Console(), answer.record
    console.print(table)
    for name, text in (("picture", answer.proposal.background_prompt), ("change", answer.proposal.change)):
        console.print(f"{name}: {text or '(empty)'}", highlight=False, markup=False)
    tokens = (
        "" if record.prompt_tokens is None else f", {record.prompt_tokens} + {record.completion_tokens or 0} tokens"
    )
    kept = ", kept from before" if record.cached else ""
    who = record.provider if record.model is None else f"{record.provider} ({record.model})"
    console.print(f"asked: {who}, {record.seconds:.1f} s{tokens}{kept}", highlight=False, markup=False)


def as_data(answer: Answer) -> dict[str, Any]:
    """An answer as plain data."""
    proposal = answer.proposal
    return asdict(answer.record) | {
        "background_prompt": proposal.background_prompt,
        "change": proposal.change,
        "candidates": [asdict(candidate) for candidate in proposal.candidates],
    }


def _choice(request: IntentRequest, answer: Answer, asking: Asking, drawn: Path | None) -> Chosen:
    """The chosen guess; at a terminal the person sees what it comes to and confirms."""
    candidates = answer.proposal.candidates
    asked = asking.number is None
    number = asking.number or _typed("Which guess (0: none)", "1", lambda text: _number(text, len(candidates)))
    if number == 0:
        raise Cancelled
    if not 1 <= number <= len(candidates):
        raise UserError(f"guess {number} is chosen and there are {len(candidates)}: choose 1 to {len(candidates)}")
    candidate = _anchored(candidates[number - 1], asking.anchor, ask_for_it=asked and bool(request.open))
    made = accept(answer.proposal, request.instruction, candidate)
    task = resolve(request.source.pixels, made)
    if asked:
        if drawn is not None:
            save_png(drawn, request.source, overlay(task))
            typer.echo(f"{drawn}: how it is going to look")
        typer.echo(_summary(candidate, task))
        if not _typed("Is this what you mean (y/n)", "y", _yes):
            raise Cancelled
    return Chosen(number, made, answer.record)


def _typed(question: str, default: str, read: Callable[[str], T]) -> T:
    """What a person types at a terminal, asked for again until it can be read.

    Raises:
        Cancelled: Ctrl-C, or nothing more to be read.
    """

    def value(text: str) -> T:
        try:
            return read(text)
        except UserError as error:
            raise typer.BadParameter(str(error)) from error

    try:
        return typer.prompt(question, default=default, value_proc=value)
    except typer.Abort as error:
        raise Cancelled from error


def _number(text: str, count: int) -> int:
    if not text.strip().isdecimal() or int(text) > count:
        raise UserError(f"{text!r}: write a number from 0 to {count}")
    return int(text)


def _yes(text: str) -> bool:
    if text.strip().casefold() not in ("y", "yes", "n", "no"):
        raise UserError(f"{text!r}: write y or n")
    return text.strip().casefold() in ("y", "yes")


def _anchored(candidate: Candidate, given: Point | None, *, ask_for_it: bool) -> Candidate:
    """The guess with the person's own anchor, which only a rotation has."""
    if candidate.label != "rotation":
        if given is not None:
            raise UserError(
                f"--anchor {_rounded(given)}: the guess is a {candidate.label}: only a rotation has an anchor"
            )
        return candidate
    if given is None and ask_for_it:
        given = _typed("Anchor", _rounded(candidate.anchor), lambda text: point("anchor", text))
        if _rounded(given) == _rounded(candidate.anchor):  # as it was: not rounded to what was shown
            given = None
    return candidate if given is None else replace(candidate, anchor=given)


def _summary(candidate: Candidate, task: DragTask) -> str:
    turns = [
        f" by {rotation_degrees(op.motion, op.handle):.0f} degrees about {_rounded(op.motion.about)}"
        for op in task.operations
        if isinstance(op.motion, Rotate)
    ]
    prompts = f"source prompt: {task.prompt or '(empty)'}\ntarget prompt: {task.target_prompt}"
    return f"{candidate.label}{','.join(turns)}\n{prompts}"


def _rounded(anchor: Point | None) -> str:
    return "" if anchor is None else f"{anchor[0]:.0f},{anchor[1]:.0f}"
