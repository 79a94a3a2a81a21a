"""`dragflow bench`: run methods on data sets, score their pictures, report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from dragflow.cli.model import (
    ClipOption,
    Dinov2Option,
    GivenIdentity,
    IdentityOption,
    SiglipOption,
    WeightsOption,
    chosen_identity,
    chosen_model,
)
from dragflow.core.errors import UserError

if TYPE_CHECKING:
    from dragflow.bench.run import ModelChoice, Plan
    from dragflow.bench.runs import RunRecord
    from dragflow.bench.sample import DataSet

app = typer.Typer(help="Run methods on data sets, score their pictures, report.", no_args_is_help=True)

T = TypeVar("T")
Rule = Literal["disc", "mask"]

DataArg = Annotated[
    str, typer.Argument(metavar="DATA", help="A data set's folder, or `world:COUNT` of the built-in scenes.")
]
RegionsOption = Annotated[
    Rule, typer.Option("--regions", help="Regions of samples that have points only: around the points, or their mask.")
]
OutOption = Annotated[Path, typer.Option("--output", "-o", metavar="RUN", help="Folder of the run.")]


@app.command("data")
def data(path: DataArg, regions: RegionsOption = "disc") -> None:
    """Load every sample of a data set; print what was found and what is wrong."""
    from dragflow.bench.data.registry import check, open_data

    found = check(open_data(path, regions))
    typer.echo(found.text())
    if not found.loaded:
        raise typer.Exit(2)


@app.command("run")
def run(
    path: DataArg,
    out: OutOption,
    method: Annotated[
        str, typer.Option(help="dragflow, point, regiondrag, text; without a model: paste, paste-inpaint, preview.")
    ] = "dragflow",
    preset: Annotated[
        str | None, typer.Option(help="Preset name, or a .toml file. [default: the method's own]")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting. Repeatable.")
    ] = None,
    label: Annotated[str | None, typer.Option(help="The method's name in tables.")] = None,
    model: Annotated[str | None, typer.Option(help="As for `edit`. [default: $DRAGFLOW_MODEL, FLUX.1-dev]")] = None,
    revision: Annotated[str | None, typer.Option(help="Commit, tag or branch of the model on the hub.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16.")] = None,
    quantize: Annotated[str | None, typer.Option(help="int8, fp8, layerwise-fp8 or gguf:FILE.")] = None,
    offload: Annotated[bool, typer.Option("--offload", help="Keep encoders in main memory while idle.")] = False,
    lora: Annotated[list[str] | None, typer.Option(metavar="FILE[:SCALE]", help="A LoRA. Repeatable.")] = None,
    identity: IdentityOption = None,
    identity_weights: WeightsOption = None,
    identity_siglip: SiglipOption = None,
    identity_dinov2: Dinov2Option = None,
    identity_clip: ClipOption = None,
    device: Annotated[
        list[str] | None, typer.Option(help="As torch names it. Several: one process on each. Repeatable.")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="Processes of one thread each, on the CPU.")] = 1,
    regions: RegionsOption = "disc",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N samples.")] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Try failed samples again.")] = False,
) -> None:
    """Run a method on every sample. A run that was stopped goes on where it was."""
    from dragflow.bench.executor import executor
    from dragflow.bench.run import ModelChoice, data_set
    from dragflow.bench.run import run as run_samples
    from dragflow.cli.progress import silence_libraries

    adapter = chosen_identity(
        GivenIdentity(identity, identity_weights, identity_siglip, identity_dinov2, identity_clip)
    )
    choice = ModelChoice(chosen_model(model), revision, dtype, quantize, offload, tuple(lora or ()), adapter)
    plan = _plan(path, regions, method, label, preset, set_ or [], choice)
    samples = data_set(path, regions).ids[:limit]
    quiet = silence_libraries if plan.model is not None else None
    if quiet is not None:
        quiet()
    with executor(device or [], processes, quiet) as workers:
        _follow(run_samples(plan, samples, out, workers, retry=retry), len(samples), out)


@app.command("import")
def import_(
    path: DataArg,
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="Folder with a picture named by each sample.")],
    out: OutOption,
    label: Annotated[str, typer.Option(help="The method's name in tables.")],
    regions: RegionsOption = "disc",
) -> None:
    """Take in pictures that another program made, as a run to be scored."""
    from dragflow.bench.external import import_results
    from dragflow.bench.run import data_set

    _follow(import_results(path, regions, results, label, out), len(data_set(path, regions).ids), out)


@app.command("score")
def score(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs.")],
    features: Annotated[
        str, typer.Option(help="What mean distances match: dift, dinov2, taps (of --model), or none.")
    ] = "none",
    model: Annotated[str | None, typer.Option(help="Model of --features; for taps as for `edit`.")] = None,
    lpips: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Weights of LPIPS, or their folder. [default: $DRAGFLOW_LPIPS]")
    ] = None,
    path: Annotated[
        str | None, typer.Option("--data", metavar="DATA", help="Where the data are, if not where the run found them.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="As torch names it.")] = None,
) -> None:
    """Measure every picture of runs with every metric that applies."""
    from dragflow.bench.metrics.suite import load_suite
    from dragflow.bench.run import data_set
    from dragflow.bench.runs import read_header, read_records, write_scores
    from dragflow.bench.score import score as score_run
    from dragflow.cli.progress import silence_libraries

    headers = {folder: read_header(folder) for folder in runs}
    silence_libraries()
    taps_model = chosen_model(model) if features == "taps" else model
    suite = load_suite(features=features, model=taps_model, lpips=lpips, device=device)
    for folder, header in headers.items():
        data = data_set(path or header.data, _rule(header.regions))
        total = sum(record.status == "done" for record in read_records(folder))
        write_scores(folder, suite.tools(), list(_bar(score_run(folder, data, suite), total, f"scoring {folder}")))
    absent = suite.tools().absent
    for reason in dict.fromkeys(absent.values()):
        keys = ", ".join(key for key in absent if absent[key] == reason)
        typer.echo(f"not measured: {keys}: {reason}", err=True)


@app.command("report")
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of scored runs.")],
    out: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The report: .html, .md or .csv.")],
    base: Annotated[str | None, typer.Option(help="Label of the run that others are compared with.")] = None,
    statistic: Annotated[Literal["mean", "median"], typer.Option(help="What tables show.")] = "mean",
    metric: Annotated[list[str] | None, typer.Option(help="Show only these metrics. Repeatable.")] = None,
    gallery: Annotated[int | None, typer.Option(min=0, help="At most so many samples in the gallery.")] = None,
    path: Annotated[
        str | None, typer.Option("--data", metavar="DATA", help="Where the data are, if not where the runs found them.")
    ] = None,
) -> None:
    """Make one report of scored runs: tables with confidence intervals, comparisons, a gallery."""
    from dragflow.bench.report import write_report
    from dragflow.bench.runs import read_scored

    scored = [read_scored(folder) for folder in runs]
    places = {(run.header.data, run.header.regions) for run in scored}
    data = {(place, rule): _data_at_hand(path or place, _rule(rule)) for place, rule in places}
    metrics = tuple(metric) if metric else None
    write_report(scored, data, out, base=base, statistic=statistic, metrics=metrics, gallery=gallery)


@app.command("fidelity")
def fidelity(
    scenes: Annotated[int, typer.Option(min=1, help="How many held-out scenes of the procedural world.")] = 24,
    model: Annotated[str | None, typer.Option(help="As for `edit`. [default: $DRAGFLOW_MODEL, FLUX.1-dev]")] = None,
    preset: Annotated[str, typer.Option(help="Preset whose time grid is used.")] = "default",
) -> None:
    """Measure what a model gives back before any edit: its autoencoder, and inversion and sampling."""
    from dragflow.bench.fidelity import fidelity as measure
    from dragflow.bench.run import ModelChoice, editor
    from dragflow.cli.progress import silence_libraries
    from dragflow.io.presets import load_preset

    silence_libraries()
    backbone = editor(ModelChoice(chosen_model(model)), None).backbone
    found = measure(backbone, range(scenes), load_preset(preset))
    typer.echo(
        f"median of {found.scenes} scenes: autoencoder {found.autoencoder:.1f} dB on scenes, "
        f"{found.photographs:.1f} dB on photographs; inversion and sampling {found.inversion:.1f} dB to the "
        "autoencoder's own reconstruction"
    )


def _rule(text: str) -> Rule:
    return "mask" if text == "mask" else "disc"


def _plan(
    path: str, regions: Rule, method: str, label: str | None, preset: str | None, changes: list[str], model: ModelChoice
) -> Plan:
    from dragflow.bench.methods import WITH_MODEL, check_method
    from dragflow.bench.run import Plan
    from dragflow.io.presets import load_preset, override

    check_method(method)
    if method not in WITH_MODEL:
        if preset or changes or model.identity:
            raise UserError(f"method {method} uses no model: leave out --preset, --set and --identity")
        return Plan(path, regions, method, label or method, None, None)
    name = preset or WITH_MODEL[method]
    config = override(load_preset(name), changes)
    adapter = [model.identity.adapter] if model.identity else []
    given = " ".join([method, *([Path(name).stem] if name != method else []), *changes, *adapter])
    return Plan(path, regions, method, label or given, config, model)


def _follow(records: Iterator[RunRecord], total: int, out: Path) -> None:
    """Show progress, and at the end what failed."""
    found = list(_bar(records, total, str(out)))
    counts = {status: [r for r in found if r.status == status] for status in ("done", "failed", "unreadable")}
    for status in ("failed", "unreadable"):
        for record in counts[status]:
            typer.echo(f"{status}: {record.sample}: {record.error}", err=True)
    typer.echo(f"{out}: " + ", ".join(f"{len(records)} {status}" for status, records in counts.items()))
    if not counts["done"]:
        raise typer.Exit(1)


def _bar(items: Iterable[T], total: int, title: str) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import track

    yield from track(items, title, total, console=Console(stderr=True))


def _data_at_hand(path: str, regions: Rule) -> DataSet | None:
    """The data set, or None where it is not: a report can do without the sources."""
    from dragflow.bench.run import data_set

    try:
        return data_set(path, regions)
    except UserError as error:
        typer.echo(f"the gallery shows results only: {error}", err=True)
        return None
