"""Our parts, composed as the published method composes its own, give the numbers recorded from it.

The published method's quirks (feature maps unpacked and upsampled, text tokens injected in single blocks, a background
latent half a step further) live here, in the composition, and nowhere in the package.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from dragflow.backbones.conditioning import PooledText, Told
from dragflow.backbones.flux1.model import Flux1
from dragflow.backbones.packing import pack, unpack
from dragflow.core.config import InversionConfig
from dragflow.core.motion import IDENTITY, Matrix, Rotate, Translate, about, motion_matrix, rotation
from dragflow.files.red_bench import load_red_bench
from dragflow.method.kv import KVStore
from dragflow.method.supervision.region import RegionTarget, region_loss
from dragflow.ops import flow, geometry, masks
from dragflow.pixels.masks import editable_area, warp_mask

TOLERANCE = 1e-5
TAPS = ("double.17.norm", "double.17.out", "double.18.norm", "double.18.out")
TAP_KEYS = ("tap_17_norm", "tap_17_out", "tap_18_norm", "tap_18_out")
SKIP = 6


def error(ours: Tensor, theirs: Tensor) -> float:
    """Relative error in the Euclidean norm; single float32 entries differ more between processors."""
    return float((ours.double() - theirs.double()).norm() / theirs.double().norm())


@dataclass
class Recording:
    """One recorded run of the published method, and the parts of ours that it is compared with."""

    path: Path
    backbone: Flux1

    @cached_property
    def data(self) -> dict[str, np.ndarray]:
        return dict(np.load(self.path))

    @cached_property
    def passes(self) -> list[dict[str, Any]]:
        return json.loads(self.path.with_name(f"{self.path.stem}_passes.json").read_text())

    def tensor(self, key: str) -> Tensor:
        return torch.from_numpy(self.data[key])

    def tokens(self, key: str, index: int | None = None) -> Tensor:
        """A recorded packed latent as a spatial one."""
        x = self.tensor(key)
        x = x if index is None else x[index]
        return unpack(x.reshape(1, *x.shape[-2:]), *self.grid)

    @property
    def grid(self) -> tuple[int, int]:
        h, w = self.data["full_shape"]
        return int(h) // 16, int(w) // 16

    @property
    def injects(self) -> bool:
        return any("kv_inject_idx" in call for call in self.passes)

    @cached_property
    def schedule(self) -> Any:
        return self.backbone.schedule(InversionConfig(25, SKIP), (2 * self.grid[0], 2 * self.grid[1]))

    def conditioning(self, which: str, guidance: float) -> Told:
        return Told(PooledText(self.tensor(f"txt_{which}"), self.tensor(f"vec_{which}")), guidance=guidance)

    def steps(self) -> list[str]:
        """The drag iterations that were recorded, as "drag00"."""
        return sorted(
            key.removesuffix("_z_in") for key in self.data if key.startswith("drag") and key.endswith("_z_in")
        )

    @cached_property
    def inverted(self) -> tuple[list[Tensor], KVStore, dict[float, dict[str, Tensor]]]:
        """States along the inversion; K/V of image tokens by our control; K/V of all tokens in single blocks."""
        times = self.schedule.used[::-1]
        store = KVStore(frozenset(self.backbone.spec.kv_blocks), torch.device("cpu"))
        whole: dict[float, dict[str, Tensor]] = {}
        states = [self.tensor("src_latent")]
        source = self.conditioning("src", 1.0)

        def velocity(z: Tensor, t: float) -> Tensor:
            with record_singles(self.backbone, whole.setdefault(t, {})):
                return self.backbone.velocity(z, t, source, kv=store.recorder(t))

        def keep(z: Tensor, _: int) -> Tensor:
            states.append(z)
            return z

        flow.integrate(velocity, states[0], times, after=keep)
        return states, store, whole

    def velocity(self, z: Tensor, t: float, cond: Told, slot: int | None) -> Tensor:
        """A model call with the published injection: by slot, and text tokens of single blocks are overwritten too."""
        if slot is None:
            return self.backbone.velocity(z, t, cond)
        _, store, whole = self.inverted
        recorded = sorted(whole)[slot]
        with inject_singles(self.backbone, whole[recorded]):
            return self.backbone.velocity(z, t, cond, kv=store.injector(recorded))


def _singles(backbone: Flux1) -> Iterator[tuple[str, Any]]:
    for name in backbone.spec.kv_blocks:
        kind, _, index = name.partition(".")
        if kind == "single":
            attention = backbone._transformer.single_transformer_blocks[int(index)].attn
            yield f"{name}.k", attention.to_k
            yield f"{name}.v", attention.to_v


@contextmanager
def record_singles(backbone: Flux1, into: dict[str, Tensor]) -> Iterator[None]:
    handles = [
        module.register_forward_hook(lambda _, __, out, name=name: into.__setitem__(name, out))
        for name, module in _singles(backbone)
    ]
    yield
    for handle in handles:
        handle.remove()


@contextmanager
def inject_singles(backbone: Flux1, recorded: dict[str, Tensor]) -> Iterator[None]:
    handles = [
        module.register_forward_hook(lambda _, __, out, name=name: recorded[name])
        for name, module in _singles(backbone)
    ]
    yield
    for handle in handles:
        handle.remove()


@pytest.fixture(scope="module")
def backbone(reference_dir: Path) -> Flux1:
    from diffusers import FluxTransformer2DModel

    return Flux1(FluxTransformer2DModel.from_pretrained(reference_dir / "transformer").eval().requires_grad_(False))


@pytest.fixture(scope="module", params=["rotation"])
def run(request: pytest.FixtureRequest, reference_dir: Path, backbone: Flux1) -> Recording:
    return Recording(reference_dir / f"{request.param}.npz", backbone)


def motion_at(run: Recording, i: int, progress: float) -> Matrix:
    """The published motion of operation i on its feature map."""
    delta = run.data[f"full_delta_{i}"].astype(float).ravel()
    if f"anchor_fit_{i}" in run.data:
        x, y = run.data[f"anchor_fit_{i}"].astype(float)
        return about((x, y), rotation(math.radians(delta[0] * progress)))
    begin, _, end = run.data[f"points_fit_{i}"].astype(float)
    return motion_matrix(Translate((float(end[0]), float(end[1]))), (float(begin[0]), float(begin[1])), progress)


def published_map(run: Recording, feature: Tensor) -> Tensor:
    """Features as the published loss sees them: unpacked to D/4 channels, upsampled."""
    unpacked = unpack(rearrange(feature, "b d h w -> b (h w) d"), *run.grid)
    return F.interpolate(unpacked, size=tuple(run.data["cut_shape"].tolist()), mode="bilinear", align_corners=False)


def covered(share: Tensor) -> Tensor:
    """The published threshold of a moved mask."""
    return share > 0.5


def surely_covered(share: Tensor) -> Tensor:
    """Cells that are covered on any processor."""
    return share > 0.5 + TOLERANCE


def is_tie(share: Tensor) -> Tensor:
    """Half-covered cells: whether the recording counts them was decided by rounding."""
    return (share - 0.5).abs() <= TOLERANCE


def published_targets(run: Recording, step: str, counted: Callable[[Tensor], Tensor] = covered) -> list[RegionTarget]:
    """Masks and warped references as the published loss makes them, on its upsampled map."""
    regions = run.tensor("region_px").float().reshape(-1, 1, *run.data["region_px"].shape[-2:])
    size = tuple(run.data["cut_shape"].tolist())
    references = [
        published_map(run, rearrange(run.tensor(key), "b (h w) d -> b d h w", h=run.grid[0])) for key in TAP_KEYS
    ]
    progress = min((int(step.removeprefix("drag")) + 1) / 50, 1.0)
    targets = []
    for i, region in enumerate(regions):
        matrix = motion_at(run, i, progress)
        soft = F.interpolate(region[None], size=size, mode="bilinear", align_corners=False)
        mask = counted(geometry.warp(soft, matrix, padding="zeros")[0, 0])
        warped = tuple(geometry.warp(reference, matrix) for reference in references)
        targets.append(RegionTarget(mask, warped, float(run.data.get(f"norm_weight_{i}", 1.0))))
    return targets


def undecided(target: RegionTarget, maps: tuple[Tensor, ...]) -> RegionTarget:
    """The target without entries whose difference is rounding: their sign, and so gradient, is the processor's."""
    near = tuple(
        torch.where((f - r).abs() < TOLERANCE * f.abs().max(), f.detach(), r)
        for f, r in zip(maps, target.references, strict=True)
    )
    return RegionTarget(target.mask, near, target.weight)


