"""IP-adapters for Stable Diffusion 3.5 large: InstantX's, which diffusers loads, too.

The resampler makes tokens of a picture's patches at every time. In each block the image's queries attend to the image's
own keys and to those of the tokens together, all under norms of the adapter's, and what they find is added to the
output of the block's attention. Module and parameter names are the checkpoint's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from dragflow.backbones.devices import on_device
from dragflow.core.errors import CapabilityError
from dragflow.core.models import SubjectId
from dragflow.method.backbone import Image, OwnKV, SubjectPlace
from dragflow.subject.attention import KV, attend, split_heads
from dragflow.subject.checkpoint import ATTENTIONS, PROJECTOR, check_tensors
from dragflow.subject.ip_adapter.adapter import ImageEncoder
from dragflow.subject.resampler import Resampler, ResamplerSize, resampler_size
from dragflow.subject.timed import EncodedSubject

FAMILY = "sd3"
"""The family of models that these are for."""
PLACE = SubjectPlace(normed=False, output="attention", own_kv=True)
_SCALE = 0.5
"""Strength where the configuration names none."""
_EPS = 1e-6
WANTED = "InstantX's IP-adapter for Stable Diffusion 3.5 large"
_MARK = f"{ATTENTIONS}.0.norm_ip.linear.weight"
"""A tensor that no other layout has."""
_DIFFUSERS_MARK = f"{PROJECTOR}.layers.0.ln0.weight"
"""A tensor that says that the resampler has the names of diffusers."""
_DIFFUSERS_PARTS = {
    "0.norm1": "ln0",
    "0.norm2": "ln1",
    "0.to_q": "attn.to_q",
    "0.to_kv": "attn.to_kv",
    "0.to_out": "attn.to_out.0",
    "1.0": "adaln_norm",
    "1.1": "ff.net.0.proj",
    "1.3": "ff.net.2",
    "2.1": "adaln_proj",
}
"""Parts of a layer of the resampler, and what they are called in diffusers."""


class JointAttention(nn.Module):
    """The adapter's part of one attention: the image attends to itself and to the subject."""

    def __init__(self, heads: tuple[int, int], tokens: int, time: int) -> None:
        """Make one.

        Args:
            heads: of the model's attention: their number, and the size of one.
            tokens: width of a subject token.
            time: width of the embedded time.
        """
        super().__init__()
        count, head = heads
        self.norm_ip = _TimedNorm(tokens, time)
        self.to_k_ip, self.to_v_ip = (nn.Linear(tokens, count * head, bias=False) for _ in range(2))
        self.norm_q, self.norm_k, self.norm_ip_k = (nn.RMSNorm(head, eps=_EPS) for _ in range(3))
        self._heads = count

    def project(self, tokens: Float[Tensor, "b q o"], time: Float[Tensor, "b w"]) -> KV:
        """Keys and values of subject tokens at a time, each (b, heads, q, head)."""
        tokens = self.norm_ip(tokens, time)
        k, v = (split_heads(projection(tokens), self._heads) for projection in (self.to_k_ip, self.to_v_ip))
        return self.norm_ip_k(k), v

    def forward(self, query: Float[Tensor, "b n w"], kv: KV, own: OwnKV) -> Float[Tensor, "b n w"]:
        """What is added to the output of the model's attention.

        Args:
            query: the model's own projection, before its norm.
            kv: from `project`.
            own: the model's own keys and values of the same tokens.
        """
        q, k, v = (split_heads(x, self._heads) for x in (query, *own))
        subject_k, subject_v = (x.expand(len(q), -1, -1, -1) for x in kv)
        return attend(self.norm_q(q), (torch.cat([self.norm_k(k), subject_k], dim=2), torch.cat([v, subject_v], dim=2)))


class _TimedNorm(nn.Module):
    """A norm whose shift and scale the time gives."""

    def __init__(self, width: int, time: int) -> None:
        super().__init__()
        self.linear = nn.Linear(time, 2 * width)

    def forward(self, x: Float[Tensor, "b q o"], time: Float[Tensor, "b w"]) -> Float[Tensor, "b q o"]:
        shift, scale = self.linear(F.silu(time))[:, None].chunk(2, dim=-1)
        return F.layer_norm(x, x.shape[-1:], eps=_EPS) * (1 + scale) + shift


@dataclass(frozen=True, eq=False)
class TimedIpAdapter:
    """A loaded IP-adapter: a `SubjectAdapter`."""

    encoder: ImageEncoder
    resampler: Resampler
    attentions: Mapping[str, JointAttention]
    """By block."""
    cache_device: Callable[[int], torch.device]
    """Where a cache of so many bytes should live."""
    device: torch.device
    offload: bool
    """Keep the encoder in main memory while it is idle."""
    record: SubjectId
    place: SubjectPlace = PLACE
    scale: float = _SCALE

    @torch.no_grad()
    def encode(self, image: Image) -> EncodedSubject:
        """See `SubjectAdapter.encode`."""
        with on_device((self.encoder.model,), self.device, offload=self.offload):
            return EncodedSubject(self, self.encoder(image).to(self.device))


def build(size: ResamplerSize, heads: tuple[int, int], blocks: int) -> nn.ModuleDict:
    """Both parts of a checkpoint, by the names they have there.

    Args:
        size: of the resampler.
        heads: of the model's attentions: their number, and the size of one.
        blocks: of the model.
    """
    attentions = nn.ModuleList(JointAttention(heads, size.out, size.width) for _ in range(blocks))
    return nn.ModuleDict({PROJECTOR: Resampler(size), ATTENTIONS: attentions})


def has_layout(tensors: Mapping[str, Tensor]) -> bool:
    """Whether a checkpoint has this layout."""
    return _MARK in tensors


def load_modules(
    path: Path, tensors: Mapping[str, Tensor], blocks: tuple[str, ...], heads: tuple[int, int]
) -> tuple[Resampler, dict[str, JointAttention]]:
    """Resampler, and an attention for each block of the model, on the CPU.

    Args:
        path: of the checkpoint, for errors.
        tensors: all of the checkpoint's, under its authors' names or diffusers'.
        blocks: of the model.
        heads: of its attentions: their number, and the size of one.

    Raises:
        UserError: the checkpoint was made for another model.
    """
    size = resampler_size(path, tensors, PROJECTOR, WANTED)
    with torch.device("meta"):
        whole = build(size, heads, len(blocks))
    file_name = _diffusers_name if _DIFFUSERS_MARK in tensors else str
    check_tensors(path, tensors, {file_name(name): tuple(x.shape) for name, x in whole.state_dict().items()})
    whole.load_state_dict({name: tensors[file_name(name)] for name in whole.state_dict()}, assign=True)
    resampler: Any = whole[PROJECTOR]
    attentions: Any = whole[ATTENTIONS]
    return resampler, dict(zip(blocks, attentions, strict=True))


def check_attentions(transformer: Any) -> None:
    """Check that a checkpoint has an attention for each of a model's.

    Raises:
        CapabilityError: the model has second ones, for which no checkpoint is known.
    """
    if transformer.config.dual_attention_layers:
        raise CapabilityError(
            "subject adapter ip-adapter does not work in a model whose blocks have a second attention, as those of "
            "Stable Diffusion 3.5 medium: use Stable Diffusion 3.5 large, or no adapter"
        )


def _diffusers_name(name: str) -> str:
    """What diffusers calls a tensor of the checkpoint."""
    found = re.fullmatch(rf"({PROJECTOR}\.layers\.\d+)\.(\d\.\w+)(.*)", name)
    return f"{found[1]}.{_DIFFUSERS_PARTS[found[2]]}{found[3]}" if found else name
