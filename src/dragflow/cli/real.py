"""`dragflow bench real` and `bench check`: a model on the published data sets, and the archive of somebody else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge
from cyclopts import Parameter

from dragflow.cli.options import ModelArgs, Output
from dragflow.cli.samples import follow, track
from dragflow.cli.terminal import complain, say
from dragflow.core.models import ModelOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dragflow.bench.metrics.suite import Suite
    from dragflow.bench.real.study import Part

FolderArg = Annotated[
    str,
    Parameter(name="DATA", help="Folders with ReD Bench, DragBench, DragBench-DR or -SR, VFD-Bench, one for each."),
]


def real(
    *data: FolderArg,
    output: Annotated[Path, Output],
    preset: tuple[str, ...] = (),
    model: ModelArgs = ModelOptions(),
    devices: tuple[str, ...] = (),
    limit: Annotated[int, Ge(1)] | None = None,
    retry: bool = False,
    dift: str | None = None,
    lpips: Path | None = None,
    pictures: bool = False,
) -> int:
    """Measure a model on the published data sets: a table beside the paper's, a page, an archive. Resumed if stopped.

    Parameters
    ----------
    output
        Folder of the study.
    preset
        Run this preset. Repeatable. [default: the one that serves the model best, and paper]
    devices
        One process on each of these devices. Repeatable.
    limit
        Only the first N samples of each data set, to try it out.
    retry
        Try failed samples again.
    dift
        Stable Diffusion 2.1 for mean distances, a folder or a hub id. [default: $DRAGFLOW_DIFT]
    lpips
        Weights of LPIPS, or their folder. [default: $DRAGFLOW_LPIPS]
    pictures
        Put the edited pictures into the archive; the data sets' licences must allow it.
    """
    from dragflow.backbones.quiet import silence_libraries
    from dragflow.bench.real.networks import load_networks
    from dragflow.bench.real.outputs import ARCHIVE, PAGE, TABLE, check_page, write_outputs
    from dragflow.bench.real.study import circumstances, parts, presets_for
    from dragflow.bench.run import pool
    from dragflow.bench.run import run as run_samples
    from dragflow.files.outputs import check_folder
    from dragflow.service.executors import executor

    check_page()
    study = parts(data, presets_for(model, preset), model, output, limit)
    check_folder(output)
    silence_libraries()
    load_networks(dift, lpips, model.device)  # what was named and is missing is said before hours of work
    for part in study:
        part.folder.parent.mkdir(parents=True, exist_ok=True)
    with executor(devices, None, silence_libraries, None) as workers:
        for part in study:
            records = run_samples(part.plan, part.ids, part.folder, workers, retry=retry)
            follow(records, len(part.ids), part.folder)
    pool().clear()  # metrics have the accelerator for themselves
    _score(study, load_networks(dift, lpips, model.device))
    say(write_outputs(output, circumstances(study, limit), pictures=pictures))
    say(f"{output / TABLE}, {output / PAGE}, {output / ARCHIVE}")
    return 0


def check(
    archive: Annotated[Path, Parameter(name="ARCHIVE")],
    /,
    *data: FolderArg,
    dift: str | None = None,
    lpips: Path | None = None,
    device: str | None = None,
) -> int:
    """Check an archive of `bench real`: digests, table, and, with data sets, their samples and the pictures' scores.

    Parameters
    ----------
    archive
        What `bench real` has written.
    dift
        As for `bench real`.
    lpips
        As for `bench real`.
    device
        Of the metrics' networks, as torch names it.
    """
    from tempfile import TemporaryDirectory

    from dragflow.backbones.quiet import silence_libraries
    from dragflow.bench.real.check import check as check_archive
    from dragflow.bench.real.networks import load_networks

    def networks() -> Suite:
        silence_libraries()
        return load_networks(dift, lpips, device)

    with TemporaryDirectory(prefix="dragflow-") as work:
        found = check_archive(archive, data, networks, Path(work))
    say(found.table)
    for line in found.unchecked:
        complain(f"not checked: {line}")
    for line in found.differences:
        complain(f"differs: {line}")
    say(f"{archive}: {len(found.differences)} differences" if found.differences else f"{archive}: nothing differs")
    return 1 if found.differences else 0


def _score(study: Sequence[Part], suite: Suite) -> None:
    """Measure the runs of which not every picture has been measured with these networks."""
    from dragflow.bench.folder import write_scores
    from dragflow.bench.real.study import is_scored
    from dragflow.bench.run import data_set
    from dragflow.bench.score import scorable, score

    for part in study:
        if is_scored(part.folder, suite.tools()):
            continue
        samples = data_set(part.plan.data, None)
        total = len(scorable(part.folder, samples))
        scores = track(score(part.folder, samples, suite), total, f"scoring {part.folder}")
        write_scores(part.folder, suite.tools(), list(scores))