def test_schedule(run: Recording) -> None:
    assert run.schedule.times == tuple(run.data["timesteps"].tolist())
    assert run.schedule.used[::-1] == tuple(run.data["inv_tau"].tolist())


@pytest.mark.slow
def test_inversion_states(run: Recording) -> None:
    states, _, _ = run.inverted
    assert len(states) == 20
    for i, position in enumerate(run.data["inv_index"]):
        assert error(pack(states[position]), run.tensor("inv_z")[i : i + 1]) < TOLERANCE


def test_inversion_makes_a_call_for_each_interval_and_one(run: Recording) -> None:
    recorded = [call["t"] for call in run.passes if call["phase"] == "inversion"]
    assert sorted(run.inverted[1].times) == pytest.approx(recorded, abs=1e-7)


def test_velocities(run: Recording) -> None:
    """Every recorded model call, with the K/V slot that it used."""
    checked = 0
    for key in sorted(key for key in run.data if key.startswith("pass") and key.endswith("_v")):
        call = run.passes[int(key.removeprefix("pass").removesuffix("_v"))]
        cond = run.conditioning("src" if call["phase"] == "inversion" else "tgt", call["guidance"])
        z = run.tokens(f"{key.removesuffix('_v')}_in")
        v = run.velocity(z, call["t"], cond, call.get("kv_inject_idx"))
        assert error(pack(v), run.tensor(key)[None]) < TOLERANCE, call
        checked += 1
    assert checked >= 2


