"""Adapters that keep a subject's identity while a model inverts and samples."""
