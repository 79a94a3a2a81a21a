"""Edits over HTTP: a FastAPI application on top of `dragflow.service`; `dragflow serve` starts it."""
