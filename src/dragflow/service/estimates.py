"""How long an edit will take and how much memory, from what edits took on this machine before."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import platform
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated

from annotated_types import Gt, Interval
from pydantic import TypeAdapter, ValidationError

from dragflow.core.config import EditConfig, SizeConfig
from dragflow.core.errors import UserError
from dragflow.core.events import Event, Finished, Stepped
from dragflow.core.models import ModelOptions
from dragflow.editor.window import settled
from dragflow.files.atomic import write_bytes
from dragflow.files.models import settled_model
from dragflow.service.jobs import EditJob

if TYPE_CHECKING:
    from dragflow.editor.result import EditResult

_log = logging.getLogger(__name__)

MOST = 256
"""Edits that are remembered."""
_MULTIPLE = 16
"""Pixels of a model's cell, as long as the model is not loaded; most models have this one."""
_LOOKED_AT = 5
"""Edits of nearly the same size of which the median counts."""
_CLOSE = 0.4
"""Of two sizes whose memory may be compared: the most that their logarithms differ by, a factor of 1.5."""
_INVERTING = ("encode", "invert")
"""Phases that edits of the same picture share."""

Seconds = Annotated[float, Interval(ge=0, le=1e9)]
Pixels = Annotated[int, Interval(ge=1, le=1e12)]


@dataclass(frozen=True)
class Measured:
    """What one edit took."""

    model: str
    """Digest of all that its speed depends on beside the size: model, options, machine."""
    pixels: Pixels
    """At which the model worked."""
    picture: Pixels
    """Of the whole picture."""
    phases: dict[str, tuple[Annotated[int, Gt(0)], Seconds]]
    """Model calls and seconds of each phase that was not reused from an earlier edit."""
    rest: Seconds
    """Seconds of everything else: previews, shadows, holes."""
    load: Seconds | None
    """Seconds of loading the model; None if it was loaded already."""
    memory: Annotated[float, Interval(ge=0, le=1e9)] | None
    """Peak, in MiB."""


_FILE = TypeAdapter(tuple[Measured, ...])


@dataclass(frozen=True)
class Estimate:
    """What an edit will probably take; None stands for what is not known yet."""

    seconds: float | None
    """Of the edit with all of its variants, once the model is loaded."""
    load_seconds: float | None
    """Of loading the model before; 0 if it is loaded."""
    memory_mib: float | None
    """Peak of the accelerator; without one, of the process."""


class Estimates:
    """Remembers what edits took; for any number of threads."""

    def __init__(self, path: Path | None = None) -> None:
        """Remember in memory, and in a file if one is given; a damaged file is ignored with a line in the log."""
        self._path = path
        self.known: tuple[Measured, ...] = () if path is None else _read(path)
        """The oldest first."""
        self._changing = threading.Lock()

    def add(self, measured: Measured) -> None:
        """Remember an edit; a file that cannot be written costs a line in the log."""
        with self._changing:
            self.known = (*self.known, measured)[-MOST:]
            if self._path is not None:
                _write(self._path, self.known)

    def of(
        self, job: EditJob, variants: int = 1, *, loaded: bool = True, inverted: bool = False, shared: bool = False
    ) -> Estimate:
        """What a job will take.

        Args:
            job: what is to be done.
            variants: how many times, with other seeds.
            loaded: the model is there.
            inverted: the picture is, too.
            shared: variants share the inverted picture.
        """
        runs = [run for run in self.known if run.model == model_key(job.model)]
        pixels, (h, w) = _pixels(settled_size(job), job.source.size), job.source.size
        inverting = _seconds_of(
            runs, pixels, {name: calls for name, calls in model_calls(job.config) if name in _INVERTING}
        )
        editing = _seconds_of(runs, pixels, {name: n for name, n in model_calls(job.config) if name not in _INVERTING})
        rest = _scaled(runs, h * w, lambda run: run.picture, lambda run: run.rest)
        seconds = None
        if inverting is not None and editing is not None and rest is not None:
            times = (0 if inverted else 1) if inverted or shared else variants
            seconds = variants * (editing + rest) + times * inverting
        loads = [run.load for run in runs if run.load is not None][-_LOOKED_AT:]
        near = [run for run in _nearest(runs, pixels, lambda run: run.pixels) if _apart(run.pixels, pixels) <= _CLOSE]
        return Estimate(
            seconds=seconds,
            load_seconds=0.0 if loaded else median(loads) if loads else None,
            memory_mib=max((run.memory for run in near if run.memory is not None), default=None),
        )


