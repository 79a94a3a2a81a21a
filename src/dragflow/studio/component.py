"""The canvas as a component of Gradio: a fixed template, whose script mounts the modules of `page` and `canvas`."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import gradio as gr

ADDRESS = "/studio-files"
"""Where the server has the modules."""

_TEMPLATE = """
<div class="studio">
  <div class="welcome">
    <ol><li>Drop a picture here, or open one.</li><li>Click on an object and drag it.</li><li>Run.</li></ol>
    <div class="examples">{examples}</div>
  </div>
  <div class="recipe" role="status"></div>
  <div class="canvas"></div>
  <p class="said" role="alert"></p>
  <div class="guesses"></div>
  <div class="results"></div>
  <input type="file" accept="image/*" aria-label="Picture">
</div>
"""
_START = """
const page = element.querySelector('.studio');
if (!page.dataset.started) {{
  page.dataset.started = 'yes';
  const {{ Studio }} = await import('{address}/page/studio.js');
  window.dragflow = new Studio(page);
  page.addEventListener('meant', (event) => {{ props.value = event.detail; trigger('input'); }});
  page.addEventListener('configured', () => trigger('change'));
}}
"""


def studio_canvas(examples: Sequence[tuple[str, str]], **options: Any) -> gr.HTML:
    """The whole page except the widgets; its value is what these are to show: prompts that were guessed, or a recipe.

    Args:
        examples: pictures to start with, each with its name and its address.
        **options: of the component.
    """
    buttons = "".join(
        f'<button type="button" data-example="{escape(address, quote=True)}">{escape(name)}</button>'
        for name, address in examples
    )
    start = f"(async () => {{ {_START.format(address=ADDRESS)} }})()"
    template = _TEMPLATE.format(examples=buttons)
    # Not a class of its own: Gradio writes a file beside every module that has one.
    return gr.HTML(value=None, html_template=template, js_on_load=start, apply_default_css=False, **options)
