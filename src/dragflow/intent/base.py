"""What a provider of intent is given and what it gives back: proposals that a person chooses from (paper Sec. 3.2).

Points are (x, y) in pixels of the upright source image, the centre of the top left pixel is (0, 0); sizes are (h, w).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from dragflow.core.arrays import Pixels, Point, own
from dragflow.core.motion import Motion, Translate
from dragflow.core.result import IntentRecord
from dragflow.core.task import DragTask, Instruction, PromptForm, ResolvedOperation
from dragflow.files.pictures import SourceImage
from dragflow.intent.options import CANDIDATES

TaskLabel = Literal["relocation", "deformation", "rotation"]
LABELS: tuple[TaskLabel, ...] = ("relocation", "deformation", "rotation")
MAX_WORDS = 60
"""Of a prompt; more would be cut by the text encoders that read it."""


@dataclass(frozen=True)
class Candidate:
    """One guess of what the person meant."""

    label: TaskLabel
    """What the open operations are; see `IntentRequest.open`."""
    prompt: str
    """The editing prompt, in at most `MAX_WORDS` words: the finished picture, or what is to be done, as
    `IntentRequest.prompts` asks."""
    anchor: Point | None = None
    """What the region turns about; only a rotation has one, and has it unless the instruction already has one."""
    confidence: float | None = None
    """0 to 1, or None where the provider gives none."""


@dataclass(frozen=True)
class IntentProposal:
    """What a provider thinks the person means; none of it has any effect before the person chooses."""

    background_prompt: str
    """What the picture shows: the source prompt."""
    change: str
    """The change in a few words, for people."""
    candidates: tuple[Candidate, ...]
    """At least one, the likeliest first."""
    labels: tuple[TaskLabel | None, ...]
    """Of every operation the label that was known before; None as in `IntentRequest`."""


@dataclass(frozen=True, eq=False)
class IntentRequest:
    """All that a provider may look at."""

    source: SourceImage
    instruction: Instruction
    task: DragTask
    """The same instruction, rasterised and checked."""
    picture: Pixels
    """(h, w, 3), the source scaled down to what may be sent."""
    overlay: Pixels
    """(h, w, 3), the same with source regions in blue, predicted targets in green, arrows and anchors."""
    labels: tuple[TaskLabel | None, ...]
    """Of every operation the label that is known; None for those to be guessed, and where no label fits (a scaling,
    a copy, a removal)."""
    count: int = CANDIDATES
    """How many candidates to give."""
    prompts: PromptForm = "captions"
    """What editing prompts are to be: as the model takes them that draws the edit."""

    def __post_init__(self) -> None:
        """Keep no buffer of the caller."""
        own(self)

    @property
    def open(self) -> tuple[ResolvedOperation, ...]:
        """The operations that a candidate labels."""
        pairs = zip(self.task.operations, self.labels, strict=True)
        return tuple(op for op, label in pairs if is_open(op.motion, label))


def is_open(motion: Motion, label: TaskLabel | None) -> bool:
    """Whether a candidate labels an operation: a translation of which no label is known; a copy needs none."""
    return label is None and isinstance(motion, Translate) and motion.label != "copy"


@dataclass(frozen=True)
class Answer:
    """A proposal and what it cost."""

    proposal: IntentProposal
    record: IntentRecord


class Provider(Protocol):
    """Answers what an instruction means."""

    @property
    def name(self) -> str:
        """As it is chosen: "rules", "file", "openai", "local"."""
        ...

    @property
    def model(self) -> str | None:
        """The model that answers: its id, and the address where that is not the default one.

        None where no model answers; such answers are not cached, because asking again costs nothing.
        """
        ...

    @property
    def remote(self) -> bool:
        """Whether asking sends the picture off this machine."""
        ...

    def propose(self, request: IntentRequest) -> Answer:
        """Guess what is meant.

        Raises:
            IntentError: no usable answer, after one repair.
            UserError: the provider is not set up (no key, no model, a wrong address).
        """
        ...
