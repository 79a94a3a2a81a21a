"""How an edit is made: every number of the method, typed; presets are values of `EditConfig`."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from typing import Any, Literal

from dragflow.core.errors import UserError

# Read by pydantic when a preset or an override is parsed: an unknown key is an error, not a shrug.
_STRICT = {"extra": "forbid", "strict": True}


@dataclass(frozen=True)
class SizeConfig:
    """The size at which the model works; the result always has the size of the source."""

    __pydantic_config__ = _STRICT

    max_pixels: int = 1024 * 1024
    """A larger picture is scaled down to this area for the model (its sides become multiples of the model's cell)."""


@dataclass(frozen=True)
class InversionConfig:
    """Time grid and inversion (method Sec. 4 and 5)."""

    __pydantic_config__ = _STRICT

    steps: int = 25
    """Intervals N of the full time grid from noise to image."""
    skip: int = 6
    """Intervals s left out at the noise end; the edit happens at time t_s."""
    guidance: float = 1.0
    """Guidance while inverting, with the source prompt."""


@dataclass(frozen=True)
class KVConfig:
    """Injection of the keys and values recorded in the inversion (paper Sec. 3.4)."""

    __pydantic_config__ = _STRICT

    rule: Literal["none", "in-place", "mapped"] = "in-place"
    """`in-place`: every image token gets the recorded ones of its own place (paper). `mapped`: target tokens get those
    of the tokens they come from, vacated tokens keep their own, all others the recorded ones. `none`: no injection."""
    sites: tuple[str, ...] | None = None
    """Attention blocks, as in "double.0" or "single.6"; the backbone's own choice when None."""


@dataclass(frozen=True)
class SubjectConfig:
    """Injection of the subject's features (paper Sec. 3.4); without effect where no subject adapter is loaded."""

    __pydantic_config__ = _STRICT

    inverting: bool = True
    """Inject while inverting, which makes the inversion faithful."""
    sampling: bool = True
    """Inject while dragging and denoising, which keeps the subject the same."""
    crop: Literal["whole", "region"] = "whole"
    """What the features are of: the whole picture, or the box around the dragged regions (the inversion then waits for
    the instruction)."""
    scale: float | None = None
    """Strength: what the adapter's attention is multiplied by before it is added; the adapter's own default when None
    (1.5 for instantcharacter, 0.7 for ip-adapter)."""
    time_scale: float = 1000.0
    """What flow time (0 to 1) is multiplied by for the adapter. Checkpoints were trained with 0 to 1000; 1 feeds the
    flow time itself, as a published use does."""


@dataclass(frozen=True)
class StartConfig:
    """The latent from which the optimisation starts, at time t_s."""

    __pydantic_config__ = _STRICT

    mode: Literal["source", "warp", "preview"] = "source"
    """`source`: the inverted picture (paper). `warp`: the inverted latent with its cells moved to the target.
    `preview`: the inversion of the pixel preview (moved object over the inpainted hole)."""
    fill: Literal["noise", "inpaint"] = "inpaint"
    """What `warp` puts into vacated cells: fresh noise, or the inverted inpainting of the hole."""
    stride: int = 1
    """Grid intervals per step when the preview or the inpainting is inverted; more is faster and coarser."""
    repair: float = 0.0
    """Share of fresh noise in the vacated cells and along the seams of the target, 0 to 1: 0 keeps the start as it is,
    1 lets the model invent those cells anew."""


@dataclass(frozen=True)
class OptimiseConfig:
    """The loop that drags the latent (method Sec. 6, paper Eq. 1, 2 and 4)."""

    __pydantic_config__ = _STRICT

    supervision: Literal["region", "point"] = "region"
    """`region`: every cell of a region is compared with where it came from (paper). `point`: only the surroundings of
    each operation's handle are pulled a step towards its target, and the handle is then looked for again (motion
    supervision and point tracking, DragDiffusion); kept to compare with."""
    moving: int = 50
    """K: iterations over which the motion grows from 1/K to 1."""
    refining: int = 20
    """R: further iterations at full motion."""
    rule: Literal["gradient", "adam"] = "gradient"
    """Plain gradient steps (paper) or Adam."""
    moving_rate: float = 1000.0
    """Step size while moving."""
    refining_rate: float = 1200.0
    """Step size while refining."""
    mean: Literal["map", "region"] = "map"
    """What the loss is averaged over: the whole feature map (paper; the step then depends on the region's size), or the
    region alone."""
    guidance: float = 3.5
    """Guidance of the feature model, with the target prompt."""
    taps: tuple[str, ...] | None = None
    """Features compared, as in "double.17.norm" or "double.17.out"; the backbone's own choice when None."""
    patch: int = 1
    """r1 of `point`: radius of the surroundings that are pulled, in quarters of a feature cell."""
    search: int = 3
    """r2 of `point`: radius within which a handle is looked for again, in quarters of a feature cell."""


@dataclass(frozen=True)
class DenoiseConfig:
    """The way back to the picture (method Sec. 7, paper Sec. 3.3)."""

    __pydantic_config__ = _STRICT

    guidance: float = 3.5
    """Guidance with the target prompt."""
    background: Literal["none", "replay", "resample"] = "resample"
    """What is put outside the editable area after every step: nothing, the trajectory recorded in the inversion (free
    and exact), or a second branch sampled with the inversion's guidance (paper; doubles the model calls)."""
    copy_until: float = 1.0
    """Flow time down to which the moved cells are overwritten, after every step, with the source's recorded state of
    that time (RegionDrag); 1 = never."""


@dataclass(frozen=True)
class AreaConfig:
    """The editable area and the final composite."""

    __pydantic_config__ = _STRICT

    margin: int = 0
    """Pixels by which the derived area is grown on all sides, for shadows and reflections that go with the object."""
    feather: float = 8.0
    """Pixels over which the result fades in from the rim of the editable area inwards."""
    detail: bool = False
    """Where the model kept what the pixel preview shows, give back the fine detail that the autoencoder and a smaller
    working size lost of it (one more encoding and decoding)."""
    composite: bool = True
    """Put the source's own pixels back outside the area; off only for experiments that measure the model's drift."""


@dataclass(frozen=True)
class EditConfig:
    """One complete setting of the method; the defaults are the paper's (preset `paper`)."""

    __pydantic_config__ = _STRICT

    size: SizeConfig = field(default_factory=SizeConfig)
    inversion: InversionConfig = field(default_factory=InversionConfig)
    kv: KVConfig = field(default_factory=KVConfig)
    subject: SubjectConfig = field(default_factory=SubjectConfig)
    start: StartConfig = field(default_factory=StartConfig)
    optimise: OptimiseConfig = field(default_factory=OptimiseConfig)
    denoise: DenoiseConfig = field(default_factory=DenoiseConfig)
    area: AreaConfig = field(default_factory=AreaConfig)
    seed: int = 0
    """Seed of all fresh noise; the same seed gives the same bytes on the same machine."""

    @property
    def hash(self) -> str:
        """Twelve hex digits that change with any field."""
        canonical = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    def with_(self, **settings: Any) -> EditConfig:
        """The same with some settings changed, as in `config.with_(optimise={"refining": 2}, seed=7)`.

        Raises:
            UserError: a setting that does not exist.
        """
        changes: dict[str, Any] = {}
        for name, value in settings.items():
            group = getattr(self, name, None)
            known: dict[str, Any] = vars(group) if is_dataclass(group) else {}
            given: dict[str, Any] = dict(value) if isinstance(value, dict) else {}  # pyright: ignore[reportUnknownArgumentType]
            unknown = [f"{name}.{key}" for key in given if key not in known]
            if name not in vars(self) or unknown:
                raise UserError(f"{(*unknown, name)[0]} is not a setting: see `dragflow presets paper`")
            changes[name] = replace(group, **given) if given else value  # pyright: ignore[reportArgumentType]
        return replace(self, **changes)


def validate(config: EditConfig) -> list[str]:
    """The rules that types cannot say; one sentence for each that is broken."""
    rules = {
        f"inversion.steps is {config.inversion.steps}: it must be 1 or more": config.inversion.steps >= 1,
        f"inversion.skip is {config.inversion.skip}: it must be 0 or more and less than inversion.steps "
        f"({config.inversion.steps})": 0 <= config.inversion.skip < config.inversion.steps,
        f"subject.scale is {config.subject.scale}: it must be 0 or more": (
            config.subject.scale is None or config.subject.scale >= 0
        ),
        f"subject.time_scale is {config.subject.time_scale}: it must be positive": config.subject.time_scale > 0,
        f"start.stride is {config.start.stride}: it must be 1 or more": config.start.stride >= 1,
        f"start.repair is {config.start.repair}: it must be between 0 and 1": 0 <= config.start.repair <= 1,
        f"optimise.moving is {config.optimise.moving}: it must be 0 or more": config.optimise.moving >= 0,
        f"optimise.refining is {config.optimise.refining}: it must be 0 or more": config.optimise.refining >= 0,
        f"optimise.moving_rate is {config.optimise.moving_rate}: it must be positive": config.optimise.moving_rate > 0,
        f"optimise.refining_rate is {config.optimise.refining_rate}: it must be positive": (
            config.optimise.refining_rate > 0
        ),
        f"optimise.patch is {config.optimise.patch}: it must be 0 or more": config.optimise.patch >= 0,
        f"optimise.search is {config.optimise.search}: it must be 1 or more": config.optimise.search >= 1,
        f"denoise.copy_until is {config.denoise.copy_until}: it must be between 0 and 1": (
            0 <= config.denoise.copy_until <= 1
        ),
        f"area.margin is {config.area.margin}: it must be 0 or more": config.area.margin >= 0,
        f"area.feather is {config.area.feather}: it must be 0 or more": config.area.feather >= 0,
        f"size.max_pixels is {config.size.max_pixels}: it must be 4096 or more": config.size.max_pixels >= 4096,
        f"seed is {config.seed}: it must be between 0 and 2**63 - 1": 0 <= config.seed < 2**63,
    }
    broken = [sentence for sentence, holds in rules.items() if not holds]
    for group in (config.inversion, config.subject, config.start, config.optimise, config.denoise, config.area):
        name = type(group).__name__.removesuffix("Config").lower()
        for key, value in vars(group).items():
            if isinstance(value, float) and not math.isfinite(value):
                broken.append(f"{name}.{key} is {value}: it must be a finite number")
    return broken
