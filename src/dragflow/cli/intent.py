"""The work behind `dragflow intent` and `dragflow edit --intent`: ask, show, let a person choose and confirm."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.prompt import Confirm, IntPrompt, InvalidResponse, PromptBase
from rich.table import Table
from rich.text import Text

from dragflow.cli.operations import instruction, point
from dragflow.cli.options import AreaOptions, ChoiceOptions, OperationOptions, TaskOptions, changed, refuse_unused
from dragflow.cli.terminal import complain, console, emit, say
from dragflow.core.arrays import Pixels, Point
from dragflow.core.errors import Cancelled, UserError
from dragflow.core.motion import Rotate, rotation_degrees
from dragflow.core.task import DragTask, Instruction, PromptForm
from dragflow.core.text import one_line
from dragflow.files.atomic import write_bytes
from dragflow.files.embedded import text_in
from dragflow.files.encoding import check_output_name, encode
from dragflow.files.instructions import save_instruction
from dragflow.files.outputs import check_outputs, named_files
from dragflow.files.pictures import SourceImage, load_image, open_checked
from dragflow.intent.base import Answer, Candidate, IntentRequest
from dragflow.intent.options import ProviderOptions
from dragflow.pixels.drawing import marks, overlay
from dragflow.pixels.resolve import resolve
from dragflow.service.intent import ChosenGuess, GuessOptions, answer_data, choose, guess

_DRAWING = "dragflow.drawing"
"""Name of the text in its metadata by which a drawing is known."""


@dataclass(frozen=True)
class IntentPlan:
    """How to ask what a drag means, and which guess to take."""

    options: GuessOptions
    number: int | None = None
    """The guess that is taken, counted from 1; None to ask the person at the terminal."""
    anchor: Point | None = None
    """Of a rotation, instead of the guessed one."""
    prompts: PromptForm | None = None
    """What editing prompts are to be; None for what the model takes that draws the edit, else captions."""


def intent_plan(provider: ProviderOptions, choice: ChoiceOptions) -> IntentPlan:
    """What the options of a command ask for.

    Raises:
        UserError: two ways of choosing, or a number out of range.
    """
    if choice.pick is not None and choice.auto:
        raise UserError(f"--pick {choice.pick} and --auto are both given: choose the guess in one way")
    if choice.pick is not None and choice.pick < 1:
        raise UserError(f"--pick {choice.pick}: guesses are counted from 1")
    return IntentPlan(
        GuessOptions(provider, choice.candidates, cache=not choice.no_cache, upload=not choice.no_upload),
        number=1 if choice.auto else choice.pick,
        anchor=None if choice.anchor is None else point("--anchor", choice.anchor),
        prompts=choice.prompts,
    )


def refuse_without_intent(provider: ProviderOptions, choice: ChoiceOptions) -> None:
    """Refuse options of guessing in an edit that does not guess.

    Raises:
        UserError: one of them is given.
    """
    given = [*changed(provider, "provider."), *changed(choice)]
    refuse_unused(given, "only --intent guesses: add it, or leave this out")


def run_intent(
    image: Path,
    operations: OperationOptions,
    task: TaskOptions,
    area: AreaOptions,
    plan: IntentPlan,
    *,
    output: Path | None,
    drawn: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Guess, show, draw, and write the instruction of the chosen guess.

    Raises:
        UserError: anything that breaks a rule, before a provider is asked where that can be known before.
        IntentError: no answer that can be used.
    """
    asked = instruction(operations, task, area)
    inputs = named_files(image, operations.mask, task.task, area, plan, asked)
    check_output_name(drawn or default_drawing(image))
    outputs = [path for path in (drawn, output) if path is not None]
    check_outputs(*outputs, inputs=inputs, force=force)
    if drawn is None:
        drawn = default_drawing(image)
        check_drawing(drawn, *outputs, inputs=inputs, force=force)
    if output is not None:
        check_chooser(plan, as_json=as_json)
    elif plan.number is not None:
        raise UserError("a guess is chosen, and there is no file for its instruction: name it with -o FILE")
    source = load_image(image)
    request, answer = guess(source, asked, plan.options, plan.prompts or "captions")
    _save_drawing(drawn, source, marks(request.task))
    if not as_json:
        show(answer)
        say(f"{drawn}: the drag")
    chosen = None if output is None else _choice(request, answer, plan, drawn)
    if chosen is not None and output is not None:
        save_instruction(output, chosen.instruction)
    if as_json:
        emit(answer_data(answer) | {"overlay": str(drawn), "picked": chosen and chosen.number})
    elif output is not None:
        say(f"{output}: the instruction")


def choose_in_edit(
    source: SourceImage,
    instruction: Instruction,
    plan: IntentPlan,
    *,
    prompts: PromptForm,
    drawn: Path | None,
    as_json: bool,
) -> ChosenGuess:
    """Ask what an instruction means and let the person choose, for the edit that follows.

    Raises:
        UserError, IntentError: see `run_intent`.
        Cancelled: the person chose none of the guesses.
    """
    request, answer = guess(source, instruction, plan.options, plan.prompts or prompts)
    if as_json:
        emit({"event": "intent", **answer_data(answer)})
    else:
        show(answer)
    return _choice(request, answer, plan, drawn)


