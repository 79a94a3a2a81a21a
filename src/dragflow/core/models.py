"""Which model to load, and how: every option once, for the command line, `Editor.load`, benchmarks and recipes."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from dragflow.core.checked import Checked
from dragflow.core.errors import UserError, not_a, shown
from dragflow.core.fields import Name

FLUX1_DEV = "black-forest-labs/FLUX.1-dev"
VARIABLE = "DRAGFLOW_MODEL"
"""Environment variable that names the default model."""
ROOT_VARIABLE = "DRAGFLOW_MODEL_ROOT"
"""Environment variable that names the default model roots."""
NANO, DUMMY = BUILT_IN = "nano", "dummy"
"""The models that come with dragflow: `nano` is small and trained on procedural scenes; `dummy` has random weights, for
tests."""
DOWNLOADS = "dragflow.downloads"
"""Name of the log that says what is downloaded, before it is."""
GGUF = "gguf:"
"""Prefix of a value of `quantize` that names a file."""

IN_MEMORY = "memory-"
"""What the fingerprint of weights begins with that no loader of ours read, so that no folder has it."""

Dtype = Literal["float32", "bfloat16", "float16"]
Quantisation = Literal["int8", "fp8", "layerwise-fp8", "nf4"]


@dataclass(frozen=True)
class SubjectOptions(Checked, called="`subject.{}`"):
    """Which adapter keeps a subject the same, and where its parts are."""

    adapter: Name | None = None
    """The subject adapter: instantcharacter, ip-adapter, or nano for the embedded model."""
    weights: Name | None = None
    """Its checkpoint, a .safetensors or .bin file. [default: the one that comes with dragflow, which nano has]"""
    siglip: Name = "google/siglip-so400m-patch14-384"
    """SigLIP of instantcharacter and of InstantX's ip-adapters, in transformers layout: a folder or a hub id."""
    dinov2: Name = "facebook/dinov2-giant"
    """DINOv2 of instantcharacter, in transformers layout: a folder or a hub id."""
    clip: Name = "openai/clip-vit-large-patch14"
    """CLIP of XLabs' ip-adapter, in transformers layout: a folder or a hub id."""
    fingerprint: Name | None = None
    """Refuse an adapter whose weights, with those of its encoders, have another fingerprint."""


