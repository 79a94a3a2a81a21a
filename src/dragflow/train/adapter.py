"""The embedded model's subject adapter: encoder, projector and attentions, trained together beside the frozen model.

A picture leaves nothing for its caption to add: with the adapter the model must give the same v with a caption and
without, so that guidance, which goes along their difference, leads less far away. Both must stay where the model's own
lie, not where the truth lies: what no model of this size can know of that is fifty times what its captions change,
and as gradient it buries what the adapter could learn. The model's weights stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from dragflow import world
from dragflow.backbones.hooks import subject_hooks
from dragflow.core.config import SubjectConfig
from dragflow.method.backbone import OwnKV, SubjectPlace
from dragflow.subject.checkpoint import ATTENTIONS, PROJECTOR
from dragflow.subject.instantcharacter.adapter import PLACE, SCALE
from dragflow.subject.instantcharacter.attention import SubjectAttention
from dragflow.subject.instantcharacter.encoders import PatchEncoder, PatchEncoders, make_views
from dragflow.subject.instantcharacter.projector import Projector, ProjectorSize
from dragflow.subject.nano.adapter import ADAPTER, ENCODER, TINY_SIGLIP
from dragflow.train import adapter_start, data, flow, latents, state, text
from dragflow.train.flow import FlowConfig, FlowModel, captions, times
from dragflow.train.latents import Pool, encode
from dragflow.train.state import Run
from dragflow.train.text import Tokenizers


@dataclass(frozen=True)
class AdapterConfig:
    """Sizes and rates of the adapter's training."""

    flow: FlowConfig = field(default_factory=lambda: FlowConfig(batch=5, empty=0.0, noisy=0.0, first=512, fresh=2))
    """Of the model it is for; batch, captions and times of the training. Every picture occurs twice."""
    projector: ProjectorSize = field(
        default_factory=lambda: ProjectorSize(
            features=128, blocks=1, width=192, depth=2, tokens=64, out=128, frequencies=64
        )
    )
    side: int = 128
    """Side of the pictures that the encoder takes."""
    patch: int = 16
    agreement: float = 6.0
    """Weight of the difference that the caption makes: guidance g multiplies it by g - 1, which the error squares."""
    rate: float = 3e-4
    warmup: int = 50
    cooldown: float = 0.5
    decay: float = 0.99


@dataclass(frozen=True, eq=False)
class FunctionControl:
    """A function of block and query as a `SubjectControl`."""

    blocks: frozenset[str]
    function: Callable[[str, Tensor], Tensor]
    place: SubjectPlace = PLACE

    def __call__(self, block: str, query: Tensor, own: OwnKV | None = None) -> Tensor:
        return self.function(block, query)


class AdapterModel(nn.Module):
    """Everything that is trained."""

    def __init__(self, config: AdapterConfig) -> None:
        super().__init__()
        from transformers import SiglipVisionConfig, SiglipVisionModel

        flow, size = config.flow, config.projector
        self.encoder: Any = SiglipVisionModel(
            SiglipVisionConfig(
                hidden_size=size.features,
                intermediate_size=2 * size.features,
                num_hidden_layers=TINY_SIGLIP.layers[-1],
                num_attention_heads=size.features // 32,
                image_size=config.side,
                patch_size=config.patch,
                vision_use_head=False,
            )
        )
        self.projector = Projector(size)
        self.blocks = _block_names(flow)
        self.attentions: Any = nn.ModuleList(
            SubjectAttention(flow.heads * flow.head_width, flow.head_width, size.out) for _ in self.blocks
        )

    def tokens(self, pictures: Sequence[np.ndarray], t: Tensor) -> Tensor:
        """Subject tokens (b q o) of uint8 pictures (h w 3) at times t (b)."""
        encoders = PatchEncoders((PatchEncoder(TINY_SIGLIP, self.encoder),), t.device, offload=False)
        images = [(state.to_tensor(picture[None]) + 1) / 2 for picture in pictures]
        features = encoders.encode_views([make_views(image, encoders.side) for image in images])
        return self.projector(features, t * SubjectConfig().time_scale)

    def control(self, tokens: Tensor) -> FunctionControl:
        """What the blocks add for subject tokens (b q o)."""
        attentions = dict(zip(self.blocks, self.attentions, strict=True))

        def attend(block: str, query: Tensor) -> Tensor:
            attention = attentions[block]
            return SCALE * attention(query, attention.project(tokens))

        return FunctionControl(frozenset(self.blocks), attend)


