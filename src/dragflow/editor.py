"""Heavy once, cheap often: `Editor` holds the weights, `Session` an inverted picture, and `edit` is cheap to repeat."""

from __future__ import annotations

import platform
import resource
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from dragflow.backbones.registry import load_backbone
from dragflow.core.config import EditConfig
from dragflow.core.errors import UserError
from dragflow.core.events import Event, Finished, Observer, Stepped, silent
from dragflow.core.motion import Matrix, motion_matrix
from dragflow.core.result import EditResult, Provenance, Recipe, Timing
from dragflow.core.task import DragTask, Instruction
from dragflow.io.images import SourceImage, from_pixels, load_image
from dragflow.io.instruction import dump_instruction, load_instruction
from dragflow.io.masks import feather
from dragflow.io.presets import load_preset
from dragflow.io.preview import ghost, is_deformation, trail
from dragflow.io.resolve import resolve
from dragflow.method.backbone import Backbone, Conditioning, Image, Latent
from dragflow.method.drag import Drag, drag
from dragflow.method.inversion import Inversion, invert
from dragflow.method.phases import phase
from dragflow.method.supervision.region import RegionMotion
from dragflow.ops import geometry, masks

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

    Picture = str | Path | NDArray[np.uint8] | PILImage | SourceImage

_INVERSIONS_KEPT = 2
_PACKAGES = ("dragflow", "torch", "diffusers", "transformers", "numpy", "opencv-python-headless")


class Editor:
    """A loaded model."""

    def __init__(self, backbone: Backbone) -> None:
        """Wrap a backbone that is loaded already; see `Editor.load`."""
        self.backbone = backbone

    @classmethod
    def load(
        cls,
        model: str | Path,
        *,
        device: str | None = None,
        dtype: str | None = None,
        quantize: str | None = None,
        offload: bool = False,
        lora: Sequence[str] = (),
        checkpointing: bool | None = None,
    ) -> Editor:
        """Load a model once for many pictures.

        Args:
            model: hub id or folder of a FLUX.1 pipeline in diffusers layout, or the built-in "dummy".
            device: as torch names it; an accelerator if there is one.
            dtype: "float32", "bfloat16" or "float16"; bfloat16 on accelerators, float32 on the CPU. Latents, losses and
                updates are float32 in any case.
            quantize: "int8", "fp8", "layerwise-fp8" or "gguf:FILE", of the transformer alone.
            offload: keep text encoders and autoencoder in main memory while they are not at work.
            lora: safetensors files, each with an optional scale as in "style.safetensors:0.8".
            checkpointing: recompute activations in the backward pass to save memory; on for accelerators by default.

        Raises:
            UserError: no such model, a part missing, an unknown choice.
            CapabilityError: an architecture dragflow does not know, or no gradient reaches the latent.
        """
        return cls(
            load_backbone(
                str(model),
                device=device,
                dtype=dtype,
                quantize=quantize,
                offload=offload,
                lora=tuple(lora),
                checkpointing=checkpointing,
            )
        )

    def open(
        self, image: Picture, prompt: str = "", *, config: EditConfig | str = "default", observer: Observer = silent
    ) -> Session:
        """Encode and invert a picture, and record its K/V: once for all edits of it.

        Args:
            image: path, array (H, W, 3 or 4) uint8, PIL picture, or `SourceImage`.
            prompt: what the picture shows.
            config: preset name or configuration; edits with the same `inversion` and `size` reuse the work.
            observer: told of progress; may raise `Cancelled`.

        Raises:
            UserError: a picture or a configuration that breaks a rule.
        """
        source = load_image(image) if isinstance(image, str | Path) else from_pixels(image)
        session = Session(self.backbone, source, prompt)
        session.prepare(as_config(config), observer)
        return session


