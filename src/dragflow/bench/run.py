"""One method on every sample of a data set: resumable, failures recorded, nothing done twice."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from dragflow.bench.data.points import RegionRule
from dragflow.bench.data.registry import open_data
from dragflow.bench.executor import Executor
from dragflow.bench.methods import Outcome, run_with_model, run_without_model
from dragflow.bench.runs import RunHeader, RunRecord, add_record, opened, picture_path, read_records
from dragflow.bench.sample import DataSet, Pixels
from dragflow.core.config import EditConfig
from dragflow.core.errors import UserError
from dragflow.core.result import IdentityOptions, IdentityRecord, ModelIdentity
from dragflow.io.files import write_bytes
from dragflow.io.images import encode_png, from_pixels

if TYPE_CHECKING:
    from dragflow.editor import Editor

_PACKAGES = ("dragflow", "torch", "diffusers", "transformers", "numpy", "opencv-python-headless")


@dataclass(frozen=True)
class ModelChoice:
    """Which model to load, and how; see `Editor.load`."""

    id: str
    revision: str | None = None
    dtype: str | None = None
    quantize: str | None = None
    offload: bool = False
    lora: tuple[str, ...] = ()
    identity: IdentityOptions | None = None


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
    model: ModelChoice | None


@dataclass(frozen=True)
class _Job:
    plan: Plan
    sample: str
    out: Path


def run(plan: Plan, ids: Sequence[str], out: Path, executor: Executor, *, retry: bool = False) -> Iterator[RunRecord]:
    """Run a method on samples, those that `out` holds already first and not again.

    Args:
        plan: what to run.
        ids: samples of the data set.
        out: folder of the run; made, or gone on with when it holds the same run.
        executor: where the work is done.
        retry: make failed samples again.

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
    """What the plan is recorded as; loads the model to know its weights."""
    model, identity = next(iter(executor.run(_identify, [plan.model]))) if plan.model is not None else (None, None)
    return RunHeader(
        data=plan.data,
        data_name=data_set(plan.data, plan.regions).name,
        regions=plan.regions,
        method=plan.method,
        label=plan.label,
        config=plan.config,
        model=model,
        versions={"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        identity=identity,
    )


def save_picture(folder: Path, sample: str, image: Pixels) -> str:
    """Write an edited picture whole or not at all; gives the digest of the file."""
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
        sample.task  # noqa: B018  # an instruction that breaks a rule is the sample's fault, not the method's
    except UserError as error:
        return RunRecord(job.sample, "unreadable", str(error))
    try:
        if plan.model is None or plan.config is None:
            outcome = run_without_model(plan.method, sample)
        else:
            outcome = run_with_model(editor(plan.model, device), plan.config, sample)
    except Exception as error:  # whatever a method raises on one sample must not cost the others
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


def _identify(model: ModelChoice, device: str | None) -> tuple[ModelIdentity, IdentityRecord | None]:
    loaded = editor(model, device)
    return loaded.backbone.identity(), None if loaded.adapter is None else loaded.adapter.record


@cache
def editor(model: ModelChoice, device: str | None) -> Editor:
    """A model, loaded once in a process."""
    from dragflow.editor import Editor

    return Editor.load(
        model.id,
        revision=model.revision,
        device=device,
        dtype=model.dtype,
        quantize=model.quantize,
        offload=model.offload,
        lora=model.lora,
        identity=model.identity,
    )


@cache
def data_set(spec: str, regions: RegionRule) -> DataSet:
    """A data set, opened once in a process."""
    return open_data(spec, regions)
