"""What every backbone must hold to: velocities, truncated features, gradients, and control of keys and values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dragflow.backbones.flux1.layout import pack, unpack
from dragflow.backbones.flux1.model import Flux1
from dragflow.backbones.registry import load_backbone
from dragflow.core.config import InversionConfig
from dragflow.core.errors import CapabilityError, UserError
from dragflow.core.models import ModelOptions
from dragflow.method.backbone import Site
from dragflow.method.kv import KVStore
from small_flux import GRID, TIME, diffusers_velocity, gradient, hooks


@pytest.fixture
def z(backbone: Flux1) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(1, backbone.spec.latent_channels, 2 * GRID[0], 2 * GRID[1], generator=generator)


@pytest.fixture(scope="module")
def cond(backbone: Flux1) -> Any:
    return backbone.condition("a cat on grass", guidance=3.5)


@pytest.fixture(scope="module")
def checkpointed(dummy_folder: Path) -> Flux1:
    loaded = load_backbone(ModelOptions.of(dummy_folder, device="cpu", checkpointing=True))
    assert isinstance(loaded, Flux1)
    return loaded


def blocks(backbone: Flux1) -> dict[str, nn.Module]:
    transformer = backbone._transformer
    doubles = {f"double.{i}": block for i, block in enumerate(transformer.transformer_blocks)}
    return doubles | {f"single.{i}": block for i, block in enumerate(transformer.single_transformer_blocks)}


@contextmanager
def counted(backbone: Flux1) -> Iterator[Counter[str]]:
    """Calls of every block, recomputations included."""
    calls: Counter[str] = Counter()

    def count(name: str) -> Callable[..., None]:
        def hook(*_: object) -> None:
            calls[name] += 1

        return hook

    handles = [block.register_forward_pre_hook(count(name)) for name, block in blocks(backbone).items()]
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


def test_packing_is_row_major_in_tokens_and_in_patches() -> None:
    z = torch.arange(2 * 4 * 6.0).reshape(1, 2, 4, 6)
    tokens = pack(z)
    assert tokens.shape == (1, 6, 8)
    assert tokens[0, 4].tolist() == [14, 15, 20, 21, 38, 39, 44, 45]  # token (1, 1): both channels of its 2 x 2 patch
    assert torch.equal(unpack(tokens, 2, 3), z)


def test_the_velocity_is_the_librarys_own_bit_for_bit(backbone: Flux1, z: Tensor, cond: Any) -> None:
    assert torch.equal(backbone.velocity(z, TIME, cond), diffusers_velocity(backbone.transformer, z, cond))


def test_the_velocity_depends_on_time_guidance_and_prompt(backbone: Flux1, z: Tensor, cond: Any) -> None:
    v = backbone.velocity(z, TIME, cond)
    assert not torch.equal(v, backbone.velocity(z, 0.2, cond))
    assert not torch.equal(v, backbone.velocity(z, TIME, backbone.condition("a cat on grass", guidance=1.0)))
    assert not torch.equal(v, backbone.velocity(z, TIME, backbone.condition("a train", guidance=3.5)))


def test_the_velocity_leaves_no_graph_and_its_input_alone(backbone: Flux1, z: Tensor, cond: Any) -> None:
    before = z.clone()
    v = backbone.velocity(z.requires_grad_(True), TIME, cond)
    assert not v.requires_grad
    assert v.shape == z.shape
    assert torch.equal(z.detach(), before)


def test_encode_and_decode_shapes(backbone: Flux1) -> None:
    image = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    latent = backbone.encode(image)
    assert latent.shape == (1, 16, 6, 8)
    assert backbone.spec.token_grid((6, 8)) == GRID
    assert torch.equal(latent, backbone.encode(image))  # the mode of the distribution, no draw
    decoded = backbone.decode(latent)
    assert decoded.shape == image.shape
    assert decoded.dtype == torch.float32
    assert 0 <= float(decoded.min()) <= float(decoded.max()) <= 1


def test_a_prompt_is_encoded_once(backbone: Flux1) -> None:
    first = backbone.condition("once", guidance=1.0)
    assert backbone.condition("once", guidance=3.5).text is first.text


def test_the_schedule_is_cut_at_the_edit_time(backbone: Flux1) -> None:
    schedule = backbone.schedule(InversionConfig(25, 6), (32, 32))
    assert len(schedule.times) == 26
    assert len(schedule.used) == 20
    assert schedule.edit_time == schedule.used[0] == schedule.times[6]
    larger = backbone.schedule(InversionConfig(25, 6), (128, 128))
    assert larger.edit_time > schedule.edit_time  # more tokens, more shift towards noise


def test_the_spec_names_what_is_there(backbone: Flux1) -> None:
    spec = backbone.spec
    assert spec.blocks == tuple(blocks(backbone))
    assert set(spec.taps) <= set(spec.tap_names)
    assert set(spec.kv_blocks) <= set(spec.blocks)
    assert {name.partition(".")[0] for name in spec.kv_blocks} == {"double", "single"}


# -- features ----------------------------------------------------------------------------------------------------------


def test_truncated_features_equal_those_of_a_full_run(backbone: Flux1, z: Tensor, cond: Any) -> None:
    full: dict[str, Tensor] = {}
    handles = []
    for i, block in enumerate(backbone._transformer.transformer_blocks):
        handles.append(block.register_forward_hook(lambda _, __, out, i=i: full.update({f"double.{i}.out": out[1]})))
        handles.append(
            block.norm1.register_forward_hook(lambda _, __, out, i=i: full.update({f"double.{i}.norm": out[0]}))
        )
    diffusers_velocity(backbone.transformer, z, cond)
    for handle in handles:
        handle.remove()
    with torch.no_grad():
        found = backbone.features(z, TIME, cond, taps=backbone.spec.tap_names)
    for name, feature in zip(backbone.spec.tap_names, found, strict=True):
        assert feature.shape[-2:] == GRID
        assert torch.equal(feature.flatten(2).transpose(1, 2), full[name]), name


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("last", [0, 1, 2])
def test_no_block_after_the_last_tap_runs_forward_or_backward(
    last: int, checkpointing: bool, backbone: Flux1, checkpointed: Flux1, z: Tensor, cond: Any
) -> None:
    model = checkpointed if checkpointing else backbone
    z = z.requires_grad_(True)
    with counted(model) as calls:
        (feature,) = model.features(z, TIME, cond, taps=(f"double.{last}.norm",))
        assert calls == {f"double.{i}": 1 for i in range(last + 1)}
        feature.square().mean().backward()
    assert calls == {f"double.{i}": 2 if checkpointing else 1 for i in range(last + 1)}


def test_the_order_of_the_taps_is_the_order_of_the_features(backbone: Flux1, z: Tensor, cond: Any) -> None:
    with torch.no_grad():
        out, norm = backbone.features(z, TIME, cond, taps=("double.1.out", "double.0.norm"))
        (alone,) = backbone.features(z, TIME, cond, taps=("double.0.norm",))
    assert torch.equal(norm, alone)
    assert not torch.equal(out, norm)


def test_features_and_gradients_are_finite_and_reach_every_cell(backbone: Flux1, z: Tensor, cond: Any) -> None:
    with torch.no_grad():
        assert all(f.isfinite().all() for f in backbone.features(z, TIME, cond, taps=backbone.spec.taps))
    found = gradient(backbone, z, cond)
    assert found.shape == z.shape
    assert found.isfinite().all()
    assert (found.abs().amax(1) > 0).all()


def test_checkpointing_changes_no_gradient(backbone: Flux1, checkpointed: Flux1, z: Tensor, cond: Any) -> None:
    assert torch.allclose(gradient(checkpointed, z, cond), gradient(backbone, z, cond), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("taps", [("double.3.out",), ("single.0.out",), ("double.0.ouf",), ()])
def test_an_unknown_tap_is_refused(taps: tuple[str, ...], backbone: Flux1, z: Tensor, cond: Any) -> None:
    with pytest.raises(UserError, match="tap") as error:
        backbone.features(z, TIME, cond, taps=taps)
    assert all(tap in str(error.value) for tap in taps)


# -- keys and values ---------------------------------------------------------------------------------------------------


def test_a_control_sees_the_image_tokens_of_its_blocks_once(backbone: Flux1, z: Tensor, cond: Any) -> None:
    control = Control(frozenset({"double.1", "single.0", "single.5"}))
    backbone.velocity(z, TIME, cond, kv=control)
    assert control.seen == [
        (Site(block, part), (1, GRID[0] * GRID[1], 64)) for block in sorted(control.blocks) for part in ("k", "v")
    ]


def test_seeing_changes_nothing(backbone: Flux1, z: Tensor, cond: Any) -> None:
    control = Control(frozenset(backbone.spec.blocks))
    assert torch.equal(backbone.velocity(z, TIME, cond, kv=control), backbone.velocity(z, TIME, cond))
    assert len(control.seen) == 2 * len(backbone.spec.blocks)


def test_injecting_ones_own_recording_changes_nothing(backbone: Flux1, z: Tensor, cond: Any) -> None:
    store = KVStore(frozenset(backbone.spec.blocks), torch.device("cpu"))
    v = backbone.velocity(z, TIME, cond, kv=store.recorder(TIME))
    assert torch.equal(v, backbone.velocity(z, TIME, cond))
    assert torch.equal(backbone.velocity(z, TIME, cond, kv=store.injector(TIME)), v)


@pytest.mark.parametrize("block", ["double.0", "single.2"])
def test_injecting_something_else_changes_the_velocity(block: str, backbone: Flux1, z: Tensor, cond: Any) -> None:
    control = Control(frozenset({block}), lambda site, x: x + 1)
    assert not torch.equal(backbone.velocity(z, TIME, cond, kv=control), backbone.velocity(z, TIME, cond))


def test_a_single_block_keeps_its_text_tokens(backbone: Flux1, z: Tensor, cond: Any) -> None:
    attention: Any = backbone._transformer.single_transformer_blocks[1].attn
    text = cond.text.tokens.shape[1]
    caught: list[Tensor] = []
    inside = attention.norm_k.register_forward_pre_hook(lambda _, args: caught.append(args[0].clone()))
    backbone.velocity(z, TIME, cond)
    backbone.velocity(z, TIME, cond, kv=Control(frozenset({"single.1"}), lambda site, x: x * 0))
    inside.remove()
    before, after = (keys.reshape(1, keys.shape[1], -1) for keys in caught)
    assert torch.equal(after[:, :text], before[:, :text])
    assert not after[:, text:].any()
    assert before[:, text:].any()


def test_control_gives_the_same_gradients_with_and_without_checkpointing(
    backbone: Flux1, checkpointed: Flux1, z: Tensor, cond: Any
) -> None:
    store = KVStore(frozenset(backbone.spec.kv_blocks), torch.device("cpu"))
    backbone.velocity(z, TIME, cond, kv=store.recorder(TIME))
    shifted = z + 0.1
    injector = store.injector(TIME)
    found = gradient(checkpointed, shifted, cond, injector)
    assert torch.allclose(found, gradient(backbone, shifted, cond, injector), rtol=1e-5, atol=1e-9)
    assert not torch.allclose(found, gradient(checkpointed, shifted, cond), rtol=1e-3)


def test_a_recomputing_backward_asks_the_control_again(checkpointed: Flux1, z: Tensor, cond: Any) -> None:
    control = Control(frozenset({"double.0"}))
    gradient(checkpointed, z, cond, control)
    sites = [site for site, _ in control.seen]
    assert sites == [Site("double.0", "k"), Site("double.0", "v")] * 2


def test_every_hook_is_gone_after_a_call(backbone: Flux1, checkpointed: Flux1, z: Tensor, cond: Any) -> None:
    for model in (backbone, checkpointed):
        model.velocity(z, TIME, cond, kv=Control(frozenset(model.spec.blocks)))
        gradient(model, z, cond, Control(frozenset(model.spec.blocks)))
        assert hooks(model) == 0


@pytest.mark.parametrize("block", ["double.0", "double.2", "single.3"])
def test_every_hook_is_gone_after_a_control_that_raises(block: str, backbone: Flux1, z: Tensor, cond: Any) -> None:
    def refuse(site: Site, x: Tensor) -> Tensor:
        if site.part == "v":
            raise RuntimeError("enough")
        return x

    before = backbone.velocity(z, TIME, cond)
    with pytest.raises(RuntimeError, match="enough"):
        backbone.velocity(z, TIME, cond, kv=Control(frozenset({block}), refuse))
    assert hooks(backbone) == 0
    assert torch.equal(backbone.velocity(z, TIME, cond), before)


# -- dtypes and quantisation -------------------------------------------------------------------------------------------


def test_in_bfloat16_latents_and_gradients_stay_float32(dummy_folder: Path, z: Tensor) -> None:
    loaded = load_backbone(ModelOptions.of(dummy_folder, device="cpu", dtype="bfloat16"))
    assert isinstance(loaded, Flux1)
    cond = loaded.condition("a cat", guidance=3.5)
    seen: list[torch.dtype] = []

    def note(site: Site, x: Tensor) -> Tensor:
        seen.append(x.dtype)
        return x

    v = loaded.velocity(z, TIME, cond, kv=Control(frozenset({"double.0"}), note))
    assert v.dtype == torch.float32
    assert set(seen) == {torch.bfloat16}
    assert loaded.encode(torch.rand(1, 3, 32, 32)).dtype == torch.float32
    assert loaded.decode(z).dtype == torch.float32
    found = gradient(loaded, z, cond)
    assert found.dtype == torch.float32
    assert found.isfinite().all()
    assert found.any()
    assert loaded.weights.options.dtype == "bfloat16"


@pytest.mark.parametrize("quantize", ["int8", "fp8", "layerwise-fp8"])
def test_a_quantised_model_gives_gradients_and_takes_control(
    quantize: str, dummy_folder: Path, backbone: Flux1, z: Tensor
) -> None:
    if quantize != "layerwise-fp8":
        pytest.importorskip("torchao", reason="torchao is not installed (extra: quant)")
    loaded = load_backbone(ModelOptions.of(dummy_folder, device="cpu", dtype="bfloat16", quantize=quantize))
    assert isinstance(loaded, Flux1)
    cond = loaded.condition("a cat", guidance=3.5)
    found = gradient(loaded, z, cond)
    assert found.isfinite().all()
    assert found.any()
    control = Control(frozenset({"double.0", "single.0"}))
    v = loaded.velocity(z, TIME, cond, kv=control)
    assert len(control.seen) == 4
    exact = backbone.velocity(z, TIME, backbone.condition("a cat", guidance=3.5))
    assert float((v - exact).norm() / exact.norm()) < 0.3
    assert loaded.weights.options.quantize == quantize


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_fused_projections_are_refused(dummy_folder: Path) -> None:
    from diffusers import FluxTransformer2DModel

    transformer = FluxTransformer2DModel.from_pretrained(dummy_folder / "transformer")
    transformer.fuse_qkv_projections()
    with pytest.raises(CapabilityError, match="fused"):
        Flux1(transformer)


def test_projections_fused_after_loading_are_refused_too(dummy_folder: Path, z: Tensor) -> None:
    """Otherwise the hooks would never fire, and the control would silently do nothing."""
    loaded = load_backbone(ModelOptions.of(dummy_folder, device="cpu"))
    assert isinstance(loaded, Flux1)
    cond = loaded.condition("", guidance=1.0)
    loaded._transformer.fuse_qkv_projections()
    with pytest.raises(CapabilityError, match="fused"):
        loaded.velocity(z, TIME, cond, kv=Control(frozenset({"double.0"})))


def test_parts_alone_say_what_they_lack(backbone: Flux1) -> None:
    alone = Flux1(backbone._transformer)
    with pytest.raises(CapabilityError, match="pipeline"):
        alone.condition("", guidance=1.0)
    assert alone.weights == Flux1(backbone._transformer).weights  # told by the values of its weights
    assert alone.weights.fingerprint != backbone.weights.fingerprint
