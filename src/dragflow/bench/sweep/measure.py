"""Edits of a sweep, measured against the truth; what was measured once, on the same weights, is not measured again."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from dragflow.bench.metrics.suite import Suite
from dragflow.bench.metrics.truth import landing_error
from dragflow.bench.run import data_set, editor
from dragflow.bench.sample import Sample
from dragflow.bench.sweep.trials import Trial
from dragflow.core.arrays import Mask, Pixels
from dragflow.core.config import EditConfig
from dragflow.core.errors import DragFlowError, UserError
from dragflow.core.fields import STRICT
from dragflow.core.models import ModelOptions, WeightsId
from dragflow.editor.session import Session
from dragflow.editor.versions import versions
from dragflow.files.cache import cache_folder
from dragflow.service.executors import Executor
from dragflow.service.jobs import plan

_log = logging.getLogger(__name__)

LANDING, AREA = "landing", "PSNR_area"
MEASURES = (LANDING, AREA, "PSNR_target", "PSNR_vacated", "PSNR_bg")
"""Distance in pixels from where the object should be to its best match, for motions of every kind; PSNR to the true
picture in dB in the editable area, where the object should be and where it was, and to the source elsewhere."""


@dataclass(frozen=True)
class Measured:
    """What came of one trial on one sample."""

    __pydantic_config__ = STRICT

    key: str
    """Digest of all that it depends on."""
    trial: str
    sample: str
    values: dict[str, float]
    """By the measure; empty of an edit that failed."""
    error: str = ""


@dataclass(frozen=True)
class Setup:
    """What is swept, and on which data."""

    model: ModelOptions
    weights: WeightsId
    data: str
    """As for `open_data`."""


@dataclass(frozen=True)
class _Job:
    setup: Setup
    sample: str
    trial: Trial
    key: str


def measure(
    setup: Setup, trials: Sequence[Trial], samples: Sequence[str], known: Log, executor: Executor
) -> Iterator[Measured]:
    """Every trial on every sample, one sample after the other, so that all trials have the same whenever it stops.

    Args:
        setup: what is swept, and where.
        trials: what is tried.
        samples: of the data.
        known: what was measured before, and where what is measured now is appended.
        executor: runs the edits.

    Raises:
        UserError: a sample cannot be read, or its true picture is not known.
    """
    jobs: list[_Job] = []
    for name in samples:
        digest = _sample(setup.data, name)[0].sha256
        for trial in trials:
            job = _Job(setup, name, trial, _key(setup, digest, trial.config))
            found = known.get(job.key)
            if found is None:
                jobs.append(job)
            else:
                yield replace(found, trial=trial.name)  # two trials may be the same by different names
    for found in executor.run(_measure, jobs):
        known.add(found)
        yield found


def _key(setup: Setup, sample: str, config: EditConfig) -> str:
    weights, options = setup.weights.fingerprint, setup.weights.options
    loaded = [weights, options.dtype, options.quantize, options.lora]
    said = json.dumps([loaded, sample, asdict(config), versions()], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:24]


def _measure(job: _Job, device: str | None) -> Measured:
    """One edit; an error of the edit is a result."""
    try:
        values = _values(job, device)
    except DragFlowError as error:
        return Measured(job.key, job.trial.name, job.sample, {}, str(error))
    return Measured(job.key, job.trial.name, job.sample, values)


def _values(job: _Job, device: str | None) -> dict[str, float]:
    (sample, truth, target), config = _sample(job.setup.data, job.sample), job.trial.config
    asked = plan(sample.image, sample.asked, config, job.setup.model)
    session = _session(job.setup.data, job.sample, job.setup.model.on(device))
    pixels = session.edit(asked.task, config).pixels
    scores = Suite().score(sample, pixels) | {LANDING: landing_error(pixels, truth, target)}
    return {name: scores[name] for name in MEASURES if name in scores}


@lru_cache(maxsize=1)
def _session(data: str, sample: str, model: ModelOptions) -> Session:
    """The trials of one picture share what they can of its inversion."""
    loaded, (source, _, _) = editor(model), _sample(data, sample)
    return Session(loaded.backbone, source.image, source.asked.prompt)


@lru_cache(maxsize=2)
def _sample(data: str, name: str) -> tuple[Sample, Pixels, Mask]:
    """A sample with its true picture, and where the object is in that."""
    sample = data_set(data, None).load(name)
    if sample.truth is None or sample.target_mask is None:
        raise UserError(
            f"the true picture of sample {name} in {data} is not known, and a sweep measures against it: give "
            "world:COUNT, or a folder of exported scenes"
        )
    return sample, sample.truth, sample.target_mask


class Log:
    """What was measured of some weights, a JSON object a line: a sweep that was stopped is resumed from it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found = {one.key: one for one in _read(path)}

    @staticmethod
    def of(weights: WeightsId) -> Log:
        """The log of these weights in the user's cache."""
        return Log(cache_folder("sweeps", f"{weights.fingerprint}.jsonl"))

    def get(self, key: str) -> Measured | None:
        """What was measured under a key."""
        return self._found.get(key)

    def add(self, one: Measured) -> None:
        """Append a result; it is on the disk when this returns.

        Raises:
            UserError: it cannot be written.
        """
        self._found[one.key] = one
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as log:
                # After a kill in the middle of a line, which then counts for nothing.
                log.write((b"\n" if log.tell() else b"") + json.dumps(asdict(one)).encode())
                log.flush()
                os.fsync(log.fileno())
        except OSError as error:
            raise UserError(f"{self._path} cannot be written ({error.strerror}): mend that, then resume") from error


def _read(path: Path) -> Iterator[Measured]:
    """The results in a log; a line that is not one, as the last of a process that was killed, is measured again."""
    adapter = TypeAdapter(Measured)
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): mend that, or delete it") from error
    for number, line in enumerate(lines, 1):
        try:
            yield adapter.validate_json(line)
        except ValidationError:
            if line:
                _log.warning("line %d of %s is damaged, and is measured again", number, path)


def by_trial(found: Sequence[Measured]) -> Mapping[str, Mapping[str, Mapping[str, float]]]:
    """Values by trial, measure and sample; an edit that failed has none."""
    columns: dict[str, dict[str, dict[str, float]]] = {}
    for one in found:
        column = columns.setdefault(one.trial, {measure: {} for measure in MEASURES})
        for name, value in one.values.items():
            column[name][one.sample] = value
    return columns