@dataclass(frozen=True, eq=False)
class Scenes:
    """A batch."""

    pictures: list[np.ndarray]
    z: Tensor
    captions: list[str]


@dataclass(frozen=True, eq=False)
class Velocities:
    """Velocities (b c h w) of a batch."""

    empty: Tensor
    """Of the model, without captions."""
    captioned: Tensor
    """Of the model, with them."""
    true: Tensor

    @property
    def error(self) -> Tensor:
        """Mean square error of both."""
        return (torch.stack([self.empty, self.captioned]) - self.true).pow(2).mean()

    @property
    def difference(self) -> Tensor:
        """Mean square of what the captions change."""
        return (self.captioned - self.empty).pow(2).mean()


class Teacher:
    """The frozen model, and its velocities with an adapter or without."""

    def __init__(self, config: FlowConfig, start: Path, device: str) -> None:
        exported = latents.exported(start, config.vae, device)
        self.coder, self.scaling = exported.vae, exported.scaling
        self.model = flow.exported(start, config).requires_grad_(False).eval().to(device)
        self.tokenizers = Tokenizers(text.clip_tokenizer(), text.t5_tokenizer())
        self.config, self.device = config, device

    def scenes(self, numbers: Sequence[int]) -> Scenes:
        """Scenes by number, with their plain captions."""
        drawn = [world.scene(number, self.config.size) for number in numbers]
        pictures = [scene.render() for scene in drawn]
        z = (encode(self.coder, np.stack(pictures), self.device) - self.scaling.shift) * self.scaling.scale
        return Scenes(pictures, z, [world.caption(world.facts(scene)) for scene in drawn])

    def velocities(self, scenes: Scenes, t: Tensor, noise: Tensor, adapter: AdapterModel | None) -> Velocities:
        """Velocities at times t (b) for noise (b c h w), with an adapter or without."""
        s = rearrange(t, "b -> b 1 1 1")
        z = (1 - s) * scenes.z + s * noise
        clip_ids, t5_ids = (ids.to(t.device) for ids in self.tokenizers([""] * len(z) + scenes.captions))
        with state.mixed_precision(str(t.device)), ExitStack() as stack:
            if adapter is not None:
                control = adapter.control(adapter.tokens(scenes.pictures, t).repeat(2, 1, 1))
                stack.enter_context(subject_injection(self.model, control, t5_ids.shape[1]))
            v = self.model(z.repeat(2, 1, 1, 1), t.repeat(2), clip_ids, t5_ids).float()
        return Velocities(v[: len(z)], v[len(z) :], noise - scenes.z)

    @torch.no_grad()
    def queries(self, scenes: Scenes, time: float) -> dict[str, Tensor]:
        """The queries (b n w) of all blocks without a caption, before norm."""
        t = torch.full((len(scenes.z),), time, device=self.device)
        noise = torch.randn(scenes.z.shape, generator=torch.Generator(self.device).manual_seed(0), device=self.device)
        clip_ids, t5_ids = (ids.to(self.device) for ids in self.tokenizers([""] * len(t)))
        queries: dict[str, Tensor] = {}

        def record(block: str, query: Tensor) -> Tensor:
            queries[block] = query.clone()
            return torch.zeros_like(query)

        control = FunctionControl(frozenset(_block_names(self.config)), record)
        with subject_injection(self.model, control, t5_ids.shape[1]):
            self.model((1 - time) * scenes.z + time * noise, t, clip_ids, t5_ids)
        return queries


@contextmanager
def subject_injection(model: FlowModel, control: FunctionControl, text_tokens: int) -> Iterator[None]:
    """Let a control act in every block of the model."""
    with ExitStack() as stack:
        for i, block in enumerate(model.transformer.transformer_blocks):
            stack.enter_context(subject_hooks(block, f"double.{i}", slice(0, None), control))
        for i, block in enumerate(model.transformer.single_transformer_blocks):
            stack.enter_context(subject_hooks(block, f"single.{i}", slice(text_tokens, None), control))
        yield


def _block_names(config: FlowConfig) -> tuple[str, ...]:
    return (*(f"double.{i}" for i in range(config.double)), *(f"single.{i}" for i in range(config.single)))


