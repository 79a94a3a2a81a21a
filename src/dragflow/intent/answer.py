"""From a model's words to a checked proposal: the answer's schema, and every rule that an answer must keep (App. D.3).

An answer is only data: labels, words, numbers. What does not fit is refused, with one sentence per fault.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from dragflow.core.arrays import Point
from dragflow.core.checked import sentences
from dragflow.core.errors import IntentError, UserError
from dragflow.files import schema
from dragflow.intent.base import Candidate, IntentProposal, IntentRequest, TaskLabel
from dragflow.intent.words import label_of, plain_english, same_words

MAX_ANSWER = 64_000
"""Characters; ten candidates of sixty words need a tenth of it."""
FRAME = 1000.0
"""Anchors come in thousandths of width and height, so that no model needs to know at which size it sees."""
_STARTS = 100
"""Opening braces that are tried before the answer counts as having no JSON."""
_SMALLEST_ARM = 0.5
"""Pixels between the anchor and what turns about it, below which no angle is defined."""

T = TypeVar("T", bound=BaseModel)
Text = Annotated[str, AfterValidator(plain_english)]


class _Read(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class AnchorFile(_Read):
    """A point in thousandths of the picture: (0, 0) is its top left corner, (1000, 1000) its bottom right one."""

    x: float
    y: float


class CandidateFile(_Read):
    """One guess of what the person means."""

    label: Annotated[TaskLabel, BeforeValidator(label_of)] = Field(
        description="relocation: an object goes elsewhere; deformation: a part of an object stretches or shrinks; "
        "rotation: something turns about a point"
    )
    prompt: Text = Field(description="in English, at most 60 words")
    anchor: AnchorFile | None = Field(None, description="what it turns about; null unless the label is rotation")
    confidence: float | None = Field(None, ge=0, le=1, description="0 to 1, or null")


class _Head(_Read):
    background_prompt: Text = Field(description="what the source picture shows, in English, at most 60 words")
    change: Text = Field(description="what changes, in a few English words")


class AnswerFile(_Head):
    """What a person means by a drag in a picture."""

    candidates: list[CandidateFile] = Field(description="different guesses, the likeliest first")


def answer_schema() -> dict[str, Any]:
    """The JSON schema of an answer, as strict structured outputs want it: all keys required and no others allowed."""
    return _strict(AnswerFile.model_json_schema())


def parse_answer(text: str, request: IntentRequest) -> IntentProposal:
    """A model's answer, checked; the JSON may be in a code fence or follow other text.

    Raises:
        IntentError: anything wrong; `problems` has one sentence for each fault, to be sent back for a repair.
    """
    data = _json_object(text)
    problems: list[str] = []
    head = _read(_Head, data, "", problems)
    given = data.get("candidates")
    rows = given if isinstance(given, list) else []
    if len(rows) != request.count:
        problems.append(f"candidates: {request.count} are needed, {len(rows)} are given")
    read = [(i, _read(CandidateFile, row, f"candidates.{i}", problems)) for i, row in enumerate(rows[: request.count])]
    candidates = [(i, _candidate(row, i, request, problems)) for i, row in read if row is not None]
    problems += _repeated(candidates) + _against(candidates, request)
    if head is None or problems:
        raise IntentError(f"the answer cannot be used: {'; '.join(problems)}", tuple(problems))
    accepted = tuple(candidate for _, candidate in candidates)
    return IntentProposal(head.background_prompt, head.change, accepted, request.labels)


def _read(kind: type[T], data: object, place: str, problems: list[str]) -> T | None:
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        problems += sentences(error, data, lambda path: ".".join(part for part in (place, path) if part))
        return None


def _candidate(row: CandidateFile, index: int, request: IntentRequest, problems: list[str]) -> Candidate:
    name = f"candidates.{index}.anchor"
    if row.label != "rotation" or not request.open:
        return Candidate(row.label, row.prompt, None, row.confidence)
    if row.anchor is None:
        problems.append(f"{name} is missing: a rotation needs the point that it turns about")
        return Candidate(row.label, row.prompt, None, row.confidence)
    if not (0 <= row.anchor.x <= FRAME and 0 <= row.anchor.y <= FRAME):
        problems.append(
            f"{name} ({row.anchor.x:g}, {row.anchor.y:g}) is outside the picture: x and y are 0 to {FRAME:g}"
        )
        return Candidate(row.label, row.prompt, None, row.confidence)
    h, w = request.source.size
    anchor = (row.anchor.x / FRAME * (w - 1), row.anchor.y / FRAME * (h - 1))
    if any(math.dist(anchor, point) < _SMALLEST_ARM for point in _ends(request)):
        problems.append(f"{name} lies on what turns about it, so that no angle is defined: choose another point")
    return Candidate(row.label, row.prompt, anchor, row.confidence)


def _ends(request: IntentRequest) -> list[Point]:
    """Handles and targets of the operations that a candidate would turn."""
    return [p for op in request.open for p in (op.handle, getattr(op.motion, "to", None)) if p is not None]


def _repeated(candidates: Sequence[tuple[int, Candidate]]) -> list[str]:
    first: dict[tuple[str, str], int] = {}
    repeated: list[str] = []
    for i, candidate in candidates:
        before = first.setdefault((candidate.label, same_words(candidate.prompt)), i)
        if before != i:
            repeated.append(f"candidates.{i} repeats candidates.{before}: give another label or another prompt")
    return repeated


def _against(candidates: Sequence[tuple[int, Candidate]], request: IntentRequest) -> list[str]:
    """Candidates that contradict the labels, where the person has labelled every operation."""
    known = sorted({label for label in request.labels if label is not None})
    if request.open or not known:
        return []
    return [
        f"candidates.{i}.label is {candidate.label}, but it is known to be {' and '.join(known)}"
        for i, candidate in candidates
        if candidate.label not in known
    ]


def _json_object(text: str) -> dict[str, Any]:
    """The first object with candidates in a text."""
    if len(text) > MAX_ANSWER:
        raise _unreadable(f"the answer has {len(text)} characters: at most {MAX_ANSWER} are read")
    decoder, at = json.JSONDecoder(), -1
    for _ in range(_STARTS):
        at = text.find("{", at + 1)
        if at < 0:
            break
        try:
            data, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            continue
        if isinstance(data, dict) and "candidates" in data:
            try:
                return _object(schema.load_json(text[at:end], "the answer"))
            except UserError as error:
                raise _unreadable(str(error)) from error
    raise _unreadable("the answer has no complete JSON object with the key candidates")


def _object(data: object) -> dict[str, Any]:
    return data if isinstance(data, dict) else {}


def _unreadable(problem: str) -> IntentError:
    return IntentError(problem, (problem,))


def _strict(node: Any) -> Any:
    """A schema without what the strict dialect lacks, and with every key of every object required."""
    if isinstance(node, list):
        return [_strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {key: _strict(value) for key, value in node.items() if key not in ("default", "title", "minimum", "maximum")}
    if kept.get("type") == "object":
        kept |= {"required": list(kept.get("properties", {})), "additionalProperties": False}
    return kept
