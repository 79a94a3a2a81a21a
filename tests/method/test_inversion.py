"""Inversion and the whole drag on a toy backbone whose answers are known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from dragflow.core.config import DenoiseConfig, EditConfig, InversionConfig, KVConfig, OptimiseConfig, StartConfig
from dragflow.core.errors import NumericalError
from dragflow.core.events import Event, Stepped, silent
from dragflow.core.models import ModelOptions, WeightsId
from dragflow.core.motion import Translate
from dragflow.method.backbone import BackboneSpec, KVControl, Schedule, Site
from dragflow.method.drag import Drag, drag
from dragflow.method.inversion import Inversion, invert, noise
from dragflow.method.supervision.region import RegionMotion
from dragflow.ops.flow import noise_part, time_grid
from dragflow.ops.geometry import identity_map, move_cells

SIZE = (6, 8)
IMAGE = torch.randn(1, 2, *SIZE, generator=torch.Generator().manual_seed(0))


@dataclass
class Toy:
    """v = rate + 0.01 * keys, the keys and the features being the latent; one cell is one token and one pixel."""

    rate: float = 0.5
    asked: list[tuple[float, float]] = field(default_factory=list)
    """(time, guidance) of every velocity."""

    bridge = None
    spec = BackboneSpec("toy", 2, 1, 1, ("double.0",), ("double.0.out",), ("double.0",), ("double.0",), 8)

    def encode(self, image: Tensor) -> Tensor:
        return image[:, :2]

    def decode(self, z: Tensor) -> Tensor:
        return z[:, [0, 1, 1]].sigmoid()

    def condition(self, prompt: str, *, guidance: float, **more: object) -> float:
        return guidance

    def schedule(self, config: InversionConfig, latent: tuple[int, int]) -> Schedule:
        return Schedule(time_grid(config.steps), config.skip)

    def velocity(self, z: Tensor, t: float, cond: float, *, kv: KVControl | None = None, **_: object) -> Tensor:
        self.asked.append((round(t, 6), cond))
        key = z.flatten(2).transpose(1, 2)
        if kv is not None:
            key = kv(Site("double.0", "k"), key)
        return torch.full_like(z, self.rate) + 0.01 * key.transpose(1, 2).reshape(z.shape)

    def features(self, z: Tensor, t: float, cond: Any, *, taps: tuple[str, ...], **_: object) -> Any:
        return tuple(z for _ in taps)

    def cache_device(self, size: int) -> torch.device:
        return torch.device("cpu")

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32

    @property
    def lock(self) -> AbstractContextManager[object]:
        return nullcontext()

    @property
    def weights(self) -> WeightsId:
        return WeightsId(ModelOptions("toy", dtype="float32"), "0")


def show(z: Callable[[], Tensor]) -> Any:
    return z().numpy()


def inverted(toy: Toy, *, kv: bool = True, observer: Any = silent) -> Inversion:
    schedule = toy.schedule(InversionConfig(5, 1), SIZE)
    blocks = ("double.0",) if kv else None
    return invert(toy, IMAGE, 1.0, schedule, kv_blocks=blocks, show=show, observer=observer)


def region() -> Tensor:
    mask = torch.zeros(SIZE, dtype=torch.bool)
    mask[1:4, 1:3] = True
    return mask


def request() -> Drag:
    area = torch.zeros(SIZE, dtype=torch.bool)
    area[1:5, 1:7] = True
    cells = move_cells(identity_map(SIZE, area), region(), ((1.0, 0.0, 3.0), (0.0, 1.0, 0.0)))
    return Drag(
        regions=(RegionMotion(region(), Translate((4.5, 2.0)), (1.5, 2.0), 1.0),),
        area=area,
        latent_cells=cells,
        token_cells=cells,
        target=lambda guidance: guidance,
        still=lambda guidance: guidance,
        inverting=lambda guidance: guidance,
        proposal=lambda: torch.zeros_like(IMAGE),
    )


CONFIG = EditConfig(
    inversion=InversionConfig(5, 1),
    kv=KVConfig("mapped"),
    start=StartConfig("warp"),
    optimise=OptimiseConfig(moving=0, refining=0),
    denoise=DenoiseConfig(background="replay"),
)


def test_the_states_go_from_the_edit_time_down_to_the_picture_itself() -> None:
    found = inverted(Toy())
    assert len(found.states) == len(found.schedule.used) == 5
    assert found.image is IMAGE
    assert found.z is found.states[0]
    first_step = found.states[-2] - IMAGE  # from 0 to 0.2 with v at the half step
    u = 0.5 + 0.01 * IMAGE
    assert torch.allclose(first_step, 0.2 * (0.5 + 0.01 * (IMAGE + 0.1 * u)), atol=1e-6)


def test_a_constant_field_is_inverted_to_the_picture_plus_its_integral() -> None:
    toy = Toy()
    schedule = toy.schedule(InversionConfig(5, 1), SIZE)
    still = replace(toy, rate=0.0)
    still.velocity = lambda z, t, cond, **_: torch.full_like(z, 0.5)  # pyright: ignore[reportAttributeAccessIssue]
    found = invert(still, IMAGE, 1.0, schedule, kv_blocks=None, show=show, observer=silent)
    for t, z in zip(schedule.used, found.states, strict=True):
        assert torch.allclose(z, IMAGE + 0.5 * t, atol=1e-6)
    assert found.kv is None


def test_every_call_is_recorded_under_its_own_time() -> None:
    toy = Toy()
    found = inverted(toy)
    assert found.kv is not None
    assert sorted(round(t, 6) for t in found.kv.times) == [0.0, 0.1, 0.3, 0.5, 0.7]
    assert [guidance for _, guidance in toy.asked] == [1.0] * 5
    assert inverted(Toy(), kv=False).kv is None


def test_a_velocity_that_is_not_finite_names_its_step_and_phase() -> None:
    with pytest.raises(NumericalError, match=r"step 1 of 5 of phase 'invert' \(t = 0\.0000\)"):
        inverted(Toy(rate=float("nan")))


@pytest.mark.parametrize("background", ["replay", "resample", "none"])
@pytest.mark.parametrize("rule", ["in-place", "mapped", "none"])
def test_nothing_dragged_comes_back_as_the_picture(rule: str, background: str) -> None:
    """Up and down the same field; FireFlow's own error is the whole difference."""
    toy = Toy()
    config = replace(
        CONFIG,
        kv=KVConfig(rule),  # pyright: ignore[reportArgumentType]
        start=StartConfig("source"),
        denoise=DenoiseConfig(background=background),  # pyright: ignore[reportArgumentType]
    )
    still = replace(request(), token_cells=identity_map(SIZE, region()), latent_cells=identity_map(SIZE, region()))
    z, losses = drag(toy, inverted(toy), still, config, show=show, observer=silent)
    assert torch.allclose(z, IMAGE, atol=1e-3)
    assert losses == ()


