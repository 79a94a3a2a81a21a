"""What FLUX.1 alone has: packed latents, and single blocks that project text and image together."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from dragflow.backbones.flux1.layout import kv_sites
from dragflow.backbones.packing import pack, unpack
from dragflow.method.backbone import Site
from small_flux import TIME, latent, load


class Nothing:
    """Keys and values of zero in one block."""

    blocks = frozenset({"single.1"})

    def __call__(self, site: Site, x: Tensor) -> Tensor:
        return x * 0


def test_packing_is_row_major_in_tokens_and_in_patches() -> None:
    z = torch.arange(2 * 4 * 6.0).reshape(1, 2, 4, 6)
    tokens = pack(z)
    assert tokens.shape == (1, 6, 8)
    assert tokens[0, 4].tolist() == [14, 15, 20, 21, 38, 39, 44, 45]  # token (1, 1): both channels of its 2 x 2 patch
    assert torch.equal(unpack(tokens, 2, 3), z)


def test_k_and_v_are_injected_into_both_kinds_of_blocks(dummy_folder: Path) -> None:
    assert {name.partition(".")[0] for name in load(dummy_folder).spec.kv_blocks} == {"double", "single"}


@pytest.mark.parametrize(
    ("blocks", "sites"),
    [
        ((19, 38), [0, 7, 8, 9, 10, 18, 6, 9, 18, 23, 26, 31, 37]),  # the paper's own
        ((8, 24), [3, 4, 7, 4, 11, 16, 23]),
        ((1, 1), [0, 0]),
        ((2, 0), [0]),
        ((8, 48), [3, 4, 7, 8, 11, 23, 29, 33, 39, 47]),
        ((4, 8), [2, 4, 6]),  # nano's, by a sweep
    ],
)
def test_other_sizes_inject_the_same_share_of_their_blocks(blocks: tuple[int, int], sites: list[int]) -> None:
    found = kv_sites(*blocks)
    assert [int(site.partition(".")[2]) for site in found] == sites
    assert len(set(found)) == len(found)


def test_a_single_block_keeps_its_text_tokens(dummy_folder: Path) -> None:
    backbone, z = load(dummy_folder), latent()
    cond = backbone.condition("a cat on grass", guidance=3.5)
    text = cond.text.tokens.shape[1]
    caught: list[Tensor] = []
    attention = backbone.transformer.single_transformer_blocks[1].attn
    inside = attention.norm_k.register_forward_pre_hook(lambda _, args: caught.append(args[0].clone()))
    backbone.velocity(z, TIME, cond)
    backbone.velocity(z, TIME, cond, kv=Nothing())
    inside.remove()
    before, after = (keys.reshape(1, keys.shape[1], -1) for keys in caught)
    assert torch.equal(after[:, :text], before[:, :text])
    assert not after[:, text:].any()
    assert before[:, text:].any()
