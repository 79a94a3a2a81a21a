"""Edits of held-out scenes of the procedural world, each scored against the picture that the moved scene gives."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from dragflow.bench import scores
from dragflow.bench.scores import Mask, Pixels
from dragflow.core.config import EditConfig
from dragflow.core.errors import UserError
from dragflow.core.task import Affine, Instruction, MaskArray, Motion, Operation, Rotate, Scale, Translate
from dragflow.io import masks
from dragflow.io.presets import load_preset, override
from dragflow.io.preview import ghost
from dragflow.io.resolve import resolve
from dragflow.world import DragCase, drag_case

if TYPE_CHECKING:
    from dragflow.editor import Editor, Session

OPENCV, GHOST = "no-model", "preview"
"""Rows without a model: paste over OpenCV's inpainting, and the preview that every edit starts from."""
SIZE = 256


@dataclass(frozen=True)
class Record:
    """One edit of one scene; what does not apply to its kind is NaN."""

    setting: str
    config: str
    """Hash of configuration and model, so that an older setting of the same name is not taken for this one."""
    scene: int
    kind: str
    context: tuple[str, ...]
    """What the scene contains that cutting and pasting gets wrong."""
    area: float
    """PSNR in dB inside the editable area."""
    target: float
    """PSNR in dB where the object should be."""
    vacated: float
    """PSNR in dB where it was and no longer is."""
    ssim: float
    """SSIM inside the editable area."""
    landing: float
    """Pixels from where the object should be to where it is found."""
    angle: float
    """Degrees, of rotations."""
    ratio: float
    """Share of the size, of scalings."""
    outside: bool
    """Whether every pixel outside of the editable area is the source's."""
    open_seconds: float
    edit_seconds: float


def held_out(first: int, count: int) -> range:
    """Numbers of `count` scenes from `first` on."""
    return range(first, first + count)


def case_of(scene: int) -> DragCase:
    """Held-out scene `scene`: objects that no training has seen."""
    return drag_case(scene, None, SIZE, "test")


def instruction(case: DragCase) -> Instruction:
    """What a person would ask for, in the world's own area (it holds the shadows too)."""
    operation = Operation(MaskArray(case.mask), motion(case))
    return Instruction((operation,), case.caption, case.edit, MaskArray(case.area))


def motion(case: DragCase) -> Motion:
    """The motion of a case as the editor has it; about an anchor outside of the picture as an affine map."""
    drawn = case.motion
    anchored = drawn.about is not None and masks.inside(drawn.about, (case.mask.shape[0], case.mask.shape[1]))
    if drawn.type == "rotate" and anchored and drawn.about is not None:
        return Rotate(drawn.about, degrees=drawn.degrees)
    if drawn.type == "scale" and anchored and drawn.about is not None and drawn.factor is not None:
        return Scale(drawn.about, drawn.factor)
    to = drawn.apply(masks.centroid(case.mask))
    if drawn.type == "translate" and masks.inside(to, (case.mask.shape[0], case.mask.shape[1])):
        return Translate(to)
    return Affine(drawn.matrix)


def parse_setting(text: str) -> EditConfig:
    """A preset's name and key=value changes after commas, as in `default,kv.rule=mapped`.

    Raises:
        UserError: no such preset, key or value.
    """
    name, *changes = text.split(",")
    return override(load_preset(name), changes)


def stamp(setting: str, model: str) -> str:
    """What tells two records of one setting apart: the hash of its configuration and the fingerprint of the weights."""
    if setting in (OPENCV, GHOST):
        return ""
    return f"{parse_setting(setting).hash} {editor(model).backbone.identity().fingerprint}"


def opencv_fill(image: Pixels, hole: Mask) -> Pixels:
    """The hole and its blurred rim inpainted by OpenCV (Telea's method)."""
    return np.asarray(cv2.inpaint(image, masks.dilate(hole, 2).astype(np.uint8), 3, cv2.INPAINT_TELEA), dtype=np.uint8)


