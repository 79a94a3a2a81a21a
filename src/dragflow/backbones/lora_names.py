"""Which layer of which network a tensor of a LoRA belongs to: the prefixes, separators and layer names of all trainers.

A name is PREFIX LAYER . END. The layer is one of diffusers' or, by a family's table, one of the model's authors'; dots
in it may be underscores. The end says what the tensor is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

TRANSFORMER = "transformer"
PARTS = (TRANSFORMER, "text_encoder", "text_encoder_2", "text_encoder_3")
"""Networks of a pipeline that LoRAs are put on, as it calls them."""
_PREFIXES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("transformer.", "diffusion_model.", "model.diffusion_model.", "base_model.model."), (TRANSFORMER,)
    ),
    **dict.fromkeys(("lora_unet_", "lora_unet__", "lora_transformer_", "lycoris_"), (TRANSFORMER,)),
    **{f"{part}.": (part,) for part in PARTS[1:]},
    **dict.fromkeys(("lora_te_", "lora_te1_", "text_encoders.clip_l.transformer."), ("text_encoder",)),
    **dict.fromkeys(("lora_te2_", "text_encoders.clip_g.transformer."), ("text_encoder_2",)),
    **dict.fromkeys(("lora_te3_", "text_encoders.t5xxl.transformer."), ("text_encoder_3", "text_encoder_2")),
    "text_encoders.": (),
}
"""How names begin, and the networks that this may mean: the first that has the layer. Trainers number the T5 of FLUX.1,
its second encoder, as the third, which it is in SD3."""
_BY_LENGTH = sorted(_PREFIXES, key=len, reverse=True)

_ENDS = {
    "down": r"(lora_A|lora_down|lora\.down|lora_linear_layer\.down|down)(\.\w+)?\.weight",
    "up": r"(lora_B|lora_up|lora\.up|lora_linear_layer\.up|up)(\.\w+)?\.weight",
    "down_bias": r"(lora_A|lora_down)(\.\w+)?\.bias",
    "up_bias": r"(lora_B|lora_up)(\.\w+)?\.bias",
    "alpha": r"alpha",
    "magnitude": r"dora_scale|lora_magnitude_vector(\.\w+)?(\.weight)?",
    "diff": r"diff",
    "diff_b": r"diff_b",
    **{f"hada_{x}": rf"hada_{x}" for x in ("w1_a", "w1_b", "w2_a", "w2_b")},
    **{f"lokr_{x}": rf"lokr_{x}" for x in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b")},
}
"""What a tensor is, and how its name ends: as peft, kohya, LyCORIS, XLabs and older diffusers write it."""
_NAME = re.compile("(.+?)[.](?:" + "|".join(f"(?P<{role}>{end})" for role, end in _ENDS.items()) + ")")


@dataclass(frozen=True)
class Stacked:
    """Layers of diffusers whose outputs, one after the other, are that of one layer of a model's authors.

    "{}" in their names is the number of the block.
    """

    layers: tuple[str, ...]
    swapped: bool = False
    """Whether shift and scale are in the other order, where a modulation has no more: twice the width of its input."""

    @staticmethod
    def of(*layers: str, swapped: bool = False) -> Stacked:
        """These layers."""
        return Stacked(layers, swapped)


@dataclass(frozen=True)
class Layer:
    """A layer as a file names it: the modules of one network that share its output, in order."""

    part: str
    modules: tuple[str, ...]
    swapped: bool = False
    """See `Stacked`."""


@dataclass(frozen=True)
class Tensor:
    """The name of a tensor, taken apart."""

    layer: str
    """With its prefix."""
    role: str
    """A key of the ends."""


def split(name: str) -> Tensor | None:
    """Which layer a tensor is of, and what of it; None if that is none of the known ends."""
    found = _NAME.fullmatch(name)
    return Tensor(found[1], str(found.lastgroup)) if found else None


class LayerNames:
    """The layers of a pipeline's networks, by all names that files may give them."""

    def __init__(
        self, networks: Mapping[str, Iterable[str]], own: Mapping[str, Stacked], others: Iterable[str] = ()
    ) -> None:
        """Collect them.

        Args:
            networks: for each part of the pipeline, the names of its linear layers.
            own: names that the authors of the model give to layers of its transformer, with "{}" for the number of the
                block.
            others: further modules of the transformer, which are of this family, though nothing is added to them.
        """
        self._layers: dict[str, dict[str, Layer]] = {}
        for part, names in networks.items():
            linear = dict.fromkeys(names)
            found = {name: Layer(part, (name,)) for name in linear}
            if part == TRANSFORMER:
                found |= dict(_own_layers(linear, own))
            else:  # the same encoder has this prefix or not, by the version of transformers
                found |= {f"text_model.{name}": layer for name, layer in found.items()}
                found |= {name.removeprefix("text_model."): layer for name, layer in found.items()}
            self._layers[part] = found | {name.replace(".", "_"): layer for name, layer in found.items()}
        spelled = [*self._layers[TRANSFORMER], *others, *own, *(name for each in own.values() for name in each.layers)]
        self._kinds = {_kind(name) for name in spelled} | {_kind(name.replace(".", "_")) for name in spelled}

    def find(self, name: str) -> Layer | None:
        """The layer of this name, with any prefix; None if these networks have no such layer."""
        for prefix in ("", *_BY_LENGTH):
            if name.startswith(prefix):
                for part in _PREFIXES.get(prefix, (TRANSFORMER,)):
                    if layer := self._layers.get(part, {}).get(name.removeprefix(prefix)):
                        return layer
        return None

    def is_foreign(self, name: str) -> bool:
        """Whether this names a layer of a transformer of another family.

        A layer that only a larger model of the same family has is none, and none of a text encoder is.
        """
        prefix = next((prefix for prefix in _BY_LENGTH if name.startswith(prefix)), "")
        if prefix and TRANSFORMER not in _PREFIXES[prefix]:
            return False
        return _kind(name.removeprefix(prefix)) not in self._kinds


def _own_layers(linear: Mapping[str, object], own: Mapping[str, Stacked]) -> Iterator[tuple[str, Layer]]:
    numbers = [int(part) for name in linear for part in name.split(".") if part.isdecimal()]
    for pattern, stacked in own.items():
        for i in range(max(numbers, default=0) + 1 if "{}" in pattern else 1):
            modules = tuple(name.format(i) for name in stacked.layers)
            if all(name in linear for name in modules):
                yield pattern.format(i), Layer(TRANSFORMER, modules, stacked.swapped)


def _kind(name: str) -> str:
    """A layer's name without numbers."""
    return re.sub(r"\d+|\{\}", "#", name)