def test_kv_is_looked_up_by_time(run: Recording) -> None:
    """While dragging the published slot is the nearest in time; while sampling it is one interval late."""
    _, store, _ = run.inverted
    times = sorted(store.times)
    for call in run.passes:
        if "kv_inject_idx" in call:
            late = 1 if call["phase"] == "step" else 0
            assert store.injector(call["t"]).recorded is store.times[times[call["kv_inject_idx"] + late]]


def test_features(run: Recording) -> None:
    _, store, _ = run.inverted
    t = run.schedule.edit_time
    kv = store.injector(t) if run.injects else None
    with torch.no_grad():
        found = run.backbone.features(run.tokens("inv_z", -1), t, run.conditioning("tgt", 3.5), taps=TAPS, kv=kv)
    for feature, key in zip(found, TAP_KEYS, strict=True):
        assert error(rearrange(feature, "b d h w -> b (h w) d"), run.tensor(key)) < TOLERANCE


def test_loss_gradient_and_masked_update(run: Recording) -> None:
    _, store, _ = run.inverted
    t = run.schedule.edit_time
    kv = store.injector(t) if run.injects else None
    area = run.tensor("mask_latent")[0, 0]
    for step in run.steps():
        z = run.tokens(f"{step}_z_in").requires_grad_(True)
        features = run.backbone.features(z, t, run.conditioning("tgt", 3.5), taps=TAPS, kv=kv)
        maps = tuple(published_map(run, feature) for feature in features)
        targets = published_targets(run, step)
        loss = region_loss(maps, targets, "map")
        scale = sum(target.weight * float((target.mask * maps[0].detach()).abs().mean()) for target in targets)
        tied = float(region_loss(maps, published_targets(run, step, is_tie), "map").detach())
        difference = abs(float(loss.detach()) - float(run.data[f"{step}_loss"]))
        assert difference < TOLERANCE * max(float(loss.detach()), scale) + tied, step

        (gradient,) = torch.autograd.grad(loss, z, retain_graph=True)
        sure_cells = published_targets(run, step, surely_covered)
        decided = region_loss(maps, [undecided(target, maps) for target in sure_cells], "map")
        (sure,) = torch.autograd.grad(decided, z)
        theirs = run.tensor(f"{step}_grad")
        slack = 2 * float((gradient - sure).norm() / theirs.norm())
        assert error(pack(gradient), theirs) < TOLERANCE + slack, step
        assert slack < 0.02, step
        assert tied < 0.01 * float(loss.detach()), step

        with torch.no_grad():
            after = torch.where(area, z - 1000 * unpack(theirs, *run.grid), run.tensor("z_ref"))
        assert error(pack(after), run.tensor(f"{step}_z_after")) < TOLERANCE, step