class Session:
    """One picture, inverted; made by `Editor.open`."""

    def __init__(self, backbone: Backbone, source: SourceImage, prompt: str) -> None:
        self.source = source
        self.prompt = prompt
        self._backbone = backbone
        self._inversions: dict[tuple[object, ...], Inversion] = {}

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
        timer = _Timer(observer)
        _reset_peak_memory()
        inversion = self._inversion(task.prompt, config, timer)
        edit = self._as_drag(task, config, (inversion.z.shape[-2], inversion.z.shape[-1]))
        z, losses = drag(self._backbone, inversion, edit, config, show=self._show, observer=timer)
        with phase("decode", 1, timer) as meter:
            decoded = self._backbone.decode(z)
            meter.step()
        recipe = self._recipe(instruction, config)
        return EditResult(
            image=composite(self.source.pixels, task.area, decoded, config),
            area=task.area,
            losses=losses,
            provenance=Provenance(recipe, timer.timings(), _peak_memory()),
        )

    def accept(
        self, result: EditResult, *, config: EditConfig | str | None = None, observer: Observer = silent
    ) -> Session:
        """A session on a result, to go on editing from it; alpha, layout and colour profile stay the source's."""
        session = Session(self._backbone, replace(self.source, pixels=result.image), self.prompt)
        session.prepare(result.provenance.recipe.config if config is None else as_config(config), observer)
        return session

    def prepare(self, config: EditConfig, observer: Observer = silent) -> None:
        """Do now the work that edits with this configuration share."""
        self._inversion(self.prompt, config, observer)

    def _inversion(self, prompt: str, config: EditConfig, observer: Observer) -> Inversion:
        """The inversion that a configuration asks for, made at most once."""
        blocks = self._kv_blocks(config)
        key = (prompt, config.inversion, config.size, blocks)
        if key not in self._inversions:
            with phase("encode", 1, observer) as meter:
                z = self._backbone.encode(_as_image(self.source.pixels, self._working_size(config)))
                cond = self._backbone.condition(prompt, guidance=config.inversion.guidance)
                meter.step()
            schedule = self._backbone.schedule(config.inversion, (z.shape[-2], z.shape[-1]))
            inversion = invert(self._backbone, z, cond, schedule, kv_blocks=blocks, show=self._show, observer=observer)
            while len(self._inversions) >= _INVERSIONS_KEPT:
                del self._inversions[next(iter(self._inversions))]
            self._inversions[key] = inversion
        return self._inversions[key]

    def _kv_blocks(self, config: EditConfig) -> tuple[str, ...] | None:
        if config.kv.rule == "none":
            return None
        spec = self._backbone.spec
        blocks = spec.kv_blocks if config.kv.sites is None else config.kv.sites
        unknown = [block for block in blocks if block not in spec.blocks]
        if unknown:
            raise UserError(
                f"kv.sites: {', '.join(unknown)} is no block of this model: it has {', '.join(spec.blocks)}"
            )
        return tuple(blocks)

    def _working_size(self, config: EditConfig) -> tuple[int, int]:
        return working_size(self.source.size, config.size.max_pixels, self._backbone.spec.pixel_multiple)

    def _as_drag(self, task: DragTask, config: EditConfig, latent: tuple[int, int]) -> Drag:
        """The request on the model's grids and device."""
        device = self._backbone.cache_device(0)
        regions = [torch.from_numpy(op.mask).to(device) for op in task.operations]
        weights = masks.region_weights(regions)
        return Drag(
            regions=tuple(
                RegionMotion(mask, op.motion, op.handle, weight)
                for mask, op, weight in zip(regions, task.operations, weights, strict=True)
            ),
            area=masks.any_cells(torch.from_numpy(task.area).to(device), latent),
            latent_cells=_cell_map(task, regions, latent),
            token_cells=_cell_map(task, regions, self._backbone.spec.token_grid(latent)),
            source=lambda guidance: self._condition(task.prompt, guidance),
            target=lambda guidance: self._condition(task.target_prompt, guidance),
            proposal=lambda: _as_image(ghost(task), self._working_size(config)),
        )

    def _condition(self, prompt: str, guidance: float) -> Conditioning:
        return self._backbone.condition(prompt, guidance=guidance)

    def _show(self, z: Latent) -> NDArray[np.uint8]:
        return _as_pixels(self._backbone.decode(z))

    def _recipe(self, instruction: Instruction, config: EditConfig) -> Recipe:
        return Recipe(
            instruction=dump_instruction(instruction),
            config=config,
            config_hash=config.hash,
            model=self._backbone.identity(),
            source_sha256=self.source.sha256,
            versions={"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        )


def edit(
    image: Picture,
    instruction: Instruction | str | Path,
    *,
    model: str | Path = "dummy",
    preset: EditConfig | str = "default",
    observer: Observer = silent,
    device: str | None = None,
    dtype: str | None = None,
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
    """
    asked = load_instruction(instruction) if isinstance(instruction, str | Path) else instruction
    editor = Editor.load(model, device=device, dtype=dtype)
    return editor.open(image, asked.prompt, config=preset, observer=observer).edit(asked, preset, observer)


def as_config(config: EditConfig | str) -> EditConfig:
    """A configuration, given itself or by the name of its preset."""
    return load_preset(config) if isinstance(config, str) else config


def working_size(size: tuple[int, int], max_pixels: int, multiple: int) -> tuple[int, int]:
    """(h, w) at which the model works: scaled down to `max_pixels`, then each side floored to the multiple."""
    h, w = size
    scale = min(1.0, (max_pixels / (h * w)) ** 0.5)
    return max(multiple, int(h * scale) // multiple * multiple), max(multiple, int(w * scale) // multiple * multiple)


def composite(
    source: NDArray[np.uint8], area: NDArray[np.bool_], decoded: Image, config: EditConfig
) -> NDArray[np.uint8]:
    """out = B~ decoded + (1 - B~) source, B~ feathered inside B: outside of B the source's own bytes (method Sec. 7)."""
    edited = _as_pixels(F.interpolate(decoded, size=source.shape[:2], mode="bicubic", antialias=True).clamp(0, 1))
    if not config.area.composite:
        return edited
    weight = feather(area, config.area.feather)[..., None]
    blended = np.rint(weight * edited + (1 - weight) * source).astype(np.uint8)
    return np.where(area[..., None], blended, source)


def _cell_map(task: DragTask, regions: Sequence[torch.Tensor], grid: tuple[int, int]) -> geometry.CellMap:
    """The whole drag on one grid, operation after operation."""
    size = (task.area.shape[0], task.area.shape[1])
    cells = geometry.identity_map(grid, regions[0])
    for region, operation in zip(regions, task.operations, strict=True):
        steps = trail(operation, cell=size[0] / grid[0])
        path: list[Matrix] = [
            geometry.to_grid(motion_matrix(operation.motion, operation.handle, progress), size, grid)
            for progress in steps
        ]
        covered = masks.covered_cells(masks.coverage(region, grid))
        cells = geometry.move_cells(cells, covered, path, leaves_hole=not is_deformation(operation))
    return cells


def _as_image(pixels: NDArray[np.uint8], size: tuple[int, int]) -> Image:
    image = torch.tensor(pixels).permute(2, 0, 1)[None].float() / 255
    if size == pixels.shape[:2]:
        return image
    return F.interpolate(image, size=size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)


def _as_pixels(image: Image) -> NDArray[np.uint8]:
    return (image[0].permute(1, 2, 0) * 255).round().to("cpu", torch.uint8).numpy()


def _reset_peak_memory() -> None:
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def _peak_memory() -> float | None:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class _Timer:
    """Passes events on, and remembers what each phase took."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._calls: dict[str, int] = {}
        self._seconds: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, Stepped):
            self._calls[event.phase] = event.index
        elif isinstance(event, Finished):
            self._seconds[event.phase] = event.seconds
        self._observer(event)

    def timings(self) -> tuple[Timing, ...]:
        return tuple(
            Timing(name, round(seconds, 4), self._calls.get(name, 0)) for name, seconds in self._seconds.items()
        )
