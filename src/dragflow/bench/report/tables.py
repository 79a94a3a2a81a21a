"""What a report says, as typed data: estimates, counts, costs and comparisons of the runs on each data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from dragflow.bench.data.points import DEFAULT_RULE
from dragflow.bench.data.registry import PAINTED
from dragflow.bench.metrics.catalogue import CATALOGUE, Metric
from dragflow.bench.runs import RunRecord, ScoredRun
from dragflow.bench.sample import DataSet
from dragflow.bench.statistics import Difference, Estimate, Statistic

DataSets = Mapping[tuple[str, str], DataSet | None]
"""Data sets by what the header of a run has: location, and rule of the regions; None if not available."""
Mark = Literal["", "best", "sure"]
Kind = Literal["category", "tag"]


@dataclass(frozen=True)
class Counts:
    """Outcomes of the samples of a run."""

    done: int
    failed: int
    unreadable: int
    scored: int
    """Of those done."""

    @property
    def unscored(self) -> int:
        """Made after the run was last scored."""
        return self.done - self.scored


@dataclass(frozen=True)
class Cost:
    """What an edit took: medians over the pictures that were made; NaN if unknown."""

    first_seconds: float
    """Opening the picture and editing it."""
    again_seconds: float
    """A further edit of the same picture."""
    calls: float
    peak_memory_mib: float
    """The largest of all."""


@dataclass(frozen=True)
class Group:
    """The samples of one category or with one tag."""

    kind: Kind
    name: str
    estimates: tuple[Estimate, ...]
    """One for each run."""
    to_base: tuple[Estimate | None, ...]
    """How far each run is from the base on samples of the group that both have; None where it is not compared."""


@dataclass(frozen=True)
class Comparison:
    """Two runs on the samples that both have."""

    first: int
    second: int
    difference: Difference
    """First less second."""
    adjusted: float
    """p after Holm's correction for all comparisons of its list."""
    better: int | None
    """The run that is better when that is significant."""


@dataclass(frozen=True)
class MetricTable:
    """Everything about one metric; runs are those of its section, by their index."""

    metric: Metric
    tools: tuple[str, ...]
    """The model that each run was measured with; "" if the metric needs none."""
    overall: tuple[Estimate, ...]
    marks: tuple[Mark, ...]
    """`best`: best of all that can be compared. `sure`: also significantly better than every other."""
    groups: tuple[Group, ...]
    pairs: tuple[Comparison, ...]
    """All pairs of runs that were measured with the same model."""
    to_base: tuple[Comparison, ...]
    """Every other run less the base."""

    @property
    def comparable(self) -> bool:
        """Whether all runs that have the metric were measured with the same model."""
        return len({tool for tool, e in zip(self.tools, self.overall, strict=True) if e.n}) <= 1


@dataclass(frozen=True)
class Section:
    """The runs on one data set."""

    data_name: str
    regions: str
    runs: tuple[ScoredRun, ...]
    base: int | None
    """None if the run that others are compared with did not use these data."""
    counts: tuple[Counts, ...]
    costs: tuple[Cost, ...]
    metrics: tuple[MetricTable, ...]

    @property
    def title(self) -> str:
        """Name of the data set, and the rule by which regions were inferred if it is not the default."""
        usual = self.regions in (PAINTED, DEFAULT_RULE)
        return self.data_name if usual else f"{self.data_name}, regions by {self.regions}"

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the runs."""
        return tuple(run.header.label for run in self.runs)

    @property
    def others(self) -> tuple[int, ...]:
        """The runs that are compared with the base; empty without a base."""
        return tuple(i for i in range(len(self.runs)) if i != self.base) if self.base is not None else ()

    @property
    def ranking(self) -> MetricTable | None:
        """The first metric that differs between the pictures of a run."""
        return next((t for t in self.metrics if any(e.low < e.high for e in t.overall)), next(iter(self.metrics), None))

    @property
    def samples(self) -> tuple[str, ...]:
        """The samples of which a run has a picture."""
        done = (record.sample for run in self.runs for record in run.records if record.status == "done")
        return tuple(dict.fromkeys(done))

    @property
    def failures(self) -> tuple[tuple[str, RunRecord], ...]:
        """Label and record of every sample that gave no picture."""
        return tuple((run.header.label, one) for run in self.runs for one in run.records if one.status != "done")

    def find(self, data: DataSets) -> DataSet | None:
        """The section's data set; None if it is not available."""
        candidates = (data.get((run.header.data, run.header.regions)) for run in self.runs)
        return next((one for one in candidates if one is not None), None)


@dataclass(frozen=True)
class Report:
    """One section for each data set; runs on different data are never compared."""

    statistic: Statistic
    sections: tuple[Section, ...]

    @property
    def runs(self) -> tuple[ScoredRun, ...]:
        """The runs of all sections."""
        return tuple(run for section in self.sections for run in section.runs)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics that any section has, in the order of the catalogue."""
        shown = {table.metric.key for section in self.sections for table in section.metrics}
        return tuple(metric for metric in CATALOGUE if metric.key in shown)