@dataclass(frozen=True)
class ModelOptions(Checked, called="`{}`"):
    """Which model, and how it is loaded."""

    model: Name | None = None
    """Hub id or folder of a pipeline in diffusers layout, a file of its transformer or of more, or a built-in model:
    nano, dummy; or a short name of yours. [default: $DRAGFLOW_MODEL, else that of `dragflow model use`, else nano]"""
    revision: Name | None = None
    """Commit, tag or branch on the hub. [default: the newest]"""
    device: Name | None = None
    """Device, as torch names it. [default: an accelerator if there is one]"""
    dtype: Dtype | None = None
    """What the transformer computes in. [default: bfloat16 on accelerators, float32 on the CPU]"""
    quantize: Quantisation | Name | None = None
    """Quantisation of the transformer: int8, fp8, layerwise-fp8, nf4 or gguf:FILE."""
    memory: Literal["auto"] | float | None = None
    """Choose what of the following is not given so that the model fits: into the memory that is free on the device
    (auto), or into so many GiB. `dragflow doctor` says what is chosen."""
    offload: bool = False
    """Keep encoders and autoencoder in main memory while they are idle."""
    swap: bool = False
    """Keep the transformer's blocks in main memory, too, each until it is its turn."""
    tiles: bool = False
    """Encode and decode large pictures in tiles."""
    lora: tuple[Name, ...] = ()
    """A LoRA as FILE or FILE:SCALE. Repeatable."""
    bridge: Name | None = None
    """A bridge that was trained for the model, a .safetensors file. [default: the one that comes with it, as nano's]"""
    checkpointing: bool | None = None
    """Recompute activations in the backward pass to save memory. [default: on accelerators]"""
    subject: SubjectOptions | None = None
    """The adapter that keeps the subject the same."""
    fingerprint: Name | None = None
    """Refuse a model whose weights have another fingerprint than this, which a recipe records."""
    unswept: bool = False
    """Take the model's own taps and K/V sites, whatever a sweep of it chose."""
    parts: tuple[Name, ...] = ()
    """Of a model that is a file: a hub id or folder in diffusers layout, or a file, that has the rest. Repeatable.
    [default: what the model root has, else published weights of its family]"""
    model_root: tuple[Name, ...] = ()
    """Where the rest of a model that is a file is looked for: the folder of ComfyUI or InvokeAI, any folder of model
    files, or an extra_model_paths.yaml. Repeatable. [default: $DRAGFLOW_MODEL_ROOT]"""

    def __post_init__(self) -> None:
        """Refuse options that no loader can read.

        Raises:
            UserError: another type, an empty name, an unknown quantisation, no memory at all.
        """
        super().__post_init__()
        if isinstance(self.memory, float) and not self.memory > 0:
            raise UserError(f"`memory` is {self.memory:g}: give auto, or how many GiB the model may take")
        known = Quantisation.__args__
        if self.quantize is not None and self.quantize not in known and not self.quantize.startswith(GGUF):
            raise UserError(f"`quantize` is {shown(self.quantize)}: choose one of {', '.join(known)}, or {GGUF}FILE")

    @staticmethod
    def of(model: object = None, **options: Any) -> ModelOptions:
        """Options as programs give them: a path, a torch dtype or device, one LoRA, a subject adapter by its name.

        Raises:
            UserError: an option that does not exist, or a value that breaks its rule.
        """
        if isinstance(model, ModelOptions):
            return replace(model, **_plain(options))
        if not isinstance(model, str | os.PathLike | None):
            raise not_a("a model", model, "its name, a folder or a ModelOptions")
        return ModelOptions(None if model is None else os.fspath(model), **_plain(options))

    @property
    def name(self) -> str:
        """The model that is named; options without one are settled by `dragflow.files.models.settled_model` first."""
        if self.model is None:
            raise ValueError("no model is named: settle these options")
        return self.model

    def on(self, device: str | None) -> ModelOptions:
        """The same on a device, if one is given."""
        return self if device is None else replace(self, device=device)

    @property
    def roots(self) -> tuple[str, ...]:
        """The given model roots, else those of $DRAGFLOW_MODEL_ROOT, which are separated as in $PATH."""
        return self.model_root or tuple(name for name in os.environ.get(ROOT_VARIABLE, "").split(os.pathsep) if name)

    @property
    def gguf(self) -> str | None:
        """The file of the transformer if that is a GGUF file."""
        quantize = self.quantize or ""
        return quantize.removeprefix(GGUF) if quantize.startswith(GGUF) else None


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    known = [field.name for field in fields(ModelOptions) if field.name != "model"]
    for name in options:
        if name not in known:
            raise UserError(f"option {name} of a model is not known: choose one of {', '.join(known)}")
    plain = dict(options)
    for name in ("device", "dtype"):
        if isinstance(plain.get(name), str) or type(plain.get(name)).__module__ == "torch":
            plain[name] = str(plain[name]).removeprefix("torch.")
    if isinstance(plain.get("bridge"), os.PathLike):
        plain["bridge"] = os.fspath(plain["bridge"])
    for name in ("lora", "parts", "model_root"):
        if isinstance(plain.get(name), str | os.PathLike):
            plain[name] = (os.fspath(plain[name]),)
    if isinstance(plain.get("subject"), str):
        plain["subject"] = SubjectOptions(plain["subject"])
    return plain


def lora_scale(text: str) -> float:
    """The scale in FILE:SCALE; 1 where none is said."""
    try:
        return float(text.rpartition(":")[2])
    except ValueError:
        return 1.0


@dataclass(frozen=True)
class WeightsId:
    """Which weights these are."""

    options: ModelOptions
    """The options of the model, with the actual name, revision and dtype; without those that only say where and how it
    runs."""
    fingerprint: str
    """Digest over configuration and samples of the weights; it differs if the folder has changed."""


@dataclass(frozen=True)
class SubjectId:
    """Which subject adapter these weights are."""

    options: SubjectOptions
    fingerprint: str
    """Digest over samples of its weights and its encoders'."""
