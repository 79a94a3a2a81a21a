"""Every family's table of its authors' names, against diffusers' own conversion of whole checkpoints in them."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from family_cases import CASES, VARIANTS, FamilyCase
from torch import Tensor, nn

from dragflow.backbones.family import FAMILIES
from dragflow.backbones.lora_names import LayerNames

TABLES = [case for case in (*CASES, *VARIANTS) if FAMILIES.load(case.layout.pipeline).layers]
XLABS = ".processor."
"""In names that only LoRAs have."""


class Whatever(dict[str, Tensor]):
    """A checkpoint that has every tensor which is asked for: what has no layer in the table is one zero."""

    def pop(self, key: str, *_: Any) -> Tensor:
        return super().pop(key, torch.zeros(4))


SMALL: dict[str, Any] = {
    "num_layers": 3,
    "num_single_layers": 3,
    "guidance_embeds": True,
    "dual_attention_layers": (0, 1),
}
"""Settings of a network of published widths, where its class has them."""


@pytest.mark.parametrize("case", TABLES, ids=lambda case: case.name)
def test_the_table_says_what_diffusers_does_with_a_checkpoint(case: FamilyCase) -> None:
    """At the published widths, which some conversions rely on; each weight is one column of numbered rows."""
    import diffusers
    from diffusers.loaders.single_file_model import SINGLE_FILE_LOADABLE_CLASSES

    cls: Any = getattr(diffusers, case.layout.transformer)
    known = inspect.signature(cls.__init__).parameters
    with torch.device("meta"):
        network = cls(**{key: value for key, value in SMALL.items() if key in known})
    linear = {name: x for name, x in network.named_modules() if isinstance(x, nn.Linear)}
    sizes = {name: x.out_features for name, x in linear.items()}
    table = FAMILIES.load(case.layout.pipeline).layers
    names = LayerNames({"transformer": sizes}, table)
    checkpoint, needed, seen, first = Whatever(), dict[str, Tensor](), set[str](), 0
    for pattern in table:
        for i in range(SMALL["num_layers"] if "{}" in pattern else 1):
            name = pattern.format(i)
            layer = names.find(name)
            if XLABS in name or layer is None:
                continue
            seen.add(pattern)
            rows = torch.arange(first, first + sum(sizes[module] for module in layer.modules)).double()
            first += len(rows)
            checkpoint |= {f"{name}.weight": rows[:, None].clone(), f"{name}.bias": rows.clone()}
            swapped = layer.swapped and len(rows) == 2 * linear[layer.modules[0]].in_features
            own = torch.cat(rows.chunk(2)[::-1]) if swapped else rows
            needed |= dict(zip(layer.modules, own.split([sizes[module] for module in layer.modules]), strict=True))
    assert seen == {pattern for pattern in table if XLABS not in pattern}
    converted = SINGLE_FILE_LOADABLE_CLASSES[case.layout.transformer]["checkpoint_mapping_fn"](checkpoint=checkpoint)
    for module, rows in needed.items():
        assert torch.equal(converted[f"{module}.weight"][:, 0], rows), module