def test_background_latent(run: Recording) -> None:
    """The published background is half an interval further: z + (t_7 - t_6)/2 v."""
    z, times = run.tokens("inv_z", -1), run.schedule.times
    call = next(call for call in run.passes if call["phase"] == "velocity" and call["guidance"] == 3.5)
    v = run.velocity(z, call["t"], run.conditioning("tgt", 3.5), call.get("kv_inject_idx"))
    assert error(z + (times[SKIP + 1] - times[SKIP]) / 2 * v, run.tensor("z_ref")) < TOLERANCE


def test_region_weights(run: Recording) -> None:
    regions = run.tensor("region_px").reshape(-1, *run.data["region_px"].shape[-2:])
    ours = masks.region_weights(list(regions))
    theirs = [float(run.data[key].item()) for key in sorted(run.data) if key.startswith("norm_weight_")]
    assert ours == pytest.approx(theirs, rel=TOLERANCE)


@pytest.mark.slow
def test_sampling(run: Recording) -> None:
    """Both branches of the published sampler, edit and re-sampled background, after the first and the last step."""
    times = run.schedule.used
    area = run.tensor("mask_latent")[0, 0]
    starts = [call for call in run.passes if call["phase"] == "velocity"]
    middles = [call for call in run.passes if call["phase"] == "step"]
    state = {"drag": run.tokens(f"{run.steps()[-1]}_z_after"), "orig": run.tokens("inv_z", -1)}
    conds = {name: run.conditioning("tgt", call["guidance"]) for name, call in zip(state, starts, strict=True)}
    carried = {
        name: run.velocity(state[name], times[0], conds[name], call.get("kv_inject_idx"))
        for name, call in zip(state, starts, strict=True)
    }
    for k in range(len(times) - 1):
        for i, name in enumerate(("drag", "orig")):
            slot = middles[2 * k + i].get("kv_inject_idx")
            velocity = partial(run.velocity, cond=conds[name], slot=slot)
            state[name], carried[name] = flow.fireflow_step(
                velocity, state[name], carried[name], times[k], times[k + 1]
            )
        state["drag"] = torch.where(area, state["drag"], state["orig"])
        if k in (0, len(times) - 2):
            for name, z in state.items():
                assert error(z, run.tokens(f"samp_z_{name}", 0 if k == 0 else 1)) < TOLERANCE, (name, k)


def test_masks_and_editable_area(run: Recording, samples_dir: Path) -> None:
    """On the sample that the recording was made from: the source region, and the rectangle around source and target."""
    sample = load_red_bench(samples_dir / "red_bench" / "cat")
    (operation,) = sample.instruction.operations
    mask = operation.region.array  # pyright: ignore[reportAttributeAccessIssue]
    assert (mask == run.data["region_px"][0, 0]).all()
    assert isinstance(operation.motion, Rotate)
    assert operation.handle is not None
    target = warp_mask(mask, motion_matrix(operation.motion, operation.handle))
    assert (editable_area([(mask, target)]) == run.data["mask_px"][0, 0]).all()


def test_nothing_moves_at_progress_zero(run: Recording) -> None:
    assert np.allclose(motion_at(run, 0, 0.0), IDENTITY, atol=1e-12)
