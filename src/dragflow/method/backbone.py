"""What the method asks of a model: the `Backbone` protocol and its types; everything foreign stops behind it.

Images are (1, 3, H, W) floats in [0, 1]; latents are spatial (b, c, h, w); t is in [0, 1] with 1 = noise; v = dz/dt.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from dragflow.core.config import InversionConfig, SubjectConfig
from dragflow.core.models import WeightsId
from dragflow.core.task import PromptForm
from dragflow.method.active import Active, CallRecord

Image = Float[Tensor, "1 3 H W"]
Latent = Float[Tensor, "b c h w"]
Features = tuple[Float[Tensor, "b d gh gw"], ...]
Projection = Float[Tensor, "b n d"]
OwnKV = tuple[Projection, Projection]
"""Keys and values of image tokens, before their norm, as a `KVControl` has left them."""


class Site(NamedTuple):
    """One projection of one attention: block name and `k` or `v`."""

    block: str
    part: Literal["k", "v"]


class KVControl(Protocol):
    """Sees, and may replace, the image tokens' key and value projections during one model call.

    It gets (b, n, d), n image tokens in row-major order on the token grid, and returns a tensor of that shape. Called
    twice it must return the same, because gradient checkpointing calls it twice.
    """

    @property
    def blocks(self) -> frozenset[str]:
        """Blocks it wants to see."""
        ...

    def __call__(self, site: Site, x: Projection) -> Projection: ...


@dataclass(frozen=True)
class SubjectPlace:
    """Where in a block a subject acts."""

    normed: bool
    """Whether it gets the block's queries after their norm or before it; always before rotary embedding."""
    output: Literal["attention", "block"]
    """What its output is added to: that of the attention, before its projection, or that of the whole block."""
    text: bool = False
    """Whether it is added to text tokens too, where text and image share one attention (single blocks)."""
    own_kv: bool = False
    """Whether it also gets keys and values of the tokens whose queries it gets, to attend to them beside its own."""


class SubjectControl(Protocol):
    """What one block adds for a subject at one time: it gets the block's own queries (b, n, d) of some tokens, and
    their keys and values where its place asks for them, and returns what is added to those tokens (b, n, d).

    Called twice it must return the same. Gradients flow to what it gets alone.
    """

    @property
    def blocks(self) -> frozenset[str]:
        """Blocks in which it acts."""
        ...

    @property
    def place(self) -> SubjectPlace:
        """Where it acts."""
        ...

    def __call__(self, block: str, query: Projection, own: OwnKV | None = None) -> Projection: ...


class Subject(Protocol):
    """The features of a subject, which keep it the same while a model inverts and samples (paper Sec. 3.4)."""

    def under(self, config: SubjectConfig) -> Subject:
        """The same subject with these settings; nothing is computed for them yet."""
        ...

    def at(self, t: float) -> SubjectControl:
        """The control of a model call at time t; what it computes for that time is cached."""
        ...

    @property
    def negative(self) -> Subject | None:
        """What classifier-free guidance leads away from beside the negative prompt; None: from no subject at all."""
        ...


@dataclass(frozen=True, eq=False)
class Reference:
    """A picture that a model looks at while it draws: tokens of a latent, each at a position in the image."""

    z: Latent
    """(1, c, h, w)."""
    tokens: Int[Tensor, " n"]
    """Which tokens of its grid the model is given, row-major; some may be left out, and some given twice."""
    positions: Float[Tensor, "n 2"]
    """(row, column) of each on the image's token grid: where it was taken from, or where it was moved to."""
    index: int = 1
    """From 1; tells it from the other references, and from the image, which has 0."""


@dataclass(frozen=True, eq=False)
class Fill:
    """What a model that fills is told: the picture that it keeps, and where it draws."""

    z: Latent
    """(1, c, h, w): of the picture, mid-grey where the mask is."""
    mask: Bool[Tensor, "H W"]
    """Pixels that are drawn, at the size of the picture that the latent is of."""


class Bridge(Protocol):
    """Corrects a pixel preview in one call (`dragflow.ops.bridge`)."""

    def __call__(self, preview: Latent, source: Latent, masks: Float[Tensor, "b 3 h w"]) -> Latent:
        """The preview's latent less that of the true picture.

        Args:
            preview: its latent.
            source: that of the picture as it was.
            masks: the share of each cell that the editable area, the regions, and these at their targets cover.
        """
        ...


