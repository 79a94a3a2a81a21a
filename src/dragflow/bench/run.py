"""One method on every sample of a data set: resumable, with failures recorded and nothing done twice."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from dragflow.bench.data.points import RegionRule
from dragflow.bench.data.registry import open_data
from dragflow.bench.methods import Outcome, run_with_model, run_without_model
from dragflow.bench.runs import RunHeader, RunRecord, add_record, opened, picture_path, read_records
from dragflow.bench.sample import DataSet
from dragflow.core.arrays import Pixels
from dragflow.core.config import EditConfig
from dragflow.core.errors import UserError
from dragflow.core.models import ModelOptions, SubjectId, WeightsId
from dragflow.editor.session import versions
from dragflow.files.atomic import write_bytes
from dragflow.files.pictures import encode_png, from_pixels
from dragflow.service.executors import Executor
from dragflow.service.pool import ModelPool

if TYPE_CHECKING:
    from dragflow.editor.editor import Editor


@dataclass(frozen=True)
class Plan:
    """What to run."""

    data: str
    """As for `open_data`."""
    regions: RegionRule
    method: str
    label: str
    config: EditConfig | None
    """None for methods without a model."""
    model: ModelOptions | None


@dataclass(frozen=True)
class _Job:
    plan: Plan
    sample: str
    out: Path


def run(plan: Plan, ids: Sequence[str], out: Path, executor: Executor, *, retry: bool = False) -> Iterator[RunRecord]:
    """Run a method on samples; those already recorded in `out` come first and are not run again.

    Args:
        plan: what to run.
        ids: samples of the data set.
        out: folder of the run; created, or resumed if it holds the same run.
        executor: runs the samples.
        retry: run failed samples again.

    Raises:
        UserError: `out` holds another run, or the model cannot be loaded.
    """
    with opened(out, header(plan, executor)):
        known = {record.sample: record for record in read_records(out) if not (retry and record.status != "done")}
        yield from (known[sample] for sample in ids if sample in known)
        for record in executor.run(_make, [_Job(plan, sample, out) for sample in ids if sample not in known]):
            add_record(out, record)
            yield record


def header(plan: Plan, executor: Executor) -> RunHeader:
    """The record of a plan; loads the model to fingerprint its weights."""
    weights, subject = next(iter(executor.run(_weights, [plan.model]))) if plan.model is not None else (None, None)
    return RunHeader(
        data=plan.data,
        data_name=data_set(plan.data, plan.regions).name,
        regions=plan.regions,
        method=plan.method,
        label=plan.label,
        config=plan.config,
        weights=weights,
        versions=versions(),
        subject=subject,
    )


def save_picture(folder: Path, sample: str, image: Pixels) -> str:
    """Write an edited picture atomically; returns the SHA-256 of the file."""
    data = encode_png(from_pixels(image), image)
    path = picture_path(folder, sample)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, data)
    return hashlib.sha256(data).hexdigest()


def _make(job: _Job, device: str | None) -> RunRecord:
    """One sample from loading to the written picture; an error is a record, not the end of the run."""
    plan = job.plan
    try:
        sample = data_set(plan.data, plan.regions).load(job.sample)
        sample.task  # noqa: B018  # an invalid instruction is the sample's fault, not the method's
    except UserError as error:
        return RunRecord(job.sample, "unreadable", str(error))
    try:
        if plan.model is None or plan.config is None:
            outcome = run_without_model(plan.method, sample)
        else:
            outcome = run_with_model(on_device(plan.model, device), pool(), plan.config, sample)
    except Exception as error:  # no error on one sample may cost the others
        return RunRecord(job.sample, "failed", f"{type(error).__name__}: {error}", source_sha256=sample.image.sha256)
    return _record(job.sample, outcome, sample.image.sha256, save_picture(job.out, job.sample, outcome.image))


def _record(sample: str, outcome: Outcome, source: str, picture: str) -> RunRecord:
    return RunRecord(
        sample=sample,
        status="done",
        open_seconds=round(outcome.open_seconds, 4),
        edit_seconds=round(outcome.edit_seconds, 4),
        calls=outcome.calls,
        peak_memory_mib=outcome.peak_memory_mib,
        source_sha256=source,
        picture_sha256=picture,
    )


def _weights(model: ModelOptions, device: str | None) -> tuple[WeightsId, SubjectId | None]:
    loaded = editor(model, device)
    return loaded.backbone.weights, None if loaded.adapter is None else loaded.adapter.record


def editor(model: ModelOptions, device: str | None = None) -> Editor:
    """A model, loaded once in a process; on `device` if it is given."""
    return pool().get(on_device(model, device))


def on_device(model: ModelOptions, device: str | None) -> ModelOptions:
    """The options, with their device replaced by that of the executor if it has one."""
    return replace(model, device=device or model.device)


@cache
def pool() -> ModelPool:
    """The models of this process."""
    return ModelPool(size=2)


@cache
def data_set(spec: str, regions: RegionRule) -> DataSet:
    """A data set, opened once in a process."""
    return open_data(spec, regions)
