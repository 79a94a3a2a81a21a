"""Runs graphs as ComfyUI's server does: checks inputs against the nodes' contract, then calls node after node.

The core nodes are those that the examples use.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import folder_paths
import numpy as np
import torch
from comfy_execution.graph import ExecutionBlocker
from PIL import Image
from PIL.PngImagePlugin import PngInfo

WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN")


class LoadImage:
    """A picture of the input folder; its mask is 1 where it is transparent."""

    FUNCTION = "load"
    RETURN_TYPES = ("IMAGE", "MASK")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        files = sorted(path.name for path in (folder_paths.root / "input").iterdir())
        return {"required": {"image": (files, {"image_upload": True})}}

    def load(self, image: str) -> tuple[Any, Any]:
        opened = Image.open(folder_paths.root / "input" / image)
        pixels = np.asarray(opened.convert("RGB"), np.float32) / 255
        mask = np.zeros((64, 64), np.float32)
        if "A" in opened.getbands():
            mask = 1 - np.asarray(opened.getchannel("A"), np.float32) / 255
        return torch.from_numpy(pixels)[None], torch.from_numpy(mask)[None]


class SaveImage:
    """Pictures to the output folder; values are cut, not rounded."""

    FUNCTION = "save"
    RETURN_TYPES = ()
    OUTPUT_NODE = True
    FOLDER = "output"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {
            "required": {"images": ("IMAGE",), "filename_prefix": ("STRING", {"default": "ComfyUI"})},
            "hidden": {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"},
        }

    def save(
        self, images: Any, filename_prefix: str = "ComfyUI", prompt: Any = None, extra_pnginfo: Any = None
    ) -> dict[str, Any]:
        saved = []
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
            filename_prefix, str(folder_paths.root / self.FOLDER)
        )
        for number, image in enumerate(images):
            info = PngInfo()
            info.add_text("prompt", json.dumps(prompt))
            for key, value in (extra_pnginfo or {}).items():
                info.add_text(key, json.dumps(value))
            pixels = np.clip(255.0 * image.cpu().numpy(), 0, 255).astype(np.uint8)
            file = f"{name}_{counter + number:05}_.png"
            Image.fromarray(pixels).save(Path(folder) / file, pnginfo=info)
            saved.append({"filename": file, "subfolder": subfolder, "type": self.FOLDER})
        return {"ui": {"images": saved}}


class PreviewImage(SaveImage):
    """The same to the folder of temporary files."""

    FOLDER = "temp"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {"required": {"images": ("IMAGE",)}, "hidden": {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}}


CORE = {"LoadImage": LoadImage, "SaveImage": SaveImage, "PreviewImage": PreviewImage}


class Invalid(Exception):
    """A graph that the server refuses before it runs."""


class Blocked(Exception):
    """A node that uses an output which was blocked."""


def object_info(classes: dict[str, Any]) -> dict[str, Any]:
    """What the server says of its nodes."""
    return json.loads(json.dumps({name: {"input": cls.INPUT_TYPES()} for name, cls in classes.items()}))


def run(graph: dict[str, Any], classes: dict[str, Any], workflow: Any = None) -> dict[str, Any]:
    """What every node gave: its `result` and `ui`."""
    for name in graph:
        _check(name, graph, classes)
    done: dict[str, Any] = {}
    with torch.inference_mode():
        for name in graph:
            _run(name, graph, classes, workflow, done)
    return done


def _check(name: str, graph: dict[str, Any], classes: dict[str, Any]) -> None:
    node = graph[name]
    spec = classes[node["class_type"]].INPUT_TYPES()
    known = {**spec.get("required", {}), **spec.get("optional", {})}
    missing = spec.get("required", {}).keys() - node["inputs"].keys()
    if missing or node["inputs"].keys() - known.keys():
        raise Invalid(f"{node['class_type']}: {missing or node['inputs'].keys() - known.keys()}")
    for key, value in node["inputs"].items():
        typed, options = known[key][0], (*known[key][1:], {})[0]
        if _is_link(value):
            given = classes[graph[value[0]]["class_type"]].RETURN_TYPES[value[1]]
            fits = given == typed
        elif isinstance(typed, list):
            fits = value in typed
        elif typed in ("INT", "FLOAT"):
            fits = options.get("min", value) <= value <= options.get("max", value)
        else:
            fits = typed in WIDGETS
        if not fits:
            raise Invalid(f"{node['class_type']}.{key}: {value!r}")


def _run(name: str, graph: dict[str, Any], classes: dict[str, Any], workflow: Any, done: dict[str, Any]) -> None:
    if name in done:
        return
    node = graph[name]
    cls, inputs = classes[node["class_type"]], dict(node["inputs"])
    for key, value in inputs.items():
        if _is_link(value):
            _run(value[0], graph, classes, workflow, done)
            inputs[key] = done[value[0]]["result"][value[1]]
            if isinstance(inputs[key], ExecutionBlocker):
                raise Blocked(inputs[key].message)
    hidden = {"PROMPT": graph, "EXTRA_PNGINFO": {"workflow": workflow}}
    inputs |= {key: hidden[kind] for key, kind in cls.INPUT_TYPES().get("hidden", {}).items()}
    given = getattr(cls(), cls.FUNCTION)(**inputs)
    done[name] = given if isinstance(given, dict) else {"result": given, "ui": {}}
    assert len(done[name].get("result", ())) == len(cls.RETURN_TYPES)


def _is_link(value: Any) -> bool:
    return isinstance(value, list)
