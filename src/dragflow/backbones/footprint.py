"""How large a model is, counted on torch's meta device: from configurations alone, without weights or memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from dragflow.backbones.configs import Config, check_config, defaults_of, empty_network
from dragflow.backbones.parts import part_of
from dragflow.backbones.pipeline_layout import Layout, network_class
from dragflow.backbones.swap import blocks_of
from dragflow.method.backbone import BackboneSpec


@dataclass(frozen=True)
class Footprint:
    """What a model weighs, whatever it is stored in."""

    model: str
    """Which model this is, for people."""
    transformer: int
    """Parameters of the diffusion transformer."""
    others: int
    """Parameters of autoencoder and text encoders."""
    kv_token_bytes: int
    """Bytes that one image token adds to the K/V record of one model call, at the default blocks and in bfloat16."""
    pixel_multiple: int
    """Pixels per image token, along each side."""
    autoencoder: int = 0
    """Parameters of the autoencoder, where that is told apart."""
    blocks: int = 0
    """Parameters of the transformer's blocks, where those are told apart."""
    block: int = 0
    """Those of the largest block."""
    tapped: int = 19
    """Blocks that a gradient goes through, by the default taps."""
    width: int = 3072
    """Channels of a token in the blocks."""
    channels: int = 128
    """Channels of the autoencoder's first stage."""
    record_token_bytes: int = 0
    """Bytes that one token of any kind adds to the record of all tokens of one model call, in bfloat16."""
    text_tokens: int = 0
    """Most tokens of a prompt."""

    def kv_bytes(self, size: tuple[int, int]) -> int:
        """Bytes of the K/V record of one model call for a picture of (h, w) pixels."""
        return self.kv_token_bytes * self._tokens(size)

    def record_bytes(self, size: tuple[int, int]) -> int:
        """The same of the record of all tokens, the prompt's included."""
        return self.record_token_bytes * (self._tokens(size) + self.text_tokens)

    def _tokens(self, size: tuple[int, int]) -> int:
        return (size[0] // self.pixel_multiple) * (size[1] // self.pixel_multiple)


def empty_networks(layout: Layout, configs: Mapping[str, Config], model: str) -> dict[str, nn.Module]:
    """Networks of these configurations in bfloat16, without values.

    Raises:
        UserError: a configuration does not fit the network.
    """
    networks: dict[str, nn.Module] = {}
    for part, config in configs.items():
        cls = network_class(layout, part, config)
        check_config(f"model {model}: its {part}", config, defaults_of(cls))
        with part_of(model, part):  # diffusers warns of a cast that loses no values here
            networks[part] = empty_network(cls, config).to(torch.bfloat16)
    return networks


def footprint_of(model: str, networks: Mapping[str, nn.Module], spec: BackboneSpec) -> Footprint:
    """Count the parameters of a model's networks; those that two layers share count once."""
    counts = {part: _parameters(network) for part, network in networks.items()}
    blocks = [_parameters(block) for block in blocks_of(networks["transformer"])]
    stages: Any = networks["vae"].config
    return Footprint(
        model,
        transformer=counts.pop("transformer"),
        others=sum(counts.values()),
        autoencoder=counts["vae"],
        blocks=sum(blocks),
        block=max(blocks),
        tapped=1 + max(spec.blocks.index(tap.rpartition(".")[0]) for tap in spec.taps),
        width=spec.kv_token_bytes // torch.bfloat16.itemsize,
        channels=stages.get("base_dim") or stages["block_out_channels"][0],
        kv_token_bytes=2 * len(spec.kv_blocks) * spec.kv_token_bytes,
        record_token_bytes=spec.record_token_bytes,
        text_tokens=spec.text_limit,
        pixel_multiple=spec.pixel_multiple,
    )


def _parameters(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())
