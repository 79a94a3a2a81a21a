"""Measurement: how near edits come to the truth, with confidence intervals."""