@torch.no_grad()
def initialise(config: AdapterConfig, model: AdapterModel, teacher: Teacher) -> None:
    """Set the weights with which the training starts; see `adapter_start`."""
    half = torch.full((32,), 0.5, device=teacher.device)
    scenes = teacher.scenes(range(len(half)))
    pictures = [make_views((state.to_tensor(x[None]) + 1) / 2, config.side).whole for x in scenes.pictures]
    cells = config.side // config.patch
    adapter_start.start_encoder(model.encoder, pictures)
    adapter_start.start_projector(model.projector, cells)
    tokens = rearrange(model.tokens(scenes.pictures, half), "b (h w) o -> b o h w", h=cells)
    queries = teacher.queries(scenes, 0.8)
    for block, attention in zip(model.blocks, model.attentions, strict=True):
        side = round(queries[block].shape[1] ** 0.5)
        own = torch.nn.functional.interpolate(tokens, (side, side), mode="nearest")
        adapter_start.start_keys(
            attention,
            rearrange(queries[block], "b n w -> (b n) w"),
            rearrange(own, "b o h w -> (b h w) o"),
        )


def train(config: AdapterConfig, run: Run, start: Path) -> AdapterModel:
    """Train an adapter for the exported model in the folder `start`; checkpoints go to out/adapter."""
    torch.manual_seed(run.seed)
    flow, folder = config.flow, run.out / "adapter"
    teacher = Teacher(flow, start, run.device)
    pool = Pool(folder / "latents.f16", teacher.coder, teacher.scaling, flow.size, flow.capacity, run.device)
    model = AdapterModel(config).to(run.device)
    if not run.resume:
        initialise(config, model, teacher)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.rate, betas=(0.9, 0.98), weight_decay=0.01)
    held = teacher.scenes(range(2**42, 2**42 + 12))

    def step_once(step: int) -> float:
        pool.grow(flow.first + flow.fresh * step)
        rng, generator = state.generators(run.seed, step, run.device)
        numbers = rng.integers(pool.count, size=flow.batch)
        pictures = [data.scene_picture(int(number), flow.size) for number in numbers]
        scenes = Scenes(pictures, pool.take(numbers).to(run.device), captions(flow, rng, numbers))
        t = times(flow.batch, flow.noisy, generator, run.device)
        noise = torch.randn(scenes.z.shape, generator=generator, device=run.device)
        with torch.no_grad():
            plain = teacher.velocities(scenes, t, noise, None)
        loss = objective(teacher.velocities(scenes, t, noise, model), plain, config.agreement)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())

    def factor(step: int) -> float:
        return state.rate(step, run.steps, config.warmup, config.cooldown)

    state.fit(run, folder, model, [optimizer], factor, config.decay, step_once, lambda _: gain(teacher, held, model))
    return model


def objective(adapted: Velocities, plain: Velocities, agreement: float) -> Tensor:
    """What is minimised: how far both velocities are from the mean of the model's own, and from each other."""
    middle = (plain.captioned + plain.empty) / 2
    away = (adapted.captioned - middle).pow(2).mean() + (adapted.empty - middle).pow(2).mean()
    return away + agreement * adapted.difference


@torch.no_grad()
def gain(teacher: Teacher, scenes: Scenes, model: AdapterModel) -> dict[str, float]:
    """Error of v and the caption's difference at three times, without the adapter, with it, and with wrong pictures."""
    others = Scenes(scenes.pictures[1:] + scenes.pictures[:1], scenes.z, scenes.captions)
    generator = torch.Generator(teacher.device).manual_seed(0)
    noise = torch.randn(scenes.z.shape, generator=generator, device=teacher.device)
    metrics: dict[str, float] = {}
    for time in (0.3, 0.6, 0.85):
        t = torch.full((len(scenes.z),), time, device=teacher.device)
        for name, batch, adapter in (("plain", scenes, None), ("adapted", scenes, model), ("wrong", others, model)):
            v = teacher.velocities(batch, t, noise, adapter)
            metrics |= {f"{name}_{time}": float(v.error), f"{name}_{time}_caption": float(v.difference)}
    return metrics


def export(source: Path, to: Path, config: AdapterConfig | None = None) -> Path:
    """Write the averaged weights of source/adapter to the folder `to` in bfloat16, as adapter `nano` loads them."""
    from safetensors.torch import save_file

    model = AdapterModel(config or AdapterConfig())
    state.load_average(source / "adapter" / "state.safetensors", model)
    model.bfloat16()
    model.encoder.save_pretrained(to / ENCODER)
    parts = {PROJECTOR: model.projector.state_dict(), ATTENTIONS: model.attentions.state_dict()}
    tensors = {f"{part}.{name}": x.contiguous() for part, weights in parts.items() for name, x in weights.items()}
    save_file(tensors, to / ADAPTER, metadata={"format": "pt"})
    return to
