"""The work behind `dragflow intent` and `dragflow edit --intent`: ask, show, let a person choose and confirm."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from dragflow.cli.operations import instruction, point
from dragflow.cli.options import AreaOptions, ChoiceOptions, OperationOptions, TaskOptions
from dragflow.core.arrays import Point
from dragflow.core.errors import Cancelled, UserError
from dragflow.core.motion import Rotate, rotation_degrees
from dragflow.core.task import DragTask, Instruction
from dragflow.files.atomic import check_writable
from dragflow.files.instructions import save_instruction
from dragflow.files.pictures import SourceImage, check_png_name, load_image, save_png
from dragflow.intent.base import Answer, Candidate, IntentRequest
from dragflow.intent.options import ProviderOptions
from dragflow.pixels.drawing import marks, overlay
from dragflow.pixels.resolve import resolve
from dragflow.service import intent as service
from dragflow.service.intent import Chosen, answer_data, guess

T = TypeVar("T")


@dataclass(frozen=True)
class Asking:
    """Who is asked, and how one of the guesses is chosen."""

    service: service.Asking
    pick: int | None = None
    auto: bool = False
    anchor: Point | None = None

    @property
    def number(self) -> int | None:
        """The guess that was chosen beforehand, counted from 1; None where a person has to choose."""
        return 1 if self.auto else self.pick


def asking_of(provider: ProviderOptions, choice: ChoiceOptions, *, wanted: bool = True) -> Asking | None:
    """The options of asking; None where nobody is asked.

    Raises:
        UserError: two ways of choosing, a number out of range, or options of asking where nobody is asked.
    """
    if not wanted:
        if (provider, choice) != (ProviderOptions(), ChoiceOptions()):
            raise UserError("--provider, --pick, --auto and their like belong to --intent: add it, or leave them out")
        return None
    if choice.pick is not None and choice.auto:
        raise UserError(f"--pick {choice.pick} and --auto are both given: choose the guess in one way")
    if choice.pick is not None and choice.pick < 1:
        raise UserError(f"--pick {choice.pick}: guesses are counted from 1")
    return Asking(
        service=service.Asking(provider, choice.candidates, cache=not choice.no_cache, upload=not choice.no_upload),
        pick=choice.pick,
        auto=choice.auto,
        anchor=None if choice.anchor is None else point("--anchor", choice.anchor),
    )


def run_intent(
    image: Path,
    operations: OperationOptions,
    task: TaskOptions,
    area: AreaOptions,
    asking: Asking | None,
    *,
    output: Path | None,
    drawn: Path | None,
    as_json: bool,
) -> None:
    """Guess, show, draw, and write the instruction of the chosen guess.

    Raises:
        UserError: anything that breaks a rule, before a provider is asked where that can be known before.
        IntentError: no answer that can be used.
    """
    asked = instruction(operations, task, area)
    if asking is None:
        raise UserError("nobody is asked what the drag means")
    drawn = drawn or default_drawing(image)
    inputs = [path for path in (image, task.task, asking.service.provider.answers) if path is not None]
    check_png_name(drawn)
    check_writable(drawn, inputs=inputs)
    if output is not None:
        if output == drawn:
            raise UserError(f"`output` {output} is the drawing itself: choose another name")
        check_writable(output, inputs=inputs)
        check_chooser(asking, as_json=as_json)
    elif asking.number is not None:
        raise UserError("a guess is chosen, and its instruction has no file: name it with -o FILE")
    source = load_image(image)
    request, answer = guess(source, asked, asking.service)
    save_png(drawn, source, marks(request.task))
    if not as_json:
        show(answer)
        print(f"{drawn}: the drag")
    chosen = None if output is None else _choice(request, answer, asking, drawn)
    if chosen is not None and output is not None:
        save_instruction(output, chosen.instruction)
    if as_json:
        from dragflow.cli.progress import emit

        emit(answer_data(answer) | {"overlay": str(drawn), "picked": chosen and chosen.number})
    elif output is not None:
        print(f"{output}: the instruction")


def choose_in_edit(
    source: SourceImage, instruction: Instruction, asking: Asking, *, drawn: Path | None, as_json: bool
) -> Chosen:
    """Ask what an instruction means and let the person choose, for the edit that follows.

    Raises:
        UserError, IntentError: see `run_intent`.
        Cancelled: the person took none of the guesses.
    """
    request, answer = guess(source, instruction, asking.service)
    if as_json:
        from dragflow.cli.progress import emit

        emit({"event": "intent", **answer_data(answer)})
    else:
        show(answer)
    return _choice(request, answer, asking, drawn)


def default_drawing(image: Path) -> Path:
    """Where the drag is drawn unless a file is named; drawn again each time."""
    return Path(f"{image.stem}-intent.png")


def check_chooser(asking: Asking, *, as_json: bool) -> None:
    """Refuse to guess for a person who is not there.

    Raises:
        UserError: no guess is chosen beforehand, and there is no terminal to choose at.
    """
    if asking.number is None and (as_json or not sys.stdin.isatty()):
        raise UserError("nobody is at a terminal to choose a guess: give --pick N, or --auto for the first one")


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


def _choice(request: IntentRequest, answer: Answer, asking: Asking, drawn: Path | None) -> Chosen:
    """The chosen guess; at a terminal the person sees what it comes to and confirms."""
    candidates = answer.proposal.candidates
    number = asking.number
    if number is not None:
        return service.choose(request, answer, number, asking.anchor)
    number = _typed("Which guess (0: none)", "1", lambda text: _number(text, len(candidates)))
    if number == 0:
        raise Cancelled
    candidate = candidates[number - 1]
    anchor = asking.anchor
    if anchor is None and candidate.label == "rotation" and request.open:
        anchor = _typed_anchor(candidate)
    chosen = service.choose(request, answer, number, anchor)
    task = resolve(request.source.pixels, chosen.instruction)
    if drawn is not None:
        save_png(drawn, request.source, overlay(task))
        print(f"{drawn}: how it is going to look")
    print(_summary(candidate, task))
    if not _typed("Is this what you mean (y/n)", "y", _yes):
        raise Cancelled
    return chosen


def _typed(question: str, default: str, read: Callable[[str], T]) -> T:
    """What a person types at a terminal, asked for again until it can be read.

    Raises:
        Cancelled: Ctrl-C, or nothing more to be read.
    """
    while True:
        try:
            return read(input(f"{question} [{default}]: ").strip() or default)
        except UserError as error:
            print(f"Error: {error}")
        except (EOFError, KeyboardInterrupt) as error:
            raise Cancelled from error


def _number(text: str, count: int) -> int:
    if not text.isdecimal() or int(text) > count:
        raise UserError(f"{text!r}: write a number from 0 to {count}")
    return int(text)


def _yes(text: str) -> bool:
    if text.casefold() not in ("y", "yes", "n", "no"):
        raise UserError(f"{text!r}: write y or n")
    return text.casefold() in ("y", "yes")


def _typed_anchor(candidate: Candidate) -> Point | None:
    """A person's own anchor; None where it stays as it was, which is not rounded to what was shown."""
    shown = _rounded(candidate.anchor)
    anchor = _typed("Anchor", shown, lambda text: point("anchor", text))
    return None if _rounded(anchor) == shown else anchor


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