def run(settings: list[str], scenes: range, model: str, out: Path, processes: int = 1) -> Iterator[Record]:
    """Score every setting on every scene; what `out` holds already is not made again.

    Records go to out/records.jsonl as they come, pictures where `picture_path` says.

    Raises:
        UserError: a setting that is none.
    """
    out.mkdir(parents=True, exist_ok=True)
    stamps = {setting: stamp(setting, model) for setting in settings}
    known = {(r.setting, r.scene): r for r in read(out) if r.config == stamps.get(r.setting)}
    jobs = [(setting, scene) for scene in scenes for setting in settings]
    yield from (known[job] for job in jobs if job in known)
    missing = [scene for scene in scenes if any((setting, scene) not in known for setting in settings)]
    todo = {scene: [s for s in settings if (s, scene) not in known] for scene in missing}
    for record in _parallel(partial(_scene, model, out), todo, processes):
        with (out / "records.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(asdict(record)) + "\n")
        yield record


def picture_path(out: Path, setting: str, scene: int) -> Path:
    """Where the picture of an edit lies; the folder is the setting with plain characters only."""
    return out / re.sub(r"[^\w.,=-]+", "_", setting) / f"{scene}.png"


def read(out: Path) -> list[Record]:
    """The records that a folder holds.

    Raises:
        UserError: a line that is no record.
    """
    path = out / "records.jsonl"
    if not path.exists():
        return []
    found: list[Record] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            data = json.loads(line)
            found.append(Record(**data | {"context": tuple(data["context"])}))
        except (json.JSONDecodeError, TypeError, KeyError) as error:
            raise UserError(
                f"{path} line {number} is no record ({error}): delete the line, its scene is made again"
            ) from error
    return found


def _parallel(
    work: Callable[[int, list[str]], list[Record]], todo: dict[int, list[str]], processes: int
) -> Iterator[Record]:
    if processes == 1:
        for scene, settings in todo.items():
            yield from work(scene, settings)
        return
    with ProcessPoolExecutor(processes, get_context("spawn"), initializer=_one_thread) as pool:
        for done in as_completed([pool.submit(work, scene, settings) for scene, settings in todo.items()]):
            yield from done.result()


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@cache
def editor(model: str) -> Editor:
    """A model, loaded once in a process."""
    from dragflow.editor import Editor

    return Editor.load(model)


def _scene(model: str, out: Path, scene: int, settings: list[str]) -> list[Record]:
    """All settings of one scene; those that invert alike share the work, whose time each is told all the same."""
    case = case_of(scene)
    asked = instruction(case)
    session: Session | None = None
    found: list[Record] = []
    for setting in settings:
        before = 0.0
        begun = time.perf_counter()
        if setting in (OPENCV, GHOST):
            task = resolve(case.source, asked)
            image = ghost(task, opencv_fill, shadows=False) if setting == OPENCV else ghost(task)
        else:
            config = parse_setting(setting)
            session = session or editor(model).open(case.source, case.caption, config=config)
            session.prepare(config)
            begun = time.perf_counter()
            result = session.edit(asked, config)
            image = result.image
            before = sum(timing.seconds for timing in result.provenance.timings if timing.shared)
        seconds = time.perf_counter() - begun
        path = picture_path(out, setting, scene)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
        found.append(score(setting, stamp(setting, model), scene, case, image, (before, seconds)))
    return found


def score(setting: str, config: str, scene: int, case: DragCase, image: Pixels, seconds: tuple[float, float]) -> Record:
    """Every measure of one edited picture."""
    truth, target, moved = case.target, case.target_mask, case.motion
    nan = math.nan
    turn, grow = moved.type == "rotate" and moved.about, moved.type == "scale" and moved.about
    return Record(
        setting=setting,
        config=config,
        scene=scene,
        kind=case.kind,
        context=tuple(name for name, present in asdict(case.context).items() if present),
        area=scores.psnr(image, truth, case.area),
        target=scores.psnr(image, truth, target),
        vacated=scores.psnr(image, truth, case.mask & ~target),
        ssim=scores.ssim(image, truth, case.area),
        landing=scores.landing_error(image, truth, target),
        angle=scores.angle_error(image, truth, target, turn) if turn else nan,
        ratio=scores.ratio_error(image, truth, target, grow) if grow else nan,
        outside=bool((image == case.source)[~case.area].all()),
        open_seconds=seconds[0],
        edit_seconds=seconds[1],
    )
