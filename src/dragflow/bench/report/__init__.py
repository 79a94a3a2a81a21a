"""Reports of scored runs: tables with confidence intervals, published figures, a gallery."""

from dragflow.bench.report.write import write_report

__all__ = ["write_report"]
