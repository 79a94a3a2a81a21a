"""Heavy once, cheap often: `Editor` holds the weights, `Session` an inverted picture, and `edit` is cheap to repeat."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from dragflow import canvas
from dragflow.backbones.registry import load_backbone
from dragflow.core.config import EditConfig, validate
from dragflow.core.errors import UserError
from dragflow.core.events import Observer, silent
from dragflow.core.result import EditResult, IdentityOptions, Provenance, Recipe, Timing
from dragflow.core.task import DragTask, Instruction
from dragflow.identity.base import IdentityAdapter
from dragflow.identity.registry import check_options, load_identity
from dragflow.io.images import SourceImage, from_pixels, load_image
from dragflow.io.instruction import dump_instruction, load_instruction, parse_instruction
from dragflow.io.presets import load_preset
from dragflow.io.preview import ghost
from dragflow.io.resolve import resolve
from dragflow.metering import Timer, peak_memory, reset_peak_memory
from dragflow.method.backbone import Backbone, Conditioning, Identity, Latent
from dragflow.method.drag import Drag, drag
from dragflow.method.inversion import Inversion, invert
from dragflow.method.phases import phase
from dragflow.method.supervision.region import RegionMotion
from dragflow.ops import masks
from dragflow.subject import Crop, Subject, subject_box

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

    Picture = str | Path | NDArray[np.uint8] | PILImage | SourceImage

_INVERSIONS_KEPT = 2
_PACKAGES = ("dragflow", "torch", "diffusers", "transformers", "numpy", "opencv-python-headless")


class Editor:
    """A loaded model."""

    def __init__(self, backbone: Backbone, adapter: IdentityAdapter | None = None) -> None:
        """Wrap a backbone, and an identity adapter for it, that are loaded already; see `Editor.load`."""
        self.backbone = backbone
        self.adapter = adapter

    @classmethod
    def load(
        cls,
        model: str | Path,
        *,
        revision: str | None = None,
        device: str | None = None,
        dtype: str | None = None,
        quantize: str | None = None,
        offload: bool = False,
        lora: Sequence[str] = (),
        checkpointing: bool | None = None,
        identity: IdentityOptions | None = None,
    ) -> Editor:
        """Load a model once for many pictures.

        Args:
            model: hub id or folder of a FLUX.1 pipeline in diffusers layout, or a built-in one: "nano", "dummy".
            revision: commit, tag or branch on the hub; the newest when None.
            device: as torch names it; an accelerator if there is one.
            dtype: "float32", "bfloat16" or "float16"; bfloat16 on accelerators, float32 on the CPU. Latents, losses and
                updates are float32 in any case.
            quantize: "int8", "fp8", "layerwise-fp8" or "gguf:FILE", of the transformer alone.
            offload: keep encoders and autoencoder in main memory while they are not at work.
            lora: safetensors files, each with an optional scale as in "style.safetensors:0.8".
            checkpointing: recompute activations in the backward pass to save memory; on for accelerators by default.
            identity: the adapter that keeps a subject's identity; none when None.

        Raises:
            UserError: no such model, a part missing, an unknown choice, identity weights that do not fit.
            CapabilityError: an architecture dragflow does not know, no gradient reaches the latent, or the adapter is
                not made for this model.
        """
        if identity is not None:
            check_options(identity)
        backbone = load_backbone(
            str(model),
            revision=revision,
            device=device,
            dtype=dtype,
            quantize=quantize,
            offload=offload,
            lora=tuple(lora),
            checkpointing=checkpointing,
        )
        return cls(backbone, None if identity is None else load_identity(identity, backbone, offload=offload))

    def open(
        self, image: Picture, prompt: str = "", *, config: EditConfig | str = "default", observer: Observer = silent
    ) -> Session:
        """Encode and invert a picture, and record its K/V: once for all edits of it.

        Args:
            image: path, array (H, W, 3 or 4) uint8, PIL picture, or `SourceImage`.
            prompt: what the picture shows.
            config: preset name or configuration; edits with the same `inversion`, `size` and `identity` reuse the work.
            observer: told of progress; may raise `Cancelled`.

        Raises:
            UserError: a picture or a configuration that breaks a rule.
        """
        source = load_image(image) if isinstance(image, str | Path) else from_pixels(image)
        session = Session(self.backbone, source, prompt, self.adapter)
        session.prepare(as_config(config), observer)
        return session


class Session:
    """One picture, inverted; made by `Editor.open`."""

    def __init__(
        self, backbone: Backbone, source: SourceImage, prompt: str, adapter: IdentityAdapter | None = None
    ) -> None:
        self.source = source
        self.prompt = prompt
        self._backbone = backbone
        self._subject = Subject(adapter, source.pixels)
        self._prepared: dict[tuple[object, ...], _Prepared] = {}

    def edit(
        self, instruction: Instruction, config: EditConfig | str = "default", observer: Observer = silent
    ) -> EditResult:
        """Make one edit; the session stays as it is, also when the observer cancels.

        Args:
            instruction: what to do; its prompt, when given, replaces the session's.
            config: preset name or configuration.
            observer: told of progress; may raise `Cancelled`.

        Raises:
            UserError: an instruction or a configuration that breaks a rule.
            NumericalError: the latent is no longer finite.
        """
        config = as_config(config)
        instruction = replace(instruction, prompt=instruction.prompt or self.prompt)
        task = resolve(self.source.pixels, instruction, margin=config.area.margin)
        timer = Timer(observer)
        reset_peak_memory()
        prepared = self._prepare(task.prompt, config, subject_box(task, config), observer)
        inversion = prepared.inversion
        preview = cache(lambda: ghost(task))
        edit = self._as_drag(task, config, (inversion.z.shape[-2], inversion.z.shape[-1]), preview)
        z, losses = drag(self._backbone, inversion, edit, config, show=self._show, observer=timer)
        with phase("decode", 1, timer) as meter:
            decoded = self._backbone.decode(z)
            if config.area.detail:
                full = canvas.as_image(preview(), self.source.size)
                decoded = canvas.with_detail(decoded, self._backbone.decode(edit.proposal()), full)
            meter.step()
        recipe = self._recipe(instruction, config)
        return EditResult(
            image=canvas.composite(task, decoded, config),
            area=task.area,
            losses=losses,
            provenance=Provenance(recipe, (*prepared.timings, *timer.timings()), peak_memory()),
        )

    def accept(
        self, result: EditResult, *, config: EditConfig | str | None = None, observer: Observer = silent
    ) -> Session:
        """A session on a result, to go on editing from it; alpha, layout and colour profile stay the source's."""
        prompt = parse_instruction(result.provenance.recipe.instruction, "recipe").prompt
        source = replace(self.source, pixels=result.image)
        session = Session(self._backbone, source, prompt, self._subject.adapter)
        session.prepare(result.provenance.recipe.config if config is None else as_config(config), observer)
        return session

    def prepare(self, config: EditConfig, observer: Observer = silent) -> None:
        """Do now the work that edits with this configuration share; none where it depends on what is dragged."""
        if not self._subject.waits(config):
            self._prepare(self.prompt, config, None, observer)

    def _prepare(self, prompt: str, config: EditConfig, box: Crop | None, observer: Observer) -> _Prepared:
        """The inversion that a configuration asks for, made at most once."""
        self._check_taps(config)
        blocks = self._kv_blocks(config)
        key = (prompt, config.inversion, config.size, blocks, self._subject.key(config, box))
        if key not in self._prepared:
            timer = Timer(observer)
            with phase("encode", 1, timer) as meter:
                z = self._backbone.encode(canvas.as_image(self.source.pixels, self._working_size(config)))
                identity = self._subject.inverting(config, box)
                cond = self._backbone.condition(prompt, identity, guidance=config.inversion.guidance)
                meter.step()
            schedule = self._backbone.schedule(config.inversion, (z.shape[-2], z.shape[-1]))
            inversion = invert(self._backbone, z, cond, schedule, kv_blocks=blocks, show=self._show, observer=timer)
            while len(self._prepared) >= _INVERSIONS_KEPT:
                del self._prepared[next(iter(self._prepared))]
            self._prepared[key] = _Prepared(inversion, timer.timings(shared=True))
        return self._prepared[key]

    def _check_taps(self, config: EditConfig) -> None:
        names = self._backbone.spec.tap_names
        unknown = [tap for tap in config.optimise.taps or () if tap not in names]
        if unknown:
            raise UserError(f"optimise.taps: {', '.join(unknown)} is no tap of this model: it has {', '.join(names)}")

    def _kv_blocks(self, config: EditConfig) -> tuple[str, ...] | None:
        spec = self._backbone.spec
        blocks = spec.kv_blocks if config.kv.sites is None else config.kv.sites
        unknown = [block for block in blocks if block not in spec.blocks]
        if unknown:
            raise UserError(
                f"kv.sites: {', '.join(unknown)} is no block of this model: it has {', '.join(spec.blocks)}"
            )
        return None if config.kv.rule == "none" else tuple(blocks)

    def _working_size(self, config: EditConfig) -> tuple[int, int]:
        return canvas.working_size(self.source.size, config.size.max_pixels, self._backbone.spec.pixel_multiple)

    def _as_drag(
        self, task: DragTask, config: EditConfig, latent: tuple[int, int], preview: Callable[[], NDArray[np.uint8]]
    ) -> Drag:
        """The request on the model's grids and device."""
        device = self._backbone.cache_device(0)
        regions = [torch.from_numpy(op.mask).to(device) for op in task.operations]
        weights = masks.region_weights(regions)

        @cache
        def proposal() -> Latent:
            return self._backbone.encode(canvas.as_image(preview(), self._working_size(config)))

        def target(identity: Identity | None) -> Callable[[float], Conditioning]:
            return lambda guidance: self._backbone.condition(task.target_prompt, identity, guidance=guidance)

        box = subject_box(task, config)
        return Drag(
            regions=tuple(
                RegionMotion(mask, op.motion, op.handle, weight)
                for mask, op, weight in zip(regions, task.operations, weights, strict=True)
            ),
            area=masks.any_cells(torch.from_numpy(task.area).to(device), latent),
            latent_cells=canvas.cell_map(task, regions, latent),
            token_cells=canvas.cell_map(task, regions, self._backbone.spec.token_grid(latent)),
            target=target(self._subject.sampling(config, box)),
            inverting=target(self._subject.inverting(config, box)),
            proposal=proposal,
        )

    def _show(self, z: Latent) -> NDArray[np.uint8]:
        return canvas.as_pixels(self._backbone.decode(z))

    def _recipe(self, instruction: Instruction, config: EditConfig) -> Recipe:
        return Recipe(
            instruction=dump_instruction(instruction),
            config=config,
            config_hash=config.hash,
            model=self._backbone.identity(),
            source_sha256=self.source.sha256,
            versions={"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
            identity=None if self._subject.adapter is None else self._subject.adapter.record,
        )


def edit(
    image: Picture,
    instruction: Instruction | str | Path,
    *,
    model: str | Path = "nano",
    preset: EditConfig | str = "default",
    observer: Observer = silent,
    device: str | None = None,
    dtype: str | None = None,
    lora: Sequence[str] = (),
    identity: IdentityOptions | None = None,
) -> EditResult:
    """One edit in one call: load, open, edit. For more than one edit, keep the `Editor` and the `Session`.

    Args:
        image: as for `Editor.open`.
        instruction: an instruction, or the path of an instruction file or ReD Bench folder.
        model: as for `Editor.load`.
        preset: preset name or configuration.
        observer: told of progress; may raise `Cancelled`.
        device: as for `Editor.load`.
        dtype: as for `Editor.load`.
        lora: as for `Editor.load`.
        identity: as for `Editor.load`.
    """
    asked = load_instruction(instruction) if isinstance(instruction, str | Path) else instruction
    editor = Editor.load(model, device=device, dtype=dtype, lora=lora, identity=identity)
    return editor.open(image, asked.prompt, config=preset, observer=observer).edit(asked, preset, observer)


def as_config(config: EditConfig | str) -> EditConfig:
    """A configuration, given itself or by the name of its preset."""
    if isinstance(config, str):
        return load_preset(config)
    broken = validate(config)
    if broken:
        raise UserError("; ".join(broken))
    return config


@dataclass(frozen=True, eq=False)
class _Prepared:
    """An inversion, and what it took."""

    inversion: Inversion
    timings: tuple[Timing, ...]