def measured(job: EditJob, result: EditResult, events: Sequence[Event], seconds: float, load: float | None) -> Measured:
    """What a finished job took.

    Args:
        job: what was done.
        result: what came out.
        events: all of the job's.
        seconds: from its begin to its end.
        load: of these, those of loading the model; None if it was loaded before.
    """
    calls: dict[str, int] = {}
    phases: dict[str, tuple[int, float]] = {}
    for event in events:
        if isinstance(event, Stepped):
            calls[event.phase] = event.index
        elif isinstance(event, Finished) and calls.get(event.phase):
            before = phases.get(event.phase, (0, 0.0))
            phases[event.phase] = before[0] + calls[event.phase], before[1] + event.seconds
    h, w = job.source.size
    return Measured(
        model=model_key(job.model),
        pixels=_pixels(result.provenance.recipe.config.size, job.source.size),
        picture=h * w,
        phases=phases,
        rest=max(0.0, seconds - (load or 0) - sum(spent for _, spent in phases.values())),
        load=load,
        memory=result.provenance.peak_memory_mib,
    )


def model_key(model: ModelOptions) -> str:
    """A digest of a model, how it is loaded, and this machine; it names none of them."""
    said = [platform.node(), asdict(replace(settled_model(model), fingerprint=None))]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def settled_size(job: EditJob) -> SizeConfig:
    """The size at which the model will work, with the window."""
    return settled(job.config.size, job.source.size, job.task, _MULTIPLE)


def _pixels(size: SizeConfig, picture: tuple[int, int]) -> int:
    left, top, right, bottom = size.box or (0, 0, picture[1], picture[0])
    return min(size.max_pixels, (right - left) * (bottom - top))


def model_calls(config: EditConfig) -> list[tuple[str, int]]:
    """Model calls of each phase, in order; a test compares them with those of real edits."""
    bridges = [("bridge", 1)] if config.start.mode == "bridge" else []
    return bridges + (_inverting_calls(config) if config.inverts else [])


def _inverting_calls(config: EditConfig) -> list[tuple[str, int]]:
    inversion, start, dragging = config.inversion, config.start, config.optimise.moving + config.optimise.refining
    intervals = inversion.steps - inversion.skip
    proposes = start.mode in ("preview", "bridge") or (start.mode == "warp" and start.fill == "inpaint")
    solves = config.solves_back
    return [
        (name, calls)
        for name, calls in (
            ("encode", 1),
            ("invert", _recorded_calls(config, inversion.calls(intervals))),
            ("start", inversion.calls(math.ceil(intervals / start.stride)) if proposes and solves else 0),
            ("drag", dragging),
            ("denoise", inversion.calls(intervals) * (2 if config.denoise.background == "resample" else 1)),
            ("decode", 1),
        )
        if calls
    ]


def _recorded_calls(config: EditConfig, calls: int) -> int:
    """Of so many of an inversion, those that are made."""
    if config.solves_back or config.injects:
        return calls
    return math.ceil(calls / config.tokens.every) if config.records else 0


def _seconds_of(runs: Sequence[Measured], pixels: int, calls: dict[str, int]) -> float | None:
    """Of phases with so many calls; None if one of them was never seen."""
    total = 0.0
    for name, count in calls.items():
        seen = [run for run in runs if name in run.phases]
        each = _scaled(seen, pixels, lambda run: run.pixels, lambda run, name=name: _each(run, name))
        if each is None:
            return None
        total += count * each
    return total


def _each(run: Measured, phase: str) -> float:
    calls, seconds = run.phases[phase]
    return seconds / calls


def _scaled(
    runs: Sequence[Measured], size: int, size_of: Callable[[Measured], int], cost_of: Callable[[Measured], float]
) -> float | None:
    """The median cost of the edits that are nearest in size, in proportion to the size."""
    costs = [cost_of(run) * size / size_of(run) for run in _nearest(runs, size, size_of)]
    return median(costs) if costs else None


def _nearest(runs: Sequence[Measured], size: int, size_of: Callable[[Measured], int]) -> list[Measured]:
    """The last few of those whose size is nearest."""
    apart = [round(_apart(size_of(run), size), 1) for run in runs]
    return [run for run, far in zip(runs, apart, strict=True) if far == min(apart)][-_LOOKED_AT:]


def _apart(one: int, other: int) -> float:
    return abs(math.log(one / other))


def _read(path: Path) -> tuple[Measured, ...]:
    try:
        return _FILE.validate_json(path.read_bytes())[-MOST:]
    except FileNotFoundError:
        return ()
    except (OSError, ValidationError) as error:
        _log.warning("what edits took before is not known: %s cannot be read (%s)", path, type(error).__name__)
        return ()


def _write(path: Path, known: tuple[Measured, ...]) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_bytes(path, _FILE.dump_json(known))
    except (OSError, UserError) as error:
        _log.warning("what edits took is not kept: %s", error)