@dataclass(frozen=True)
class BackboneSpec:
    """The facts of a model that the method needs."""

    family: str
    latent_channels: int
    latent_stride: int
    """Pixels per latent cell."""
    pixel_multiple: int
    """Pixels per token; sides of pictures must be multiples of it."""
    blocks: tuple[str, ...]
    """Every block in the order it runs, as in "double.0"."""
    tap_names: tuple[str, ...]
    """Every feature that `features` can give."""
    taps: tuple[str, ...]
    """Features compared by default."""
    kv_blocks: tuple[str, ...]
    """Attention blocks whose K/V are recorded and injected by default."""
    kv_token_bytes: int
    """Bytes of one key (or value) projection of one token."""
    second_attentions: int = 0
    """How many blocks have another attention, of the image's tokens among themselves."""
    guidance: Literal["none", "embedded", "classifier-free"] = "none"
    """What guidance is: `none`, it is ignored; `embedded`, an input of the model; `classifier-free`, twice the calls
    where it is not 1, away from `negative`."""
    negative: str = ""
    """The prompt that classifier-free guidance leads away from."""
    distilled: bool = False
    """Whether the weights were trained to sample in a few steps."""
    round_trip: float | None = None
    """Relative error of a small picture that was inverted and sampled back when a distilled model was loaded; None of
    any other."""
    text_limit: int = 512
    """Most tokens of a prompt that the model reads; what is longer is cut off."""
    subject_heads: tuple[int, int] | None = None
    """Number and size of the heads of the attentions into which a subject can be injected; None if it cannot."""
    references: int = 0
    """Most references that a model of this family takes; 0 if none."""
    fills: bool = False
    """Whether the model is told by a `Fill` what it keeps and where it draws."""
    prompts: PromptForm = "captions"
    """What a target prompt is where the model is given references; without any it is a caption."""
    sizes: tuple[tuple[int, int], ...] = ()
    """(h, w) in pixels of the pictures that the weights were trained on, where they take no others well; else any."""
    preset: str = "default"
    """The preset that serves this model best, which is used where none is named."""
    swept: str = ""
    """The file of the sweep that chose `taps` and `kv_blocks`; "": they are the family's."""

    @property
    def record_token_bytes(self) -> int:
        """Bytes that one token adds to the record of one model call; see `CallRecord`."""
        return 2 * self.kv_token_bytes * (len(self.blocks) + self.second_attentions)

    def token_grid(self, latent: tuple[int, int]) -> tuple[int, int]:
        """(h, w) of the token grid for a latent of (h, w)."""
        patch = self.pixel_multiple // self.latent_stride
        return latent[0] // patch, latent[1] // patch


@dataclass(frozen=True)
class Schedule:
    """The time grid of an edit."""

    times: tuple[float, ...]
    """N + 1 times from 1 (noise) to 0 (image)."""
    skip: int
    """Intervals left out at the noise end."""

    @property
    def used(self) -> tuple[float, ...]:
        """From t_s down to 0."""
        return self.times[self.skip :]

    @property
    def edit_time(self) -> float:
        """t_s, the time at which the latent is dragged."""
        return self.times[self.skip]


Conditioning = Any
"""What `condition` returns; only the backbone that made it looks inside."""


class Backbone(Protocol):
    """A diffusion transformer, reduced to the few operations that the method needs."""

    @property
    def spec(self) -> BackboneSpec:
        """The facts of this model."""
        ...

    def encode(self, image: Image) -> Latent:
        """The latent of a picture whose sides are multiples of `spec.pixel_multiple`; deterministic, float32."""
        ...

    def decode(self, z: Latent) -> Image:
        """The picture of a latent, float32 in [0, 1]."""
        ...

    def condition(
        self,
        prompt: str,
        *,
        subject: Subject | None = None,
        references: tuple[Reference, ...] = (),
        fill: Fill | None = None,
        guidance: float,
    ) -> Conditioning:
        """Everything the model is given besides z and t.

        Controls of keys and values, and a subject, see the image's tokens alone, never those of a reference. A model
        that fills and is given no `fill` keeps nothing: it draws the whole picture.

        Raises:
            CapabilityError: a subject is given, but `spec.subject_heads` is None; more references than
                `spec.references`; or a fill, but not `spec.fills`.
        """
        ...

    def schedule(self, config: InversionConfig, latent: tuple[int, int]) -> Schedule:
        """The time grid for a latent of (h, w)."""
        ...

    def velocity(
        self,
        z: Latent,
        t: float,
        cond: Conditioning,
        *,
        kv: KVControl | None = None,
        active: Active | None = None,
        record: CallRecord | None = None,
    ) -> Latent:
        """v(z, t) by the full model, float32; no gradient.

        Args:
            z: the latent.
            t: its time.
            cond: what `condition` made.
            kv: sees and replaces keys and values of the image's tokens.
            active: the tokens that are computed, and the record that these attend to; None: all are.
            record: gets keys and values of all tokens; not with `active`.
        """
        ...

    def features(
        self,
        z: Latent,
        t: float,
        cond: Conditioning,
        *,
        taps: tuple[str, ...],
        kv: KVControl | None = None,
        active: Active | None = None,
    ) -> Features:
        """The named features on the token grid; gradients flow to z; runs no block after the last tap.

        For `kv` and `active` see `velocity`.
        """
        ...

    @property
    def bridge(self) -> Bridge | None:
        """What corrects previews; None if the model has no bridge."""
        ...

    @property
    def device(self) -> torch.device:
        """Where latents live."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """What the transformer computes in; latents, losses and updates are float32."""
        ...

    @property
    def lock(self) -> AbstractContextManager[object]:
        """Taken around model work, so that threads that share the model take turns; one thread may take it again."""
        ...

    def cache_device(self, size: int) -> torch.device:
        """Where a cache of `size` bytes should live."""
        ...

    @property
    def weights(self) -> WeightsId:
        """Which weights these are."""
        ...
