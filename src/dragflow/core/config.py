"""How an edit is made: every number of the method, typed; presets are values of `EditConfig`."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from typing import Annotated, Any, Literal, cast

from annotated_types import Ge

from dragflow.core.arrays import Window
from dragflow.core.checked import Checked
from dragflow.core.errors import UserError
from dragflow.core.fields import (
    STRICT,
    Area,
    AtLeastOne,
    Count,
    Fade,
    Guidance,
    Margin,
    Name,
    NotNegative,
    Positive,
    Radius,
    Seed,
    Share,
)


@dataclass(frozen=True)
class SizeConfig(Checked, called="size.{}"):
    """The size at which the model works; the result always has the size of the source."""

    max_pixels: Area = 1024 * 1024
    """What is larger is scaled down to this area for the model (its sides become multiples of the model's cell)."""
    window: Literal["auto", "whole"] | Window = "auto"
    """What the model sees. `auto`: of a picture larger than `max_pixels` a window around the editable area, at its own
    resolution; of any other, all. `whole`: always all. Or a window: left, top, right, bottom. The inversion of a window
    waits for the instruction. A recipe holds which it was, never `auto`."""

    @property
    def box(self) -> Window | None:
        """The window, once it is settled; None if all is seen."""
        return self.window if isinstance(self.window, tuple) else None


Solver = Literal["fireflow", "euler"]


@dataclass(frozen=True)
class InversionConfig(Checked, called="inversion.{}"):
    """Time grid, solver and inversion (method Sec. 4 and 5)."""

    steps: AtLeastOne = 25
    """Intervals N of the full time grid from noise to image."""
    skip: Count = 6
    """Intervals s left out at the noise end, fewer than `steps`; the edit happens at time t_s."""
    solver: Solver = "fireflow"
    """How each interval is crossed, there and back. `fireflow`: by its midpoint, of second order, one call more than
    there are intervals. `euler`: by a call at its begin, the times at which a model distilled to few steps was
    trained."""
    guidance: Guidance = 1.0
    """Guidance while inverting, with the source prompt."""
    mode: Literal["inverted", "noised"] = "inverted"
    """`inverted`: solved back from the picture by the model (paper). `noised`: the picture under one noise, drawn from
    the seed, at every time; no model call but those that record keys and values, where any are."""

    def calls(self, intervals: int) -> int:
        """Model calls for so many intervals."""
        return intervals + (self.solver == "fireflow")


@dataclass(frozen=True)
class KVConfig(Checked, called="kv.{}"):
    """Injection of the keys and values recorded in the inversion (paper Sec. 3.4)."""

    rule: Literal["none", "in-place", "mapped"] = "in-place"
    """`in-place`: every image token gets the recorded ones of its own place (paper). `mapped`: target tokens get those
    of the tokens they come from, vacated tokens keep their own, all others the recorded ones. `none`: no injection."""
    sites: tuple[Name, ...] | None = None
    """Attention blocks, as in "double.0" or "single.6"; the backbone's own choice when None."""


@dataclass(frozen=True)
class TokensConfig(Checked, called="tokens.{}"):
    """Which tokens the model computes once the picture is inverted."""

    active: Literal["all", "area"] = "all"
    """`all`: every one (paper). `area`: those of the editable area, beside the keys and values of all others that were
    recorded in the inversion; it needs a `denoise.background`, which puts back what lies outside."""
    rim: Radius = 1
    """Tokens around the area that are computed with it."""
    text: Literal["fresh", "recorded"] = "fresh"
    """`recorded`: the prompt's tokens are not computed either, unless it is another one than the source's. `fresh`:
    they always are."""
    every: AtLeastOne = 1
    """Of how many calls of the inversion one is recorded, the last one first; the nearest in time serves the others.
    The record takes as much less memory."""


@dataclass(frozen=True)
class SubjectConfig(Checked, called="subject.{}"):
    """Injection of the subject's features (paper Sec. 3.4); without effect where no subject adapter is loaded."""

    inverting: bool = True
    """Inject while inverting, which makes the inversion faithful."""
    sampling: bool = True
    """Inject while dragging and denoising, which keeps the subject the same."""
    crop: Literal["whole", "region"] = "whole"
    """What is encoded: the whole picture, or the box around the dragged regions (the inversion then waits for the
    instruction)."""
    scale: NotNegative | None = None
    """Strength: what the adapter's attention is multiplied by before it is added; the adapter's own default when None
    (1.5 for instantcharacter, 0.7 for ip-adapter in FLUX.1, 0.5 in Stable Diffusion 3.5)."""
    time_scale: Positive = 1000.0
    """What flow time (0 to 1) is multiplied by for the adapter. Checkpoints were trained with 0 to 1000; 1 feeds the
    flow time itself, as a published use does."""


@dataclass(frozen=True)
class StartConfig(Checked, called="start.{}"):
    """The latent from which the optimisation starts, at time t_s."""

    mode: Literal["source", "warp", "preview", "bridge"] = "source"
    """`source`: the inverted picture (paper). `warp`: the inverted latent with its cells moved to the target.
    `preview`: the inversion of the pixel preview (moved object over the inpainted hole). `bridge`: the preview as the
    model's bridge corrects it, in one call; without iterations that is the result and nothing is inverted, with them
    its inversion is the start."""
    fill: Literal["noise", "inpaint"] = "inpaint"
    """What `warp` puts into vacated cells: fresh noise, or the inverted inpainting of the hole."""
    stride: AtLeastOne = 1
    """Grid intervals per step when the preview or the inpainting is inverted; more is faster and coarser."""
    repair: Share = 0.0
    """Share of fresh noise in the vacated cells and along the seams of the target, 0 to 1: 0 keeps the start unchanged,
    1 lets the model make up those cells."""


@dataclass(frozen=True)
class OptimiseConfig(Checked, called="optimise.{}"):
    """The loop that drags the latent (method Sec. 6, paper Eq. 1, 2 and 4)."""

    supervision: Literal["region", "point"] = "region"
    """`region`: every cell of a region is compared with where it came from (paper). `point`: only the surroundings of
    each operation's handle are pulled a step towards its target, and the handle is then located again (motion
    supervision and point tracking, DragDiffusion); for comparison."""
    moving: Count = 50
    """K: iterations over which the motion grows from 1/K to 1."""
    refining: Count = 20
    """R: further iterations at full motion."""
    rule: Literal["gradient", "adam"] = "gradient"
    """Plain gradient steps (paper) or Adam."""
    moving_rate: Positive = 1000.0
    """Step size while moving."""
    refining_rate: Positive = 1200.0
    """Step size while refining."""
    mean: Literal["map", "region"] = "map"
    """What the loss is averaged over: the whole feature map (paper; the step then depends on the region's size), or the
    region alone."""
    stretch: bool = False
    """Compare what stretches around a deformation too, each place as far as it follows; else the part alone (paper)."""
    guidance: Guidance = 3.5
    """Guidance of the feature model, with the target prompt."""
    taps: tuple[Name, ...] | None = None
    """Features compared, as in "double.17.norm" or "double.17.out"; the backbone's own choice when None."""
    patch: Radius = 1
    """r1 of `point`: radius of the surroundings that are pulled, in quarters of a feature cell."""
    search: Annotated[Radius, Ge(1)] = 3
    """r2 of `point`: radius within which a handle is located again, in quarters of a feature cell."""


@dataclass(frozen=True)
class DenoiseConfig(Checked, called="denoise.{}"):
    """The way back to the picture (method Sec. 7, paper Sec. 3.3)."""

    guidance: Guidance = 3.5
    """Guidance with the target prompt."""
    background: Literal["none", "replay", "resample"] = "resample"
    """What is put outside the editable area after every step: nothing, the trajectory recorded in the inversion (free
    and exact), or a second branch sampled with the inversion's guidance (paper; doubles the model calls)."""
    copy_until: Share = 1.0
    """Flow time down to which the moved cells are overwritten, after every step, with the source's recorded state of
    that time (RegionDrag); 1 = never."""


@dataclass(frozen=True)
class AreaConfig(Checked, called="area.{}"):
    """The editable area and the final composite."""

    margin: Margin = 0
    """Pixels by which the derived area is grown on all sides, for reflections, and for shadows that are not found."""
    feather: Fade = 8.0
    """Pixels over which the result fades in from the rim of the editable area inwards."""
    detail: bool = False
    """Where the model kept what the pixel preview shows, give back the fine detail that the autoencoder and a smaller
    working size lost of it (one more encoding and decoding)."""
    texture: bool = True
    """Where the result is the pixel preview as a bridge corrects it, give the filled holes the detail of their
    surroundings, which looks better and is less exact. What a model draws by itself stays as it is."""
    composite: bool = True
    """Put the source's own pixels back outside the area; off only for experiments that measure the model's drift."""


ReferenceKind = Literal["source", "preview", "moved"]


@dataclass(frozen=True)
class EditConfig(Checked, called="{}"):
    """One complete setting of the method; the defaults are the paper's (preset `paper`)."""

    __pydantic_config__ = STRICT

    size: SizeConfig = field(default_factory=SizeConfig)
    inversion: InversionConfig = field(default_factory=InversionConfig)
    kv: KVConfig = field(default_factory=KVConfig)
    tokens: TokensConfig = field(default_factory=TokensConfig)
    subject: SubjectConfig = field(default_factory=SubjectConfig)
    start: StartConfig = field(default_factory=StartConfig)
    optimise: OptimiseConfig = field(default_factory=OptimiseConfig)
    denoise: DenoiseConfig = field(default_factory=DenoiseConfig)
    area: AreaConfig = field(default_factory=AreaConfig)
    references: tuple[ReferenceKind, ...] = ()
    """Pictures that an edit model looks at, the first of them the one that it was trained for; no more than the model
    takes. `source`: the picture; also while it is inverted. `preview`: the pixel preview. `moved`: the picture's own
    tokens, moved to their targets by position alone."""
    seed: Seed = 0
    """Seed of all fresh noise; the same seed gives the same bytes on the same machine."""

    @property
    def drags(self) -> bool:
        """Whether there are iterations, which compare features at the taps."""
        return self.optimise.moving + self.optimise.refining > 0

    @property
    def injects(self) -> bool:
        """Whether keys and values are injected at the K/V sites."""
        return self.kv.rule != "none"

    @property
    def records(self) -> bool:
        """Whether keys and values of all tokens are recorded, so that those of the area can be computed alone."""
        return self.inverts and self.tokens.active == "area"

    @property
    def inverts(self) -> bool:
        """Whether the picture is inverted; else the preview that the model's bridge corrects is the result."""
        return self.start.mode != "bridge" or self.drags

    @property
    def solves_back(self) -> bool:
        """Whether the model's flow is solved backwards, from a picture to noise."""
        return self.inverts and self.inversion.mode == "inverted"

    @property
    def draws_noise(self) -> bool:
        """Whether noise is drawn from the seed, so that another seed gives another picture."""
        start = self.start
        filled = start.mode == "warp" and start.fill == "noise"
        repaired = start.mode != "source" and start.repair > 0
        return self.inverts and (self.inversion.mode == "noised" or filled or repaired)

    @property
    def hash(self) -> str:
        """Twelve hex digits that change with any field."""
        canonical = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    def with_(self, **settings: Any) -> EditConfig:
        """The same with some settings changed, as in `config.with_(optimise={"refining": 2}, seed=7)`.

        Raises:
            UserError: a setting that does not exist, or a value of another type or out of range.
        """
        changes: dict[str, Any] = {}
        for name, value in settings.items():
            group = getattr(self, name, None)
            known: dict[str, Any] = vars(group) if is_dataclass(group) else {}
            given: dict[str, Any] = dict(value) if known and isinstance(value, dict) else {}  # pyright: ignore[reportUnknownArgumentType]
            unknown = [f"{name}.{key}" for key in given if key not in known]
            if name not in vars(self) or unknown:
                raise UserError(f"{(*unknown, name)[0]} is not a setting: see `dragflow presets paper`")
            changes[name] = replace(cast("Any", group), **given) if known and isinstance(value, dict) else value
        return replace(self, **changes)
