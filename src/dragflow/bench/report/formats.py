"""How numbers are written in reports, the same in every kind of file."""

from __future__ import annotations

import math

from dragflow.bench.metrics.catalogue import Metric
from dragflow.bench.report.tables import Cost, Report
from dragflow.bench.runs import ScoredRun
from dragflow.bench.statistics import Estimate, Statistic

NOTHING = "–"
ARROWS = {"up": "↑", "down": "↓"}


def number(value: float, digits: int, *, signed: bool = False) -> str:
    """A number with so many digits after the point; NaN as a dash."""
    if math.isnan(value):
        return NOTHING
    text = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    if not text.strip("+-0."):  # -0.00 and +0.00 are 0.00
        text = text.lstrip("+-")
    return text.replace("-", "−")


def interval(e: Estimate, digits: int, *, signed: bool = False) -> str:
    """The confidence interval; "" if there is none."""
    if math.isnan(e.low):
        return ""
    return f"[{number(e.low, digits, signed=signed)}, {number(e.high, digits, signed=signed)}]"


def p_value(p: float) -> str:
    """A p-value with three digits."""
    return NOTHING if math.isnan(p) else "<0.001" if p < 0.001 else f"{p:.3f}"


def title(metric: Metric) -> str:
    """Key, the direction that is better, unit."""
    return " ".join(part for part in (metric.key, ARROWS[metric.better], metric.unit) if part)


def difference_digits(metric: Metric) -> int:
    """Differences are smaller than what they are between."""
    return max(metric.digits, 2)


def cost_rows(costs: tuple[Cost, ...]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Rows about cost: a title, and a text for each run; without rows that no run has a value for."""
    rows = (
        ("first edit of a picture, s", [number(cost.first_seconds, 2) for cost in costs]),
        ("further edit of it, s", [number(cost.again_seconds, 2) for cost in costs]),
        ("model calls and iterations", [number(cost.calls, 0) for cost in costs]),
        ("peak memory, MiB", [number(cost.peak_memory_mib, 0) for cost in costs]),
    )
    return tuple((name, tuple(cells)) for name, cells in rows if any(cell != NOTHING for cell in cells))


def caption(statistic: Statistic) -> str:
    """How to read the table of all metrics."""
    return (
        f"The {statistic} over all pictures of a run that have the metric, and its 95 % confidence interval "
        "(percentile bootstrap over samples, too narrow below about ten). n is given where not every scored picture "
        "has the metric. "
        f"Bold: the best {statistic}, which may be chance. An asterisk: it is also significantly better than every "
        "other run on the samples that both have (p < 0.05, sign-flip permutation test, Holm's correction over all "
        "pairs of runs)."
    )


def comparison_caption(statistic: Statistic) -> str:
    """How to read the differences between runs."""
    return (
        f"The {statistic} of the differences on the samples that both runs have, its 95 % confidence interval, and the "
        "two-sided p of a sign-flip permutation test after Holm's correction over the comparisons of the same metric. "
        "▲ better, ▼ worse: p < 0.05."
    )


def not_compared(tools: tuple[str, ...], labels: tuple[str, ...]) -> str:
    """Why runs are not compared by a metric."""
    which = "; ".join(f"{label}: {tool or 'none'}" for label, tool in zip(labels, tools, strict=True))
    return f"Not measured with the same model, so runs of different models are not compared here ({which})."


def absent(report: Report) -> tuple[tuple[str, str], ...]:
    """What could not be measured: metrics and labels, and how to get what they need; equal reasons are merged."""
    keys: dict[tuple[str, str], list[str]] = {}
    for run in report.runs:
        for key, reason in run.tools.absent.items():
            keys.setdefault((run.header.label, reason), []).append(key)
    labels: dict[tuple[str, str], list[str]] = {}
    for (label, reason), metrics in keys.items():
        labels.setdefault((", ".join(metrics), reason), []).append(label)
    return tuple((f"{metrics} ({', '.join(runs)})", reason) for (metrics, reason), runs in labels.items())


def facts(run: ScoredRun) -> tuple[tuple[str, str], ...]:
    """What a run was made with, a title and a text each."""
    header, weights = run.header, run.header.weights
    config = header.config.hash if header.config is not None else "none"
    rows = [("method", header.method), ("configuration", config), ("data", header.data)]
    rows += [("regions of samples with points only", header.regions), ("folder", str(run.folder))]
    if weights is not None:
        model = weights.options
        parts = (model.name, model.revision, model.dtype, model.quantize, *model.lora, model.bridge)
        rows.append(("model", ", ".join(part for part in parts if part)))
        rows.append(("fingerprint of its weights", weights.fingerprint))
    if header.subject is not None:
        options = header.subject.options
        rows.append(("subject adapter", ", ".join(part for part in (options.adapter, options.weights) if part)))
        rows.append(("fingerprint of the adapter's weights", header.subject.fingerprint))
    rows.append(("versions", ", ".join(f"{name} {number}" for name, number in sorted(header.versions.items()))))
    rows.append(("perceptual distance", run.tools.perceptual or "none"))
    rows.append(("matched features", run.tools.features or "none"))
    return tuple(rows)
