"""The commands that reproduce a run, its scores and the report, rebuilt from what the run recorded."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict, fields, is_dataclass

from dragflow.bench.data.points import DEFAULT_RULE
from dragflow.bench.data.registry import PAINTED
from dragflow.bench.folder import effective_config, flat
from dragflow.bench.methods import WITH_MODEL, WITHOUT_MODEL
from dragflow.bench.runs import ScoredRun
from dragflow.bench.sample import DataSet
from dragflow.bench.statistics import Statistic
from dragflow.core.config import EditConfig
from dragflow.files.presets import load_preset, preset_names

_PROGRAM = ("dragflow", "bench")


def make(run: ScoredRun, data: DataSet | None) -> str:
    """`dragflow bench run` or, for the pictures of another program, `import`; `data` shows if it was run in part."""
    header = run.header
    end = ["-o", str(run.folder), "--label", header.label]
    if header.regions not in (PAINTED, DEFAULT_RULE):
        end += ["--regions", header.regions]
    if header.method not in WITH_MODEL and header.method not in WITHOUT_MODEL:
        return shlex.join([*_PROGRAM, "import", header.data, "RESULTS", *end])
    words = [*_PROGRAM, "run", header.data, *end, "--method", header.method]
    if (config := effective_config(header)) is not None:
        preset, settings = as_settings(config, WITH_MODEL.get(header.method) or "")
        words += ["--preset", preset, *(word for setting in settings for word in ("--set", setting))]
    if header.weights is not None:
        words += _words(header.weights.options)
    if header.subject is not None:
        words += _words(header.subject.options, "subject.")
    if data is not None and len(run.records) < len(data.ids):
        words += ["--limit", str(len(run.records))]
    return shlex.join(words)


def score(runs: Sequence[ScoredRun]) -> list[str]:
    """`dragflow bench score`, once for each choice of features."""
    folders: dict[tuple[str, ...], list[str]] = {}
    for run in runs:
        folders.setdefault(_features(run.tools.features), []).append(str(run.folder))
    return [shlex.join([*_PROGRAM, "score", *names, *options]) for options, names in folders.items()]


def report(
    runs: Sequence[ScoredRun],
    suffix: str,
    base: str | None,
    statistic: Statistic,
    metrics: Sequence[str] | None,
    gallery: int | None,
) -> str:
    """`dragflow bench report`."""
    words = [*_PROGRAM, "report", *(str(run.folder) for run in runs), "-o", f"report{suffix}"]
    words += ["--base", base] if base is not None else []
    words += ["--statistic", statistic] if statistic != "mean" else []
    words += [word for metric in metrics or () for word in ("--metric", metric)]
    return shlex.join(words + (["--gallery", str(gallery)] if gallery is not None else []))


def as_settings(config: EditConfig, preferred: str) -> tuple[str, list[str]]:
    """The preset closest to a configuration, and the settings in which they differ.

    Among presets that are equally close, the preferred one is taken.
    """
    wanted = flat(asdict(config))
    changes: dict[str, list[str]] = {}
    for name in preset_names():
        preset = flat(asdict(load_preset(name)))
        changes[name] = [f"{key}={_text(value)}" for key, value in wanted.items() if value != preset[key]]
    closest = min(changes, key=lambda name: (len(changes[name]), name != preferred, name))
    return closest, changes[closest]


def _text(value: object) -> str:
    """A value as `--set` takes it: TOML, a string bare."""
    return value if isinstance(value, str) else json.dumps(value)


def _words(options: object, prefix: str = "") -> list[str]:
    """The options of a model as typed on the command line, without those that have their default."""
    words: list[str] = []
    for field in fields(options):  # pyright: ignore[reportArgumentType]
        value, name = getattr(options, field.name), f"--{prefix}{field.name}"
        if is_dataclass(value):
            words += _words(value, f"{prefix}{field.name}.")
        elif value != field.default:
            words += [word for one in (value if isinstance(value, tuple) else (value,)) for word in (name, str(one))]
    return words


def _features(name: str) -> tuple[str, ...]:
    """The options that give features of this name, as in "DIFT (SD 2.1)" or "taps of nano"."""
    kind, _, rest = name.partition(" ")
    if not kind:
        return ()
    model = ("--model", rest.removeprefix("of ")) if kind == "taps" else ()
    return ("--features", kind.lower(), *model)
