"""`/v1/projects`: a picture, its edits and their results put into one file; what such a file holds, for a page."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from dragflow.core.errors import UserError
from dragflow.files.instructions import embedded_instruction
from dragflow.files.project_edits import ProjectEdit
from dragflow.files.project_file import MEDIA_TYPE
from dragflow.files.projects import Project
from dragflow.http import requests
from dragflow.http.recipes import made_with, marks
from dragflow.http.settings import ServerSettings
from dragflow.service.canvas import as_png

_MOST_SHOWN = 2**32
"""Pixels of all regions of a project that is opened, each of which is sent as a mask."""


def router(settings: ServerSettings) -> APIRouter:
    """The addresses of projects."""
    routes = APIRouter(tags=["projects"])

    @routes.post("/v1/projects", response_class=Response, openapi_extra=requests.body_schema(requests.ProjectRequest))
    async def save(request: Request) -> Response:
        """The file of a project: a picture, the edits made of it and their results."""
        asked: requests.ProjectRequest = await requests.read(request, requests.ProjectRequest)
        return Response(await run_in_threadpool(_encoded, asked), media_type=MEDIA_TYPE)

    @routes.post("/v1/projects/contents", openapi_extra=requests.body_schema(requests.ProjectFileRequest))
    async def contents(request: Request) -> dict[str, Any]:
        """What is in the file of a project, after all of it was verified; nothing is loaded for it, and none kept."""
        asked: requests.ProjectFileRequest = await requests.read(request, requests.ProjectFileRequest)
        return await run_in_threadpool(_contents, asked, settings)

    return routes


def _encoded(asked: requests.ProjectRequest) -> bytes:
    project = Project.of_file(requests.decoded(asked.picture, "picture"), asked.name)
    for i, edit in enumerate(asked.edits):
        place = f"edits.{i}"
        said = edit.instruction
        instruction = None if said is None else embedded_instruction(said, f"`{place}.instruction`")
        if edit.result is not None:
            data = requests.decoded(edit.result, f"{place}.result")
            project = project.added(data, instruction, names=edit.names, seconds=edit.seconds)
        elif instruction is not None:
            project = project.marked(instruction, parent=edit.parent, names=edit.names)
        else:
            raise UserError(f"`{place}` has neither `result` nor `instruction`: give one of them")
    return project.encoded()


def _contents(asked: requests.ProjectFileRequest, settings: ServerSettings) -> dict[str, Any]:
    data = requests.decoded(asked.project, "project")
    project = Project.decode(data, "the project", settings.upload_bytes)
    source, (h, w) = project.picture(), project.source.size
    regions = sum(len(edit.instruction.operations) for edit in project.edits)
    if regions * h * w > _MOST_SHOWN:
        raise UserError(f"the project has {regions} regions on a picture of {w} x {h}, too many to show on a page")
    pixels = source.pixels if source.alpha is None else np.dstack([source.pixels, source.alpha])
    return {
        "name": project.source.name,
        "picture": _base64(project.source.data),
        "upright": _base64(as_png(pixels)),
        "edits": [_edit(edit, project, settings) for edit in project.edits],
    }


def _edit(edit: ProjectEdit, project: Project, settings: ServerSettings) -> dict[str, Any]:
    recipe, before = edit.recipe, project.stored(edit.parent)
    return {
        "parent": edit.parent,
        "names": edit.names,
        "seconds": edit.seconds,
        "result": None if edit.result is None else _base64(edit.result.data),
        "made_with": None if recipe is None else made_with(recipe, settings),
        **marks(edit.instruction, before.size, before.sha256),
    }


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
