"""Results as files that hold their recipe and the workflow that made them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .plans import RESULT

if TYPE_CHECKING:
    from dragflow import EditResult

    from .edit import Results

_RECIPE = "dragflow"
"""Name of the recipe among a file's texts, and in the `extra` of a workflow."""


class SaveEdit:
    """Write results as PNG: `dragflow edit --from` repeats them, and ComfyUI opens their workflow."""

    CATEGORY = "dragflow"
    FUNCTION = "save"
    RETURN_TYPES = ()
    OUTPUT_NODE = True
    DESCRIPTION = "Save edits as PNG with their recipe, by which dragflow repeats them, and the workflow."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {
            "required": {"result": (RESULT,), "filename_prefix": ("STRING", {"default": "dragflow"})},
            "hidden": {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"},
        }

    def save(
        self, result: Results, filename_prefix: str, prompt: Any = None, extra_pnginfo: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        import folder_paths
        from comfy.cli_args import args

        h, w = result.each[0].source.size
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
            filename_prefix, folder_paths.get_output_directory(), w, h
        )
        saved: list[dict[str, str]] = []
        for number, one in enumerate(result.each):
            file = f"{name.replace('%batch_num%', str(number))}_{counter + number:05}_.png"
            data = _plain(one) if args.disable_metadata else _with_workflow(one, prompt, extra_pnginfo or {})
            (Path(folder) / file).write_bytes(data)
            saved.append({"filename": file, "subfolder": subfolder, "type": "output"})
        return {"ui": {"images": saved}}


def _with_workflow(result: EditResult, prompt: Any, more: dict[str, Any]) -> bytes:
    """The bytes of a PNG with the recipe, also in the workflow's `extra`, and all that ComfyUI writes."""
    from PIL import Image

    recipe = json.loads(getattr(Image.open(io.BytesIO(result.png())), "text")[_RECIPE])  # noqa: B009
    texts: dict[str, Any] = {**({} if prompt is None else {"prompt": prompt}), **more}
    workflow = texts.get("workflow")
    if isinstance(workflow, dict):
        texts["workflow"] = {**workflow, "extra": {**(workflow.get("extra") or {}), _RECIPE: recipe}}
    return _png(result, {**texts, _RECIPE: recipe})


def _plain(result: EditResult) -> bytes:
    return _png(result, {})


def _png(result: EditResult, texts: dict[str, Any]) -> bytes:
    from PIL.PngImagePlugin import PngInfo

    info, buffer = PngInfo(), io.BytesIO()
    for key, value in texts.items():
        info.add_text(key, json.dumps(value))  # ComfyUI reads chunks of this kind alone
    result.image.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()
