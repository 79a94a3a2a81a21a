"""Errors as JSON problem details (RFC 9457), in the library's own sentences; never a traceback."""

from __future__ import annotations

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from dragflow.core.errors import DragFlowError, IntentError, UserError
from dragflow.core.text import one_line
from dragflow.http.refused import Refused

MEDIA_TYPE = "application/problem+json"
_log = logging.getLogger(__name__)


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """The answer to a request that failed."""
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": one_line(detail)}
    return JSONResponse(content, status, headers, MEDIA_TYPE)


def as_problem(error: Exception) -> JSONResponse:
    """What a client is told of an error."""
    if isinstance(error, Refused):
        return problem(error.status, str(error), error.headers)
    if isinstance(error, UserError):
        return problem(HTTPStatus.BAD_REQUEST, str(error))
    if isinstance(error, IntentError):
        return problem(HTTPStatus.BAD_GATEWAY, str(error))
    if isinstance(error, HTTPException):
        return problem(error.status_code, str(error.detail), dict(error.headers or {}))
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return problem(HTTPStatus.BAD_REQUEST, f"{place}: {first['msg']}")
    if isinstance(error, DragFlowError):
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
    _log.error("a request failed", exc_info=error)
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the request failed inside the server: its log says why")


def add_handlers(app: FastAPI) -> None:
    """Answer every error of an application with a problem."""

    async def answer(_: Request, error: Exception) -> JSONResponse:
        return as_problem(error)

    for kind in (DragFlowError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, answer)
