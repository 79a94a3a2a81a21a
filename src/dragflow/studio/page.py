"""The page: widgets of Gradio around the canvas. They call it in the browser; no edit goes through Gradio."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import gradio as gr
from fastapi import FastAPI
from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles
from gradio.components import Component
from PIL import Image

from dragflow.files.presets import preset_names
from dragflow.studio.component import ADDRESS, studio_canvas
from dragflow.studio.theme import theme
from dragflow.world import EXAMPLES

BEST = "best"
"""What the page's script calls the preset that is not named, so that the model's own is taken."""
_SIDE = 512
_CALL = """(model, preset, seed, variants, prompt, editPrompt) =>
  {{ void window.dragflow{act}({{ model, preset, seed, variants, prompt, editPrompt }}); }}"""
_VARIANTS = """async (model, preset) =>
  ({ __type__: "update", ...(await window.dragflow?.variants({ model, preset })) })"""

_TASKS = ["as dragged", "relocation", "transformation", "deformation"]
"""Of a sample: the first as the page's script knows it, the others as the format does."""
_TAKE = """(background, edit, task, points) =>
  {{ void window.dragflow.take('{what}', {{ background, edit, task, points }}); }}"""


def mount_studio(app: FastAPI, models: Sequence[str]) -> FastAPI:
    """Put the page, and what it is made of, at the root of a server's application.

    Args:
        app: has the addresses of `dragflow.http`.
        models: names that edits may ask for.
    """
    for folder in ("canvas", "page"):
        app.mount(f"{ADDRESS}/{folder}", StaticFiles(directory=str(files("dragflow.studio").joinpath(folder))))

    @app.get(f"{ADDRESS}/examples/{{number}}.png", response_class=Response, include_in_schema=False)
    def example(number: int) -> Response:
        return Response(_drawn(number % len(EXAMPLES)), media_type="image/png")

    return gr.mount_gradio_app(app, blocks(models), path="/", theme=theme(), footer_links=[], show_error=True)


def blocks(models: Sequence[str]) -> gr.Blocks:
    """The widgets."""
    examples = [(one.title, f"{ADDRESS}/examples/{number}.png") for number, one in enumerate(EXAMPLES)]
    head = "".join(
        f'<link rel="stylesheet" href="{ADDRESS}/{place}">' for place in ("canvas/canvas.css", "page/studio.css")
    )
    with gr.Blocks(title="dragflow", analytics_enabled=False, fill_width=True) as page, gr.Row():
        with gr.Column(scale=5):
            canvas = studio_canvas(examples, head=head)
        with gr.Column(scale=1, min_width=260):
            _widgets(canvas, models)
    return page


def _widgets(canvas: gr.HTML, models: Sequence[str]) -> None:
    _button("Open picture", "window.dragflow.chooseFile('image/*')")
    _button("Open project", "window.dragflow.chooseFile('.dragflow')")
    prompt = gr.Textbox(label="What the picture shows", info="Optional.")
    edit_prompt = gr.Textbox(label="What the edit does", info="Optional.")
    suggest = gr.Button("Suggest what the drag means")
    suggest.click(None, [prompt], None, js="(prompt) => { void window.dragflow.suggest(prompt); }")
    model = gr.Dropdown(list(models), label="Model", interactive=True)
    gr.HTML('<details><summary>Models</summary><ul class="studio-models"></ul></details>')
    with gr.Row():
        _button("Load", "void window.dragflow.models.act('load')", size="sm")
        _button("Unload", "void window.dragflow.models.act('unload')", size="sm")
    presets = [("the best for the model", BEST), *((name, name) for name in preset_names())]
    preset = gr.Dropdown(presets, value=BEST, label="Preset", interactive=True)
    seed = gr.Number(0, label="Seed", precision=0, minimum=0)
    variants = gr.Slider(1, 4, 1, step=1, label="Variants")
    choices: list[Component] = [model, preset, seed, variants, prompt, edit_prompt]
    canvas.input(_told, [canvas], choices, queue=False)
    for widget in (model, preset, seed, variants, prompt, edit_prompt):
        widget.change(None, choices, None, js=_CALL.format(act="?.choose"))
    for changed in (canvas.change, model.change, preset.change):
        changed(None, [model, preset], [variants], js=_VARIANTS)
    gr.HTML('<p class="studio-estimate" role="status"></p>')
    run = gr.Button("Run", variant="primary")
    run.click(None, choices, None, js=_CALL.format(act=".edits.begin"))
    _button("Stop", "window.dragflow.edits.stop()", variant="stop")
    way = gr.Radio(["slider", "blink", "difference", "side by side"], value="slider", label="Comparison")
    way.change(None, [way], None, js="(way) => window.dragflow.judge.by(way)")
    _button("Continue from the result", "void window.dragflow.judge.onward()")
    _button("Restore the result's edit", "void window.dragflow.judge.again()")
    _button("Save the result", "void window.dragflow.take('result')")
    _button("Save project", "void window.dragflow.saveProject()")
    with gr.Accordion("Export", open=False):
        _take_away()


def _take_away() -> None:
    for text, what in (
        ("Save the instruction", "instruction"),
        ("Save the mask", "mask"),
        ("Save layers (zip)", "layers"),
        ("Save OpenRaster", "openraster"),
    ):
        _button(text, f"void window.dragflow.take('{what}')", size="sm")
    everything = gr.Button("Save everything", size="sm")
    with gr.Accordion("ReD Bench sample", open=False):
        background = gr.Textbox(label="Sample: what the picture shows", info="Empty: as above.")
        edit = gr.Textbox(label="Sample: what the edit does", info="Empty: as above.")
        task = gr.Dropdown(
            _TASKS, value=_TASKS[0], label="Sample: task", info="Regions that turn are rotations.", interactive=True
        )
        points = gr.Textbox(label="Sample: points", info="X,Y > X,Y; X,Y > X,Y. Empty: the centres of the regions.")
        sample = gr.Button("Save a ReD Bench sample", size="sm")
    for button, what in ((everything, "all"), (sample, "red_bench")):
        button.click(None, [background, edit, task, points], None, js=_TAKE.format(what=what))


def _told(meant: dict[str, Any]) -> list[Any]:
    """What the widgets of a run are to show; what is not said stays."""
    prompts = {name: meant.get(name) or "" for name in ("prompt", "editPrompt")}
    others = ("model", "preset", "seed", "variants")
    return [*(meant.get(name, gr.skip()) for name in others), *prompts.values()]


def _button(text: str, act: str, **options: str) -> None:
    gr.Button(text, **options).click(None, None, None, js=f"() => {{ {act}; }}")  # pyright: ignore[reportArgumentType]


@cache
def _drawn(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(EXAMPLES[number].case(_SIDE).source).save(buffer, "PNG")
    return buffer.getvalue()
