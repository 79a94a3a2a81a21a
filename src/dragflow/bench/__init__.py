"""Measurement: how near edits come to the truth, with confidence intervals."""

from dragflow.bench.metrics.truth import landing_error, psnr, ssim

__all__ = ["landing_error", "psnr", "ssim"]