def test_the_replayed_background_ends_in_the_picture_exactly() -> None:
    toy, asked = Toy(), request()
    z, _ = drag(toy, inverted(toy), asked, CONFIG, show=show, observer=silent)
    assert torch.equal(z[..., ~asked.area], IMAGE[..., ~asked.area])
    assert not torch.allclose(z[..., asked.area], IMAGE[..., asked.area], atol=0.1)


def test_a_shift_carries_the_pictures_cells_to_the_target() -> None:
    toy = Toy()
    z, _ = drag(toy, inverted(toy), request(), CONFIG, show=show, observer=silent)
    assert torch.allclose(z[..., 1:4, 4:6], IMAGE[..., 1:4, 1:3], atol=1e-3)


def test_optimising_alone_brings_the_cells_to_the_target() -> None:
    """The gradient of a mean of differences is a sign: small Adam steps end within a step of the reference."""
    toy, asked = Toy(), request()
    optimise = OptimiseConfig(moving=0, refining=300, rule="adam", refining_rate=0.02, mean="region")
    config = replace(CONFIG, start=StartConfig("source"), optimise=optimise)
    z, losses = drag(toy, inverted(toy), asked, config, show=show, observer=silent)
    assert losses[-1] < 0.05 * losses[0]
    assert torch.allclose(z[..., 1:4, 4:6], IMAGE[..., 1:4, 1:3], atol=0.1)


