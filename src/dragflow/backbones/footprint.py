"""How large a model is, counted on torch's meta device: from configurations alone, without weights or memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dragflow.backbones.load import Layout
from dragflow.backbones.parts import part_of
from dragflow.method.backbone import BackboneSpec

Config = Mapping[str, Any]
"""What a config.json holds."""


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

    def kv_bytes(self, size: tuple[int, int]) -> int:
        """Bytes of the K/V record of one model call for a picture of (h, w) pixels."""
        return self.kv_token_bytes * (size[0] // self.pixel_multiple) * (size[1] // self.pixel_multiple)


def read_configs(layout: Layout, folder: Path) -> dict[str, Config]:
    """The configurations of a model's networks, by the part's name.

    Raises:
        UserError: one is missing or damaged.
    """
    configs: dict[str, Config] = {}
    for part in layout.networks:
        with part_of(str(folder), part):
            configs[part] = json.loads((folder / part / "config.json").read_text(encoding="utf-8"))
    return configs


def empty_networks(layout: Layout, configs: Mapping[str, Config], model: str) -> dict[str, nn.Module]:
    """Networks of these configurations in bfloat16, without values.

    Raises:
        UserError: a configuration does not fit the network.
    """
    networks: dict[str, nn.Module] = {}
    for part, config in configs.items():
        with part_of(model, part), torch.device("meta"):
            if part in layout.text_encoders:
                cls: Any = getattr(import_module("transformers"), layout.text_encoders[part])
                network = cls(cls.config_class.from_dict(dict(config)))
            else:
                name = layout.transformer if part == "transformer" else config["_class_name"]
                network = getattr(import_module("diffusers"), name).from_config(dict(config))
            networks[part] = network.to(torch.bfloat16)
    return networks


def footprint_of(model: str, networks: Mapping[str, nn.Module], spec: BackboneSpec) -> Footprint:
    """Count the parameters of a model's networks; those that two layers share count once."""
    counts = {part: sum(weight.numel() for weight in network.parameters()) for part, network in networks.items()}
    return Footprint(
        model,
        transformer=counts.pop("transformer"),
        others=sum(counts.values()),
        kv_token_bytes=2 * len(spec.kv_blocks) * spec.kv_token_bytes,
        pixel_multiple=spec.pixel_multiple,
    )
