"""What every backbone must hold to: velocities, truncated features, gradients, and control of keys and values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from family_cases import FamilyCase
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from dragflow.backbones.guidance import own
from dragflow.backbones.pipeline import PipelineBackbone
from dragflow.core.config import InversionConfig
from dragflow.core.errors import CapabilityError, UserError
from dragflow.method.backbone import Site
from dragflow.method.filling import kept
from dragflow.method.kv import KVStore
from small_flux import GRID, TIME, gradient, hooks, some_fill


@pytest.fixture
def z(backbone: PipelineBackbone) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    cells = backbone.spec.pixel_multiple // backbone.spec.latent_stride
    return torch.randn(1, backbone.spec.latent_channels, cells * GRID[0], cells * GRID[1], generator=generator)


@pytest.fixture(scope="module")
def cond(backbone: PipelineBackbone) -> Any:
    """Of one call; `test_guidance.py` has those of two."""
    guidance = 1.0 if backbone.spec.guidance == "classifier-free" else 3.5
    return backbone.condition("a cat on grass", fill=some_fill(backbone.spec), guidance=guidance)


@contextmanager
def counted(family: FamilyCase, backbone: PipelineBackbone) -> Iterator[Counter[str]]:
    """Calls of every block, recomputations included."""
    calls: Counter[str] = Counter()

    def count(name: str) -> Callable[..., None]:
        def hook(*_: object) -> None:
            calls[name] += 1

        return hook

    handles = [
        block.register_forward_pre_hook(count(name)) for name, block in family.blocks(backbone.transformer).items()
    ]
    yield calls
    for handle in handles:
        handle.remove()


@dataclass
class Control:
    """Notes what it sees, and replaces it by what `change` makes of it."""

    blocks: frozenset[str]
    change: Callable[[Site, Tensor], Tensor] = lambda site, x: x
    seen: list[tuple[Site, tuple[int, ...]]] = field(default_factory=list)

    def __call__(self, site: Site, x: Tensor) -> Tensor:
        self.seen.append((site, tuple(x.shape)))
        return self.change(site, x)


def test_the_velocity_is_the_librarys_own_bit_for_bit(
    family: FamilyCase, backbone: PipelineBackbone, z: Tensor, cond: Any
) -> None:
    assert torch.equal(backbone.velocity(z, TIME, cond), family.velocity(backbone.transformer, z, cond))


def test_the_velocity_depends_on_time_guidance_and_prompt(backbone: PipelineBackbone, z: Tensor, cond: Any) -> None:
    v = backbone.velocity(z, TIME, cond)
    assert not torch.equal(v, backbone.velocity(z, 0.2, cond))
    guided = backbone.velocity(z, TIME, backbone.condition("a cat on grass", guidance=2.0))
    assert torch.equal(v, guided) == (backbone.spec.guidance == "none")
    assert not torch.equal(v, backbone.velocity(z, TIME, backbone.condition("a train", guidance=3.5)))


def test_the_velocity_leaves_no_graph_and_its_input_alone(backbone: PipelineBackbone, z: Tensor, cond: Any) -> None:
    before = z.clone()
    v = backbone.velocity(z.requires_grad_(True), TIME, cond)
    assert not v.requires_grad
    assert v.shape == z.shape
    assert torch.equal(z.detach(), before)


def test_each_latent_of_a_batch_may_have_a_time_of_its_own(backbone: PipelineBackbone, z: Tensor, cond: Any) -> None:
    """As LoRAs are trained."""
    batch, times = torch.cat([z, z.flip(-1)]), (0.3, 0.8)
    with torch.no_grad():
        alone = [backbone.flow(each[None], t, cond) for each, t in zip(batch, times, strict=True)]
        assert torch.allclose(backbone.flow(batch, torch.tensor(times), cond), torch.cat(alone), atol=1e-4)


def test_encode_and_decode_shapes(backbone: PipelineBackbone) -> None:
    spec = backbone.spec
    size = (GRID[0] * spec.pixel_multiple, GRID[1] * spec.pixel_multiple)
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    latent = backbone.encode(image)
    assert latent.shape == (1, spec.latent_channels, size[0] // spec.latent_stride, size[1] // spec.latent_stride)
    assert spec.token_grid((latent.shape[-2], latent.shape[-1])) == GRID
    assert torch.equal(latent, backbone.encode(image))  # the mode of the distribution, no draw
    decoded = backbone.decode(latent)
    assert decoded.shape == image.shape
    assert decoded.dtype == torch.float32
    assert 0 <= float(decoded.min()) <= float(decoded.max()) <= 1


def test_a_prompt_is_encoded_once(backbone: PipelineBackbone) -> None:
    first = backbone.condition("once", guidance=1.0)
    assert own(backbone.condition("once", guidance=3.5)).text is first.text


def test_the_schedule_is_cut_at_the_edit_time(backbone: PipelineBackbone) -> None:
    schedule = backbone.schedule(InversionConfig(25, 6), (32, 32))
    assert len(schedule.times) == 26
    assert len(schedule.used) == 20
    assert schedule.edit_time == schedule.used[0] == schedule.times[6]
    larger = backbone.schedule(InversionConfig(25, 6), (128, 128))
    shifted = backbone.pipeline.scheduler.config.use_dynamic_shifting  # more tokens, more shift towards noise
    assert larger.edit_time > schedule.edit_time if shifted else larger.edit_time == schedule.edit_time


def test_the_spec_names_what_is_there(family: FamilyCase, backbone: PipelineBackbone) -> None:
    spec = backbone.spec
    assert spec.blocks == tuple(family.blocks(backbone.transformer))
    assert set(spec.taps) <= set(spec.tap_names)
    assert set(spec.kv_blocks) <= set(spec.blocks)


# -- features ----------------------------------------------------------------------------------------------------------


def test_truncated_features_equal_those_of_a_full_run(
    family: FamilyCase, backbone: PipelineBackbone, z: Tensor, cond: Any
) -> None:
    full: dict[str, Tensor] = {}
    handles: list[RemovableHandle] = []

    def catch(tap: str, i: int | str | slice) -> Callable[[Any, Any, Any, Any], None]:
        return lambda _, args, given, out: full.update(
            {tap: out[i] if not isinstance(i, str) else given[i] if i else args[0]}
        )

    tapped = {tap.rpartition(".")[0] for tap in backbone.spec.tap_names}
    for name, block in family.blocks(backbone.transformer).items():
        if name not in tapped:
            continue
        for part, (module, i) in family.features(block).items():
            handles.append(module.register_forward_hook(catch(f"{name}.{part}", i), with_kwargs=True))
    family.velocity(backbone.transformer, z, cond)
    for handle in handles:
        handle.remove()
    with torch.no_grad():
        found = backbone.features(z, TIME, cond, taps=backbone.spec.tap_names)
    for name, feature in zip(backbone.spec.tap_names, found, strict=True):
        assert feature.shape[-2:] == GRID
        tokens = GRID[0] * GRID[1]
        seen = full[name][:, -tokens:] if family.text_first else full[name][:, :tokens]
        assert torch.equal(feature.flatten(2).transpose(1, 2), seen), name


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("last", [0, 1, -1])
def test_no_block_after_the_last_tap_runs_forward_or_backward(
    last: int,
    checkpointing: bool,
    family: FamilyCase,
    backbone: PipelineBackbone,
    checkpointed: PipelineBackbone,
    z: Tensor,
    cond: Any,
) -> None:
    model = checkpointed if checkpointing else backbone
    spec = model.spec
    tap = [tap for tap in spec.tap_names if tap.endswith(".norm")][last]
    run = spec.blocks[: spec.blocks.index(tap.removesuffix(".norm")) + 1]
    z = z.requires_grad_(True)
    with counted(family, model) as calls:
        (feature,) = model.features(z, TIME, cond, taps=(tap,))
        assert calls == dict.fromkeys(run, 1)
        feature.square().mean().backward()
    assert calls == dict.fromkeys(run, 2 if checkpointing else 1)


def test_the_order_of_the_taps_is_the_order_of_the_features(backbone: PipelineBackbone, z: Tensor, cond: Any) -> None:
    with torch.no_grad():
        first, *_, last = backbone.spec.tap_names
        out, norm = backbone.features(z, TIME, cond, taps=(last, first))
        (alone,) = backbone.features(z, TIME, cond, taps=(first,))
    assert torch.equal(norm, alone)
    assert not torch.equal(out, norm)


def test_features_and_gradients_are_finite_and_reach_every_cell(
    backbone: PipelineBackbone, z: Tensor, cond: Any
) -> None:
    with torch.no_grad():
        assert all(f.isfinite().all() for f in backbone.features(z, TIME, cond, taps=backbone.spec.taps))
    found = gradient(backbone, z, cond)
    assert found.shape == z.shape
    assert found.isfinite().all()
    assert (found.abs().amax(1) > 0).all()


def test_checkpointing_changes_no_gradient(
    backbone: PipelineBackbone, checkpointed: PipelineBackbone, z: Tensor, cond: Any
) -> None:
    assert torch.allclose(gradient(checkpointed, z, cond), gradient(backbone, z, cond), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("taps", [("no.such.out",), ("double.99.out",), ("double.0.ouf",), ()])
def test_an_unknown_tap_is_refused(taps: tuple[str, ...], backbone: PipelineBackbone, z: Tensor, cond: Any) -> None:
    with pytest.raises(UserError, match="tap") as error:
        backbone.features(z, TIME, cond, taps=taps)
    assert all(tap in str(error.value) for tap in taps)


# -- keys and values ---------------------------------------------------------------------------------------------------


def test_a_control_sees_the_image_tokens_of_its_blocks_once(backbone: PipelineBackbone, z: Tensor, cond: Any) -> None:
    spec = backbone.spec
    wanted = spec.blocks[1::3]
    control = Control(frozenset(wanted))
    backbone.velocity(z, TIME, cond, kv=control)
    shape = (1, GRID[0] * GRID[1], spec.kv_token_bytes // backbone.dtype.itemsize)
    assert control.seen == [(Site(block, part), shape) for block in wanted for part in ("k", "v")]


def test_seeing_changes_nothing(backbone: PipelineBackbone, z: Tensor, cond: Any) -> None:
    control = Control(frozenset(backbone.spec.blocks))
    assert torch.equal(backbone.velocity(z, TIME, cond, kv=control), backbone.velocity(z, TIME, cond))
    assert len(control.seen) == 2 * len(backbone.spec.blocks)


def test_injecting_ones_own_recording_changes_nothing(backbone: PipelineBackbone, z: Tensor, cond: Any) -> None:
    store = KVStore(frozenset(backbone.spec.blocks), torch.device("cpu"))
    v = backbone.velocity(z, TIME, cond, kv=store.recorder(TIME))
    assert torch.equal(v, backbone.velocity(z, TIME, cond))
    assert torch.equal(backbone.velocity(z, TIME, cond, kv=store.injector(TIME)), v)


def test_injecting_something_else_changes_the_velocity(backbone: PipelineBackbone, z: Tensor, cond: Any) -> None:
    plain = backbone.velocity(z, TIME, cond)
    for block in backbone.spec.kv_blocks:
        control = Control(frozenset({block}), lambda site, x: x + 1)
        assert not torch.equal(backbone.velocity(z, TIME, cond, kv=control), plain)


def test_control_gives_the_same_gradients_with_and_without_checkpointing(
    backbone: PipelineBackbone, checkpointed: PipelineBackbone, z: Tensor, cond: Any
) -> None:
    store = KVStore(frozenset(backbone.spec.kv_blocks), torch.device("cpu"))
    backbone.velocity(z, TIME, cond, kv=store.recorder(TIME))
    shifted = z + 0.1
    injector = store.injector(TIME)
    found = gradient(checkpointed, shifted, cond, injector)
    assert torch.allclose(found, gradient(backbone, shifted, cond, injector), rtol=1e-5, atol=1e-9)
    assert not torch.allclose(found, gradient(checkpointed, shifted, cond), rtol=1e-3)


def test_a_recomputing_backward_asks_the_control_again(checkpointed: PipelineBackbone, z: Tensor, cond: Any) -> None:
    block = checkpointed.spec.blocks[0]
    control = Control(frozenset({block}))
    gradient(checkpointed, z, cond, control)
    sites = [site for site, _ in control.seen]
    assert sites == [Site(block, "k"), Site(block, "v")] * 2


def test_every_hook_is_gone_after_a_call(
    backbone: PipelineBackbone, checkpointed: PipelineBackbone, z: Tensor, cond: Any
) -> None:
    for model in (backbone, checkpointed):
        model.velocity(z, TIME, cond, kv=Control(frozenset(model.spec.blocks)))
        gradient(model, z, cond, Control(frozenset(model.spec.blocks)))
        assert hooks(model) == 0


@pytest.mark.parametrize("block", [0, 2, -1])
def test_every_hook_is_gone_after_a_control_that_raises(
    block: int, backbone: PipelineBackbone, z: Tensor, cond: Any
) -> None:
    def refuse(site: Site, x: Tensor) -> Tensor:
        if site.part == "v":
            raise RuntimeError("enough")
        return x

    before = backbone.velocity(z, TIME, cond)
    with pytest.raises(RuntimeError, match="enough"):
        backbone.velocity(z, TIME, cond, kv=Control(frozenset({backbone.spec.blocks[block]}), refuse))
    assert hooks(backbone) == 0
    assert torch.equal(backbone.velocity(z, TIME, cond), before)


# -- dtypes and quantisation -------------------------------------------------------------------------------------------


def test_in_bfloat16_latents_and_gradients_stay_float32(family: FamilyCase, folder: Path, z: Tensor) -> None:
    loaded = family.load(folder, dtype="bfloat16")
    cond = loaded.condition("a cat", guidance=3.5)
    seen: list[torch.dtype] = []

    def note(site: Site, x: Tensor) -> Tensor:
        seen.append(x.dtype)
        return x

    v = loaded.velocity(z, TIME, cond, kv=Control(frozenset(loaded.spec.blocks[:1]), note))
    assert v.dtype == torch.float32
    assert set(seen) == {torch.bfloat16}
    assert loaded.encode(torch.rand(1, 3, 32, 32)).dtype == torch.float32
    assert loaded.decode(z).dtype == torch.float32
    found = gradient(loaded, z, cond)
    assert found.dtype == torch.float32
    assert found.isfinite().all()
    assert found.any()
    assert loaded.weights.options.dtype == "bfloat16"


@pytest.mark.parametrize("quantize", ["int8", "fp8", "layerwise-fp8", "nf4"])
def test_a_quantised_model_gives_gradients_and_takes_control(
    quantize: str, family: FamilyCase, folder: Path, backbone: PipelineBackbone, z: Tensor
) -> None:
    if quantize != "layerwise-fp8":
        pytest.importorskip("torchao", reason="torchao is not installed (extra: quant)")
    loaded = family.load(folder, dtype="bfloat16", quantize=quantize)
    cond = loaded.condition("a cat", guidance=1.0)
    found = gradient(loaded, z, cond)
    assert found.isfinite().all()
    assert found.any()
    control = Control(frozenset({loaded.spec.blocks[0], loaded.spec.blocks[-1]}))
    v = loaded.velocity(z, TIME, cond, kv=control)
    assert len(control.seen) == 4
    exact = backbone.velocity(z, TIME, backbone.condition("a cat", guidance=1.0))
    assert float((v - exact).norm() / exact.norm()) < 0.3
    assert loaded.weights.options.quantize == quantize


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_a_model_that_does_not_fill_is_told_no_fill(backbone: PipelineBackbone, z: Tensor) -> None:
    told = kept(z, replace(backbone.spec, fills=True))
    if backbone.spec.fills:
        assert backbone.velocity(z, TIME, backbone.condition("", fill=told, guidance=1.0)).isfinite().all()
        return
    with pytest.raises(CapabilityError, match=rf"a fill is given, but models of family {backbone.spec.family}"):
        backbone.condition("", fill=told, guidance=1.0)


def fuse(loaded: PipelineBackbone) -> None:
    """Fuse projections, where the library does so in this family."""
    if hasattr(loaded.transformer, "fuse_qkv_projections"):
        loaded.transformer.fuse_qkv_projections()
    if not any(getattr(module, "fused_projections", False) for module in loaded.transformer.modules()):
        pytest.skip("a family in which the library fuses nothing")


def test_fused_projections_are_refused(family: FamilyCase, folder: Path) -> None:
    loaded = family.load(folder)
    fuse(loaded)
    with pytest.raises(CapabilityError, match="fused"):
        type(loaded)(loaded.transformer)


def test_projections_fused_after_loading_are_refused_too(family: FamilyCase, folder: Path, z: Tensor) -> None:
    """Otherwise the hooks would never fire, and the control would silently do nothing."""
    loaded = family.load(folder)
    cond = loaded.condition("", guidance=1.0)
    fuse(loaded)
    with pytest.raises(CapabilityError, match="fused"):
        loaded.velocity(z, TIME, cond, kv=Control(frozenset(loaded.spec.blocks[:1])))


def test_parts_alone_say_what_they_lack(backbone: PipelineBackbone) -> None:
    alone = type(backbone)(backbone.transformer)
    with pytest.raises(CapabilityError, match="pipeline"):
        alone.condition("", guidance=1.0)
    assert alone.weights == type(backbone)(backbone.transformer).weights  # told by the values of its weights
    assert alone.weights.fingerprint != backbone.weights.fingerprint