@pytest.mark.parametrize(("background", "calls"), [("replay", 5), ("none", 5), ("resample", 10)])
def test_only_a_resampled_background_costs_calls(background: str, calls: int) -> None:
    toy = Toy()
    found = inverted(toy)
    toy.asked.clear()
    events: list[Event] = []
    config = replace(
        CONFIG,
        start=StartConfig("source"),
        denoise=DenoiseConfig(guidance=3.5, background=background),  # pyright: ignore[reportArgumentType]
    )
    drag(toy, found, request(), config, show=show, observer=events.append)
    assert len(toy.asked) == calls
    assert [guidance for _, guidance in toy.asked].count(3.5) == 5
    assert len([event for event in events if isinstance(event, Stepped)]) == calls


# -- noised, not inverted ----------------------------------------------------------------------------------------------


def noised(toy: Toy, seed: int = 0, *, kv: bool = False, observer: Any = silent) -> Inversion:
    schedule = toy.schedule(InversionConfig(5, 1), SIZE)
    blocks = ("double.0",) if kv else None
    return noise(toy, IMAGE, 1.0, schedule, seed=seed, kv_blocks=blocks, show=show, observer=observer)


def test_a_noised_picture_has_one_noise_at_all_times_and_costs_no_call() -> None:
    toy, events = Toy(), list[Event]()
    found = noised(toy, observer=events.append)
    assert found.image is IMAGE
    assert not toy.asked
    assert not events
    parts = [noise_part(z, IMAGE, t) for z, t in zip(found.states[:-1], found.schedule.used, strict=False)]
    assert all(torch.allclose(part, parts[0], atol=1e-5) for part in parts)
    assert parts[0].std() == pytest.approx(1, abs=0.2)
    assert torch.equal(noised(Toy()).z, found.z)
    assert not torch.allclose(noised(Toy(), 1).z, found.z, atol=0.1)


def test_fresh_noise_is_not_the_noise_of_the_picture_again() -> None:
    found = noised(Toy())
    fresh = torch.randn(IMAGE.shape, generator=torch.Generator().manual_seed(0))
    assert not torch.allclose(noise_part(found.z, IMAGE, found.schedule.edit_time), fresh, atol=0.5)


def test_another_picture_under_the_same_noise() -> None:
    found, t = noised(Toy()), 0.8
    other = IMAGE.clone()
    other[..., :3] += 1
    assert torch.equal(found.noised(other)[..., 3:], found.z[..., 3:])
    expected = (1 - t) * other + t * noise_part(found.z, IMAGE, t)
    assert torch.allclose(found.noised(other), expected, atol=1e-5)


def test_a_record_of_the_noised_picture_is_made_at_the_times_of_the_way_back() -> None:
    toy = Toy()
    found = noised(toy, kv=True)
    assert found.kv is not None
    recorded = sorted(found.kv.times)
    assert len(toy.asked) == len(recorded) == 5
    config = replace(CONFIG, inversion=InversionConfig(5, 1, mode="noised"), start=StartConfig("preview"))
    toy.asked.clear()
    drag(toy, found, request(), config, show=show, observer=silent)
    assert sorted(t for t, _ in toy.asked) == pytest.approx(recorded, abs=1e-5)


def test_a_noised_preview_costs_no_call_and_the_background_ends_in_the_picture() -> None:
    toy, asked = Toy(), replace(request(), proposal=lambda: IMAGE + 1)
    config = replace(
        CONFIG, inversion=InversionConfig(5, 1, mode="noised"), start=StartConfig("preview"), kv=KVConfig("none")
    )
    phases = Counter[str]()
    z, _ = drag(toy, noised(toy), asked, config, show=show, observer=lambda event: phases.update([event.phase]))
    assert set(phases) == {"denoise"}
    assert len(toy.asked) == 5
    assert torch.equal(z[..., ~asked.area], IMAGE[..., ~asked.area])
