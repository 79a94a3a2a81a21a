"""One picture, encoded and inverted once, and edited any number of times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dragflow.core.arrays import Pixels, Window
from dragflow.core.checked import check, expect
from dragflow.core.config import EditConfig, SizeConfig
from dragflow.core.errors import UserError
from dragflow.core.events import Observer, silent
from dragflow.core.result import Provenance, Recipe, Timing
from dragflow.core.task import DragTask, Instruction, Operation, as_instruction
from dragflow.editor import frames
from dragflow.editor.checks import check_names, kv_blocks, with_names
from dragflow.editor.correction import Preview, bridge_of, bridged
from dragflow.editor.inversions import InversionKey, Inversions, Prepared
from dragflow.editor.memory import with_less_memory
from dragflow.editor.metering import Timer, peak_memory, reset_peak_memory
from dragflow.editor.request import as_drag
from dragflow.editor.result import EditResult
from dragflow.editor.round_trip import RoundTrip
from dragflow.editor.subject import SessionSubject, subject_box
from dragflow.editor.versions import versions
from dragflow.editor.window import settled
from dragflow.editor.wording import worded
from dragflow.files.masks import freeze
from dragflow.files.pictures import SourceImage
from dragflow.files.presets import check_config, configure
from dragflow.method.backbone import Backbone, Conditioning, Image, Latent
from dragflow.method.drag import drag
from dragflow.method.filling import kept
from dragflow.method.inversion import Inversion, invert, noise
from dragflow.method.phases import Show, phase
from dragflow.method.references import seen_inverting, unmoved
from dragflow.pixels.layers import Kept
from dragflow.pixels.preview import draw_preview
from dragflow.pixels.resolve import resolve
from dragflow.subject.base import SubjectAdapter

_INVERSIONS_KEPT = 2


class Session:
    """One picture, inverted; made by `Editor.open`.

    Any number of threads may edit in one session, and in several sessions of one editor. The model's lock is taken
    around model work, so they take turns: each edit gives the bytes it would give alone, and a cancelled one disturbs
    no other.
    """

    def __init__(
        self,
        backbone: Backbone,
        source: SourceImage,
        prompt: str,
        adapter: SubjectAdapter | None = None,
        inversions: Inversions | None = None,
    ) -> None:
        self.source = source
        self.prompt = prompt
        self._backbone = backbone
        self._digest = source.sha256
        self._subject = SessionSubject(adapter, source.pixels)
        self._layers = Kept()
        self._inversions = Inversions(_INVERSIONS_KEPT) if inversions is None else inversions
        self._last: tuple[InversionKey, Prepared] | None = None
        """Held by the session itself: what is too large to be kept must not be made twice for one edit."""
        self._encoded: tuple[SizeConfig, Latent] | None = None
        self._drawn: RoundTrip | None = None
        """Of the last preview."""

    def edit(
        self,
        instruction: Instruction | Operation | Sequence[Operation] | DragTask,
        config: EditConfig | str | None = None,
        observer: Observer = silent,
    ) -> EditResult:
        """Make one edit; the session is unchanged afterwards, also if the observer cancels.

        Args:
            instruction: what to do, or one operation; its prompt, when given, replaces the session's. A task is an
                instruction that was resolved on this picture already.
            config: preset name or configuration; the preset that serves the model best when None.
            observer: gets the events; may raise `Cancelled`.

        Raises:
            UserError: an instruction or a configuration that breaks a rule.
            CapabilityError: the configuration needs what the model does not have, as a bridge, or many steps.
            NumericalError: the latent is no longer finite.
        """
        config, observer = as_config(config, self._backbone), check(Callable, observer, "observer")
        check_names(config, self._backbone.spec)
        task = self._task(instruction, config)
        config = self._settled(config, task)
        recipe, window = self._recipe(task, config), config.size.box
        seen, box = frames.cropped(task, window), subject_box(task, config)
        with self._backbone.lock:
            shared, timer, edited, losses = with_less_memory(
                self._backbone, lambda: self._edited(task, seen, config, box, observer)
            )
            memory = peak_memory()
        deep = None if self.source.deep is None else self.source.deep[..., :3]
        return EditResult(
            pixels=frames.pasted(task.image, window, edited(seen.image)),
            deep=None if deep is None else frames.pasted(deep, window, edited(frames.shown(deep, window))),
            task=task,
            losses=losses,
            provenance=Provenance(recipe, (*shared, *timer.timings()), memory),
            source=self.source,
        )

    def _edited(
        self, task: DragTask, seen: DragTask, config: EditConfig, box: Window | None, observer: Observer
    ) -> tuple[tuple[Timing, ...], Timer, Callable[[NDArray[Any]], NDArray[Any]], tuple[float, ...]]:
        """What the inversion took, what the edit does, how what is seen looks in the end, and losses."""
        timer = Timer(observer)
        reset_peak_memory()
        preview = cache(lambda: self._preview(task, seen, config, timer))
        if not config.inverts:
            return (), timer, preview().on, ()
        prepared = self._prepare(task.prompt, config, box, observer)
        decoded, losses = self._dragged(prepared.inversion, seen, config, preview, box, timer)
        return prepared.timings, timer, partial(frames.composite, seen, decoded, config), losses

    def _preview(self, task: DragTask, seen: DragTask, config: EditConfig, observer: Observer) -> Preview:
        """The pixel preview of what is seen, as the model's bridge corrects it where that is asked for."""
        # Drawn in the whole picture, then cropped: shadows and what fills the hole may lie outside of the window.
        layers, box = self._layers.of(task), config.size.box
        drawn = Preview(seen, frames.shown(draw_preview(task, layers), box), config)
        if config.start.mode != "bridge":
            return drawn
        if config.area.texture and not config.inverts:
            drawn = replace(drawn, textured=frames.shown(draw_preview(task, layers, texture=True), box))
        with phase("bridge", 1, observer) as meter:
            result = bridged(self._backbone, drawn, self._latent(config))
            meter.step(preview=lambda: result.on(seen.image))
        return result

    def _dragged(
        self,
        inversion: Inversion,
        seen: DragTask,
        config: EditConfig,
        preview: Callable[[], Preview],
        box: Window | None,
        observer: Observer,
    ) -> tuple[Image, tuple[float, ...]]:
        """What the model makes of what is seen, at its working size or at that of the picture, and the loss of every
        iteration.
        """
        drawn = cache(lambda: self._round_trip(self._as_image(preview().pixels, config)))
        edit = as_drag(
            self._backbone,
            seen,
            config,
            inversion,
            preview=drawn,
            sampling=self._subject.sampling(config, box),
            inverting=self._subject.inverting(config, box),
        )
        show = self._show(config.size.box)
        z, losses = drag(self._backbone, inversion, edit, config, show=show, observer=observer)
        with phase("decode", 1, observer) as meter:
            decoded = self._backbone.decode(z)
            if config.area.detail:
                full = frames.as_image(preview().pixels, (seen.area.shape[0], seen.area.shape[1]))
                decoded = frames.with_detail(decoded, drawn().decoded, full)
            meter.step()
        return decoded, losses

    def accept(
        self, result: EditResult, *, config: EditConfig | str | None = None, observer: Observer = silent
    ) -> Session:
        """A session on a result, for further edits of it; alpha, layout and colour profile stay those of the source."""
        recipe, observer = expect(EditResult, result).provenance.recipe, check(Callable, observer, "observer")
        prompt, adapter = recipe.instruction.prompt, self._subject.adapter
        session = Session(self._backbone, result.picture, prompt, adapter, self._inversions)
        session.prepare(recipe.config if config is None else as_config(config, self._backbone), observer)
        return session

    def prepare(self, config: EditConfig, observer: Observer = silent) -> None:
        """Do the work that edits with this configuration share, unless it depends on what is dragged."""
        check_names(expect(EditConfig, config), self._backbone.spec)
        config = self._settled(config, None)
        if not config.inverts or config.size.window != "whole" or self._subject.waits(config):
            return  # a window that was given waits too: whether the edit fits in it is said before any work
        with self._backbone.lock:
            with_less_memory(self._backbone, lambda: self._prepare(self.prompt, config, None, observer))

    def inverted(self, task: DragTask, config: EditConfig) -> bool:
        """Whether the inversion that an edit needs is kept already, or it needs none."""
        if not config.inverts:
            return True
        config = self._settled(config, task)
        key = self._key(task.prompt or self.prompt, config, subject_box(task, config))
        return self._inversions.holds(key, self._backbone)

    def _settled(self, config: EditConfig, task: DragTask | None) -> EditConfig:
        """The configuration with what it leaves open: the window, taps and K/V sites."""
        spec = self._backbone.spec
        return with_names(replace(config, size=settled(config.size, self.source.size, task, spec.pixel_multiple)), spec)

    def _task(
        self, instruction: Instruction | Operation | Sequence[Operation] | DragTask, config: EditConfig
    ) -> DragTask:
        asked = instruction.instruction if isinstance(instruction, DragTask) else freeze(as_instruction(instruction))
        asked = replace(asked, prompt=asked.prompt or self.prompt)
        if isinstance(instruction, DragTask):
            if not np.array_equal(instruction.image, self.source.pixels):
                raise UserError("the task was resolved on another picture than the session's: resolve it on this one")
            task = replace(instruction, instruction=asked)
        else:
            task = resolve(self.source.pixels, asked, margin=config.area.margin)
        return worded(task, config, self._backbone.spec)

    def _key(self, prompt: str, config: EditConfig, box: Window | None) -> InversionKey:
        key = InversionKey(
            picture=self._digest,
            size=config.size,
            prompt=prompt,
            inversion=config.inversion,
            sites=kv_blocks(config, self._backbone.spec),
            every=config.tokens.every if config.records else None,
            subject=self._subject.key(config, box),
            references=seen_inverting(config),
            seed=config.seed if config.inversion.mode == "noised" else None,
            weights=self._backbone.weights,
        )
        return key if key.calls_model else replace(key, prompt="", subject=None, references=())

    def _prepare(self, prompt: str, config: EditConfig, box: Window | None, observer: Observer) -> Prepared:
        """The inversion for a configuration, made at most once."""
        key = self._key(prompt, config, box)
        if self._last is None or self._last[0] != key:
            known = self._inversions.get(key, self._backbone)
            self._last = key, self._invert(key, prompt, config, box, observer) if known is None else known
        return self._last[1]

    def _invert(
        self, key: InversionKey, prompt: str, config: EditConfig, box: Window | None, observer: Observer
    ) -> Prepared:
        timer, window = Timer(observer), key.size.box
        with phase("encode", 1, timer) as meter:
            z = self._latent(config)
            latent = (z.shape[-2], z.shape[-1])
            cond = self._inverting(prompt, config, box, z) if key.calls_model else None
            meter.step()
        how = invert if key.seed is None else partial(noise, seed=key.seed)
        inversion = how(
            self._backbone,
            z,
            cond,
            self._backbone.schedule(config.inversion, latent),
            solver=config.inversion.solver,
            kv_blocks=key.sites,
            every=key.every,
            show=self._show(window),
            observer=timer,
        )
        made = Prepared(inversion, timer.timings(shared=True))
        self._inversions.put(key, made, self._backbone)
        return made

    def _inverting(self, prompt: str, config: EditConfig, box: Window | None, z: Latent) -> Conditioning:
        """What the model is told while the source, whose latent is z, is inverted."""
        return self._backbone.condition(
            prompt,
            subject=self._subject.inverting(config, box),
            references=unmoved(seen_inverting(config), z, self._backbone.spec.token_grid((z.shape[-2], z.shape[-1]))),
            fill=kept(z, self._backbone.spec),
            guidance=config.inversion.guidance,
        )

    def _latent(self, config: EditConfig) -> Latent:
        """The latent of what the model sees of the picture, encoded once for all edits that see the same."""
        if self._encoded is None or self._encoded[0] != config.size:
            seen = frames.shown(self.source.pixels, config.size.box)
            self._encoded = config.size, self._backbone.encode(self._as_image(seen, config))
        return self._encoded[1]

    def _round_trip(self, preview: Image) -> RoundTrip:
        """A preview at the model's working size, encoded and decoded once for further edits that draw the same."""
        if self._drawn is None or not torch.equal(self._drawn.image, preview):
            self._drawn = RoundTrip(self._backbone, preview)
        return self._drawn

    def _as_image(self, seen: Pixels, config: EditConfig) -> Image:
        """What the model sees, at the size at which it works."""
        return frames.as_seen(seen, self._backbone.spec, config.size.max_pixels)

    def _show(self, window: Window | None) -> Show:
        """How a latent of the window looks in the whole picture."""

        def show(z: Callable[[], Latent]) -> Pixels:
            with self._backbone.lock:  # an observer may keep a preview, and ask for it in another thread
                decoded = self._backbone.decode(z())
            return frames.overview(self.source.pixels, window, decoded)

        return show

    def _recipe(self, task: DragTask, config: EditConfig) -> Recipe:
        return Recipe(
            instruction=task.instruction,
            config=config,
            config_hash=config.hash,
            weights=self._backbone.weights,
            source_sha256=self._digest,
            versions=versions(),
            subject=None if self._subject.adapter is None else self._subject.adapter.record,
            parent=self.source.recipe_sha256,
        )


def as_config(config: EditConfig | str | None, backbone: Backbone) -> EditConfig:
    """A configuration, given as such or by the name of its preset; that of the model's own preset when None.

    Raises:
        CapabilityError: it needs a bridge, and the model has none; or a preset that makes no sense for the model.
    """
    spec = backbone.spec
    chosen = spec.preset if config is None else config
    few = spec.preset if spec.distilled else None
    settings = configure(chosen, few=few) if isinstance(chosen, str) else check_config(chosen)
    if settings.start.mode == "bridge":
        bridge_of(backbone)
    return settings
