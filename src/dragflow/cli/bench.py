"""`dragflow bench`: run methods on data sets, score their pictures, report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from dragflow.cli.options import ConfigArgs, ConfigOptions, ForceArg, ModelArgs, Output, changed, refuse_unused
from dragflow.cli.real import check, real
from dragflow.cli.samples import follow, track
from dragflow.cli.spelling import spelled
from dragflow.cli.terminal import complain, say
from dragflow.core.errors import UserError
from dragflow.core.models import ModelOptions
from dragflow.core.text import one_line

if TYPE_CHECKING:
    from dragflow.bench.run import Plan
    from dragflow.bench.sample import DataSet

app = App(name="bench", help="Run methods on data sets, score their pictures, report.")
app.command(real)
app.command(check)

Rule = Literal["disc", "thing", "mask"]

DataArg = Annotated[str, Parameter(name="DATA", help="A data set's folder, or `world:COUNT` of the built-in scenes.")]
RunsArg = Annotated[list[Path], Parameter(name="RUN", help="Folders of runs.")]
Regions = Annotated[
    Rule,
    Parameter(help="Regions of samples that have points only: discs, the things there, or their mask."),
]
Out = Annotated[Path, Output]
Positive = Annotated[int, Parameter(validator=lambda _, n: _positive(n))]


@app.command
def data(path: DataArg, /, *, regions: Regions | None = None) -> int:
    """Load every sample of a data set; print what was found and what is wrong."""
    from dragflow.bench.data.registry import check, open_data

    found = check(open_data(path, regions))
    say(found.text())
    return 0 if found.loaded else 2


@app.command
def run(
    path: DataArg,
    /,
    *,
    output: Out,
    method: str = "dragflow",
    config: ConfigArgs = ConfigOptions(),
    label: str | None = None,
    model: ModelArgs = ModelOptions(),
    devices: tuple[str, ...] = (),
    processes: Positive | None = None,
    ray: str | None = None,
    regions: Regions | None = None,
    limit: Positive | None = None,
    retry: bool = False,
) -> int:
    """Run a method on every sample. A run that was stopped is resumed.

    Parameters
    ----------
    output
        Folder of the run.
    method
        dragflow, point, regiondrag, text; without a model: paste, paste-inpaint, relocate-paste, preview.
    label
        The method's name in tables.
    devices
        One process on each of these devices. Repeatable.
    processes
        Processes of one thread each, on the CPU. [default: 1; with --ray all that the cluster has room for]
    ray
        Address of a Ray cluster whose nodes do the work; auto: one that runs here, or is started here.
    limit
        Only the first N samples.
    retry
        Try failed samples again.
    """
    from dragflow.backbones.quiet import silence_libraries
    from dragflow.bench.run import data_set
    from dragflow.bench.run import run as run_samples
    from dragflow.service.executors import executor

    plan = _plan(path, regions, method, label, config, model, devices)
    samples = data_set(path, regions).ids[:limit]
    quiet = silence_libraries if plan.model is not None else None
    if quiet is not None:
        quiet()
    with executor(devices, processes, quiet, ray) as workers:
        return follow(run_samples(plan, samples, output, workers, retry=retry), len(samples), output)


@app.command(name="import")
def import_(
    path: DataArg,
    results: Annotated[Path, Parameter(name="RESULTS")],
    /,
    *,
    output: Out,
    label: str,
    regions: Regions | None = None,
) -> int:
    """Take in pictures that another program made, as a run to be scored.

    Parameters
    ----------
    results
        Folder with a picture named by each sample.
    output
        Folder of the run.
    label
        The method's name in tables.
    """
    from dragflow.bench.external import import_results
    from dragflow.bench.run import data_set

    return follow(import_results(path, regions, results, label, output), len(data_set(path, regions).ids), output)


@app.command
def score(
    runs: RunsArg,
    /,
    *,
    features: str = "none",
    model: str | None = None,
    lpips: Path | None = None,
    data: str | None = None,
    device: str | None = None,
) -> None:
    """Measure every picture of runs with every metric that applies.

    Parameters
    ----------
    features
        What mean distances match: dift, dinov2, taps (of --model), or none.
    model
        Model of --features; for taps as for `edit`.
    lpips
        Weights of LPIPS, or their folder. [default: $DRAGFLOW_LPIPS]
    data
        Where the data are, if not where the run found them.
    device
        As torch names it.
    """
    from dragflow.backbones.quiet import silence_libraries
    from dragflow.bench.data.registry import rule_named
    from dragflow.bench.folder import write_scores
    from dragflow.bench.metrics.suite import load_suite
    from dragflow.bench.run import data_set
    from dragflow.bench.runs import read_header
    from dragflow.bench.score import scorable
    from dragflow.bench.score import score as score_run
    from dragflow.files.models import settled_model
    from dragflow.files.outputs import check_folder

    headers = {folder: read_header(folder) for folder in runs}
    places = {folder: (data or header.data, header.regions) for folder, header in headers.items()}
    sets = {folder: data_set(place, rule_named(place, rule)) for folder, (place, rule) in places.items()}
    totals = {folder: len(scorable(folder, samples)) for folder, samples in sets.items()}
    for folder in runs:
        check_folder(folder)
    silence_libraries()
    taps_model = settled_model(ModelOptions(model)).name if features == "taps" else model
    suite = load_suite(features=features, model=taps_model, lpips=lpips, device=device)
    for folder, samples in sets.items():
        scores = track(score_run(folder, samples, suite), totals[folder], f"scoring {folder}")
        write_scores(folder, suite.tools(), list(scores))
    absent = suite.tools().absent
    for reason in dict.fromkeys(absent.values()):
        keys = ", ".join(key for key in absent if absent[key] == reason)
        complain(one_line(f"not measured: {keys}: {spelled(reason)}"))


@app.command
def report(
    runs: RunsArg,
    /,
    *,
    output: Out,
    base: str | None = None,
    statistic: Literal["mean", "median"] = "mean",
    metric: tuple[str, ...] = (),
    gallery: Annotated[int | None, Parameter(validator=lambda _, n: _positive(n, 0))] = None,
    data: str | None = None,
    force: ForceArg = False,
) -> None:
    """Make one report of scored runs: tables with confidence intervals, comparisons, a gallery.

    Parameters
    ----------
    output
        The report: .html, .md or .csv.
    base
        Label of the run that others are compared with.
    statistic
        What tables show.
    metric
        Show only these metrics. Repeatable.
    gallery
        At most so many samples in the gallery.
    data
        Where the data are, if not where the runs found them.
    """
    from dragflow.bench.report import write_report
    from dragflow.bench.runs import read_scored
    from dragflow.files.outputs import check_outputs, named_files

    scored = [read_scored(folder) for folder in runs]
    check_outputs(output, inputs=named_files(runs, data, [run.header.data for run in scored]), force=force)
    places = {(run.header.data, run.header.regions) for run in scored}
    found = {(place, rule): _data_if_available(data or place, rule) for place, rule in places}
    write_report(scored, found, output, base=base, statistic=statistic, metrics=metric or None, gallery=gallery)


@app.command
def fidelity(*, scenes: Positive = 24, model: ModelArgs = ModelOptions(), preset: str = "default") -> None:
    """Measure what a model gives back before any edit: its autoencoder, and inversion and sampling.

    Parameters
    ----------
    scenes
        How many held-out scenes of the procedural world.
    preset
        Preset whose time grid is used.
    """
    from dragflow.backbones.quiet import silence_libraries
    from dragflow.bench.fidelity import fidelity as measure
    from dragflow.bench.run import editor
    from dragflow.files.presets import load_preset

    silence_libraries()
    found = measure(editor(model).backbone, range(scenes), load_preset(preset))
    say(
        f"median of {found.scenes} scenes: autoencoder {found.autoencoder:.1f} dB on scenes, "
        f"{found.photographs:.1f} dB on photographs; inversion and sampling {found.inversion:.1f} dB to the "
        "autoencoder's own reconstruction"
    )


def _positive(n: int | None, least: int = 1) -> None:
    if n is not None and n < least:
        raise ValueError(f"must be {least} or more")


def _plan(
    path: str,
    regions: Rule | None,
    method: str,
    label: str | None,
    settings: ConfigOptions,
    model: ModelOptions,
    devices: tuple[str, ...],
) -> Plan:
    from dragflow.bench.methods import WITH_MODEL, check_method
    from dragflow.bench.run import Plan

    check_method(method)
    if method not in WITH_MODEL:
        unused = [*changed(settings), *changed(model), *(["devices"] if devices else [])]
        refuse_unused(unused, f"method {method} uses no model")
        return Plan(path, regions, method, label or method, None, None)
    config = settings.config(model, WITH_MODEL[method])
    name = settings.preset or WITH_MODEL[method] or method
    seed = [] if settings.seed is None else [f"seed={settings.seed}"]
    adapter = [str(model.subject.adapter)] if model.subject else []
    given = " ".join([method, *([Path(name).stem] if name != method else []), *settings.set, *seed, *adapter])
    return Plan(path, regions, method, label or given, config, model)


def _data_if_available(path: str, rule: str) -> DataSet | None:
    """The data set, or None where it is not available: a report can do without the sources."""
    from dragflow.bench.data.registry import rule_named
    from dragflow.bench.run import data_set

    try:
        return data_set(path, rule_named(path, rule))
    except UserError as error:
        complain(one_line(f"the gallery shows results only: {error}"))
        return None