def default_drawing(image: Path) -> Path:
    """The default file for the drawing of a drag; each run replaces that of the one before."""
    return Path(f"{image.stem}-intent.png")


def check_drawing(drawn: Path, *outputs: Path, inputs: Iterable[Path], force: bool) -> None:
    """Check the default file for the drawing beside other outputs: of what exists, only another drawing is replaced.

    Raises:
        UserError: see `check_outputs`.
    """
    check_outputs(drawn, *outputs, inputs=inputs, force=True)
    check_outputs(drawn, inputs=(), force=force or _is_drawing(drawn))


def _is_drawing(path: Path) -> bool:
    with suppress(UserError):
        return text_in(open_checked(path, deep=True), _DRAWING) is not None
    return False


def _save_drawing(path: Path, source: SourceImage, pixels: Pixels) -> None:
    write_bytes(path, encode(check_output_name(path), source, pixels, {_DRAWING: "a drag, drawn by dragflow"}))


def check_chooser(plan: IntentPlan, *, as_json: bool) -> None:
    """Check that somebody chooses a guess, before a provider is asked.

    Raises:
        UserError: no guess is chosen by option, and there is no terminal to choose at.
    """
    if plan.number is None and (as_json or not sys.stdin.isatty()):
        raise UserError("with --json or without a terminal nobody can choose a guess: give --pick N, or --auto")


def show(answer: Answer) -> None:
    """The guesses as a table, and what asking cost."""
    table = Table("#", "label", "editing prompt", "anchor", "confidence")
    for i, candidate in enumerate(answer.proposal.candidates, 1):
        confidence = "" if candidate.confidence is None else f"{candidate.confidence:.2f}"
        table.add_row(str(i), candidate.label, Text(candidate.prompt), _rounded(candidate.anchor), confidence)
    record = answer.record
    console().print(table)
    for name, text in (("picture", answer.proposal.background_prompt), ("change", answer.proposal.change)):
        say(f"{name}: {one_line(text) or '(empty)'}")
    tokens = (
        "" if record.prompt_tokens is None else f", {record.prompt_tokens} + {record.completion_tokens or 0} tokens"
    )
    cached = ", from the cache" if record.cached else ""
    who = record.provider if record.model is None else f"{record.provider} ({record.model})"
    say(one_line(f"asked: {who}, {record.seconds:.1f} s{tokens}{cached}"))


def _choice(request: IntentRequest, answer: Answer, plan: IntentPlan, drawn: Path | None) -> ChosenGuess:
    if plan.number is not None:
        return choose(request, answer, plan.number, plan.anchor)
    try:
        return _dialogue(request, answer, plan, drawn)
    except (EOFError, KeyboardInterrupt) as error:
        complain()  # what comes next is not to follow on the line of the question
        raise Cancelled("no guess was chosen") from error


def _dialogue(request: IntentRequest, answer: Answer, plan: IntentPlan, drawn: Path | None) -> ChosenGuess:
    """Let the person at the terminal choose a guess, see the edit that it makes, and confirm.

    Questions go to stderr, so that stdout can be a file.

    Raises:
        Cancelled: no guess is chosen or confirmed.
        EOFError, KeyboardInterrupt: Ctrl-D, Ctrl-C.
    """
    asking, candidates = console(stderr=True), answer.proposal.candidates
    numbers = [str(number) for number in range(len(candidates) + 1)]
    question = f"Which guess, 1 to {len(candidates)}, or 0 for none"
    number = IntPrompt.ask(question, default=1, choices=numbers, show_choices=False, console=asking)
    if number == 0:
        raise Cancelled("no guess was chosen")
    candidate, anchor = candidates[number - 1], plan.anchor
    if anchor is None and candidate.anchor is not None and request.open:
        anchor = _PointPrompt.ask("Anchor X,Y", default=candidate.anchor, console=asking)
    chosen = choose(request, answer, number, anchor)
    task = resolve(request.source.pixels, chosen.instruction)
    if drawn is not None:
        _save_drawing(drawn, request.source, overlay(task))
        complain(f"{drawn}: preview of the edit")
    complain(_summary(candidate, task))
    if not Confirm.ask("Is this what you mean", default=True, console=asking):
        raise Cancelled("the guess was not confirmed")
    return chosen


class _PointPrompt(PromptBase[Point]):
    """Asks for a point; an empty answer keeps the default, which is shown rounded."""

    response_type = tuple

    def process_response(self, value: str) -> Point:
        try:
            return point("anchor", value)
        except UserError as error:
            raise InvalidResponse(str(error)) from error

    def render_default(self, default: Any) -> Text:
        return Text(f"({_rounded(default)})", "prompt.default")


def _summary(candidate: Candidate, task: DragTask) -> str:
    turns = [
        f" by {rotation_degrees(op.motion, op.handle):.0f} degrees about {_rounded(op.motion.about)}"
        for op in task.operations
        if isinstance(op.motion, Rotate)
    ]
    prompts = f"source prompt: {one_line(task.prompt) or '(empty)'}\ntarget prompt: {one_line(task.target_prompt)}"
    return f"{candidate.label}{','.join(turns)}\n{prompts}"


def _rounded(anchor: Point | None) -> str:
    return "" if anchor is None else f"{anchor[0]:.0f},{anchor[1]:.0f}"
