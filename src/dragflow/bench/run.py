"""One method on every sample of a data set: resumable, with failures recorded and nothing done twice."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from dragflow.bench.data.points import RegionRule
from dragflow.bench.data.registry import open_data, rule_name
from dragflow.bench.folder import add_record, opened, save_picture
from dragflow.bench.methods import run_with_model, run_without_model
from dragflow.bench.runs import RunHeader, RunRecord, read_records
from dragflow.bench.sample import DataSet
from dragflow.bench.unchanged import check_names, is_intact, load_unchanged
from dragflow.core.arrays import Pixels
from dragflow.core.config import EditConfig
from dragflow.core.errors import UserError
from dragflow.core.models import ModelOptions, SubjectId, WeightsId
from dragflow.editor.checks import with_names
from dragflow.editor.versions import versions
from dragflow.files.models import settled_model
from dragflow.method.backbone import BackboneSpec
from dragflow.service.crew import raise_machine_fault
from dragflow.service.executors import Executor
from dragflow.service.pool import ModelPool

if TYPE_CHECKING:
    from dragflow.editor.editor import Editor


_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What to run."""

    data: str
    """As for `open_data`."""
    regions: RegionRule | None
    method: str
    label: str
    config: EditConfig | None
    """None for methods without a model."""
    model: ModelOptions | None


@dataclass(frozen=True)
class _Job:
    plan: Plan
    sample: str


@dataclass(frozen=True, eq=False)
class _Made:
    """What came of a sample; its picture is written where the run's folder is."""

    record: RunRecord
    image: Pixels | None = None


def run(plan: Plan, ids: Sequence[str], out: Path, executor: Executor, *, retry: bool = False) -> Iterator[RunRecord]:
    """Run a method on samples; those already recorded in `out` come first, and are run again only if they must be.

    That is where a picture is missing or damaged, and where a sample could not be read.

    Args:
        plan: what to run.
        ids: samples of the data set.
        out: folder of the run; created, or resumed if it holds the same run.
        executor: runs the samples.
        retry: run failed samples again.

    Raises:
        UserError: `out` holds another run, or one on data that have changed since; the model cannot be loaded.
    """
    if plan.model is not None:
        plan = replace(plan, model=settled_model(plan.model))  # short names mean nothing on another machine
    with opened(out, header(plan, executor)):
        data, records = data_set(plan.data, plan.regions), {record.sample: record for record in read_records(out)}
        check_names(out, records.values(), data)
        waiting: list[str] = []
        for sample in ids:
            if sample in records and _holds(out, records[sample], data, retry=retry):
                yield records[sample]
            else:
                waiting.append(sample)
        for made in executor.run(_make, [_Job(plan, sample) for sample in waiting], lost=_lost):
            record = made.record
            if made.image is not None:
                record = replace(record, picture_sha256=save_picture(out, record.sample, made.image))
            if record != records.get(record.sample):
                add_record(out, record)
            yield record


def _holds(out: Path, record: RunRecord, data: DataSet, *, retry: bool) -> bool:
    """Whether a record still stands, so that nothing is to be done; its sample is compared with what was recorded."""
    if record.status == "unreadable" or (record.status == "failed" and retry):
        return False
    load_unchanged(out, record, data)
    if record.status == "failed" or is_intact(out, record):
        return True
    _log.warning("the picture of sample %s in %s is missing or damaged, and is made again", record.sample, out)
    return False


def header(plan: Plan, executor: Executor) -> RunHeader:
    """The record of a plan; loads the model to fingerprint its weights."""
    weights, subject, spec = None, None, None
    if plan.model is not None:
        weights, subject, spec = next(iter(executor.run(facts, [plan.model])))
    config = plan.config
    if config is not None and spec is not None and spec.swept:
        config = with_names(config, spec)  # with another choice it would be another run
    return RunHeader(
        data=plan.data,
        data_name=data_set(plan.data, plan.regions).name,
        regions=rule_name(plan.data, plan.regions),
        method=plan.method,
        label=plan.label,
        config=config,
        weights=weights,
        versions=versions(),
        subject=subject,
    )


def _make(job: _Job, device: str | None) -> _Made:
    """One sample; an error is a record, not the end of the run.

    Raises:
        MachineFault: this process can make nothing any more.
    """
    plan = job.plan
    try:
        sample = data_set(plan.data, plan.regions).load(job.sample)
        sample.task  # noqa: B018  # an invalid instruction is the sample's fault, not the method's
    except Exception as error:  # no error on one sample may cost the others
        text = str(error) if isinstance(error, UserError) else _described(error)
        return _Made(RunRecord(job.sample, "unreadable", text))
    asked = RunRecord(job.sample, "failed", source_sha256=sample.image.sha256, request_sha256=sample.request_sha256)
    try:
        if plan.model is None or plan.config is None:
            outcome = run_without_model(plan.method, sample)
        else:
            outcome = run_with_model(plan.model.on(device), pool(), plan.config, sample)
    except Exception as error:  # as above
        raise_machine_fault(error)
        return _Made(replace(asked, error=_described(error)))
    record = replace(
        asked,
        status="done",
        open_seconds=round(outcome.open_seconds, 4),
        edit_seconds=round(outcome.edit_seconds, 4),
        calls=outcome.calls,
        peak_memory_mib=outcome.peak_memory_mib,
    )
    return _Made(record, outcome.image)


def _lost(job: _Job, why: str) -> _Made:
    """What came of a sample that no process survived."""
    return _Made(RunRecord(job.sample, "failed", why))


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def facts(model: ModelOptions, device: str | None) -> tuple[WeightsId, SubjectId | None, BackboneSpec]:
    """Which weights a model and its subject adapter have, and what the method needs to know of it."""
    loaded = editor(model, device)
    subject = None if loaded.adapter is None else loaded.adapter.record
    return loaded.backbone.weights, subject, loaded.backbone.spec


def editor(model: ModelOptions, device: str | None = None) -> Editor:
    """A model, loaded once in a process; on `device` if it is given."""
    return pool().get(model.on(device))


@cache
def pool() -> ModelPool:
    """The models of this process."""
    return ModelPool(size=2)


@cache
def data_set(spec: str, regions: RegionRule | None) -> DataSet:
    """A data set, opened once in a process."""
    return open_data(spec, regions)
