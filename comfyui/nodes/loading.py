"""A model of dragflow: the built-in one, a file or a folder of ComfyUI's models, a model of the hub."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import memory
from .plans import MODEL

if TYPE_CHECKING:
    from dragflow import Editor, ModelOptions
    from dragflow.service import ModelPool

_DEFAULT, _BUILT_IN, _NAMED, _AUTO, _NONE = "default", "nano", "as named below", "auto", "none"
_FILES = ("diffusion_models", "unet_gguf", "checkpoints")
_ENCODERS = ("text_encoders", "clip_gguf")
_AFTER = ["main memory", "nowhere"]
_INVERSION_BYTES = 2**28
"""Of inverted pictures that a model keeps for further edits of the same picture."""


@dataclass(eq=False)
class Model:
    """What the socket of a model carries; the weights are dropped when ComfyUI drops it."""

    options: ModelOptions
    pool: ModelPool
    kept: bool
    """Whether the weights are kept in main memory between edits."""

    @contextmanager
    def working(self) -> Iterator[Editor]:
        """The editor, on its device within only.

        Raises:
            UserError: the model cannot be loaded.
        """
        memory.make_room()
        try:
            with memory.gradients():
                editor = self.pool.get(self.options)
                with editor.working():
                    yield editor
        finally:
            if not self.kept:
                editor = None
                self.pool.clear()
            memory.hand_back()


class LoadModel:
    """Load a model, once for many edits."""

    CATEGORY = "dragflow"
    FUNCTION = "load"
    RETURN_TYPES = (MODEL,)
    RETURN_NAMES = ("model",)
    DESCRIPTION = (
        "A model for edits: the built-in nano, a file or diffusers folder of ComfyUI's models, or a model of the hub. "
        "ComfyUI's own models leave the device before it is loaded, and it leaves the device after each edit."
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        encoder = ([_AUTO, *_listed(*_ENCODERS)], {"tooltip": "Of a model that is a file; auto: told by its tensors."})
        chosen = {"tooltip": "default: the one that `dragflow model use` or $DRAGFLOW_MODEL names, else nano."}
        return {
            "required": {
                "model": ([_DEFAULT, _BUILT_IN, *_listed(*_FILES), *_diffusers(), _NAMED], chosen),
            },
            "optional": {
                "name": ("STRING", {"default": "", "tooltip": "Hub id, folder, file, short name: 'as named below'."}),
                "text_encoder": encoder,
                "text_encoder_2": encoder,
                "vae": ([_AUTO, *_listed("vae")], encoder[1]),
                "lora": ([_NONE, *_listed("loras")],),
                "lora_strength": ("FLOAT", {"default": 1.0, "min": -10.0, "max": 10.0, "step": 0.01}),
                "dtype": ([_AUTO, "bfloat16", "float16", "float32"],),
                "quantize": ([_NONE, "int8", "fp8", "layerwise-fp8", "nf4"],),
                "offload": ("BOOLEAN", {"default": False, "tooltip": "Encoders leave the device while they are idle."}),
                "keep_in": (_AFTER, {"tooltip": "Where the weights are between edits; nowhere: they are read again."}),
            },
        }

    def load(
        self,
        model: str,
        name: str = "",
        text_encoder: str = _AUTO,
        text_encoder_2: str = _AUTO,
        vae: str = _AUTO,
        lora: str = _NONE,
        lora_strength: float = 1.0,
        dtype: str = _AUTO,
        quantize: str = _NONE,
        offload: bool = False,
        keep_in: str = _AFTER[0],
    ) -> tuple[Model]:
        from dragflow import ModelOptions
        from dragflow.service import ModelPool

        place = _place(model, name)
        options = ModelOptions.of(
            place,
            device=memory.device(),
            dtype=None if dtype == _AUTO else dtype,
            quantize=None if quantize == _NONE else quantize,
            offload=offload,
            lora=() if lora == _NONE else (f"{_path(lora)}:{lora_strength:g}",),
            **(_parts((text_encoder, text_encoder_2, vae)) if place and Path(place).is_file() else {}),
        )
        loaded = Model(options, ModelPool(1, _INVERSION_BYTES), kept=keep_in == _AFTER[0])
        with loaded.working():
            pass  # what is wrong with it is said here
        return (loaded,)


def _listed(*folders: str) -> list[str]:
    """The files in folders of ComfyUI's models, each with its folder's name."""
    import folder_paths

    return [
        f"{folder}/{name}"
        for folder in folders
        if folder in folder_paths.folder_names_and_paths
        for name in folder_paths.get_filename_list(folder)
    ]


def _diffusers() -> list[str]:
    """The pipelines in diffusers layout among ComfyUI's models."""
    import folder_paths

    roots = [Path(root) for root in folder_paths.get_folder_paths("diffusers")]
    found = [path.parent for root in roots if root.is_dir() for path in sorted(root.glob("*/model_index.json"))]
    return [f"diffusers/{folder.name}" for folder in found]


def _place(model: str, name: str) -> str | None:
    from dragflow import UserError

    if model == _DEFAULT:
        return None
    if model == _BUILT_IN:
        return model
    if model == _NAMED:
        if not name.strip():
            raise UserError("`name` is empty: write a hub id as owner/name, or the path of a folder or file")
        return name.strip()
    return _path(model)


def _path(choice: str) -> str:
    """The path of a file or folder that a widget lists."""
    import folder_paths

    from dragflow import UserError

    folder, _, name = choice.partition("/")
    if folder == "diffusers":
        candidates = [Path(root) / name for root in folder_paths.get_folder_paths(folder)]
        found = next((str(path) for path in candidates if path.is_dir()), None)
    else:
        found = folder_paths.get_full_path(folder, name)
    if found is None:
        raise UserError(f"{choice} is no longer among ComfyUI's models: choose another, or put it back")
    return found


def _parts(chosen: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """What has the rest of a model that is a file: the chosen files, and where others are looked for."""
    import folder_paths

    files = tuple(_path(choice) for choice in chosen if choice != _AUTO)
    if _AUTO not in chosen:
        return {"parts": files}
    known = [folder for folder in (*_ENCODERS, "vae") if folder in folder_paths.folder_names_and_paths]
    roots = [root for folder in known for root in folder_paths.get_folder_paths(folder) if Path(root).is_dir()]
    return {"parts": files, "model_root": tuple(dict.fromkeys(roots))}
