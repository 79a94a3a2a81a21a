"""A network from a file of its own: its tensors found by name and shape, dequantised and renamed one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from dragflow.backbones.checkpoints.header import GGUF, read_header
from dragflow.backbones.checkpoints.names import Naming, Rows, UnfitError, plan
from dragflow.backbones.checkpoints.recognise import Part, split
from dragflow.backbones.checkpoints.scaled import Read, Stored, stored, weight
from dragflow.backbones.configs import Config, check_config, defaults_of, empty_network
from dragflow.backbones.tensors import Account, Entries, Entry, Shape


@dataclass(frozen=True)
class Checkpoint:
    """A part of a pipeline that is in a file."""

    file: Path
    part: Part


@dataclass(frozen=True)
class Contents:
    """What a file holds of a network, while it is open."""

    weights: Mapping[str, Stored]
    read: Read

    @property
    def shapes(self) -> dict[str, Shape]:
        """Of the weights, as they are computed with."""
        return {name: each.shape for name, each in self.weights.items()}

    @property
    def entries(self) -> dict[str, Entry]:
        """The weights as if they were stored plainly."""
        return {name: Entry(each.shape, "F32") for name, each in self.weights.items()}

    def all(self) -> dict[str, Tensor]:
        """All weights, as they are stored, or in float32 where scales belong to them."""
        return {name: weight(each, self.read, None) for name, each in self.weights.items()}


@contextmanager
def opened(checkpoint: Checkpoint) -> Iterator[Contents]:
    """A safetensors file of a network.

    Raises:
        UserError: it is damaged.
        ValueError: its weights are stored in a way that is not read; names the tensor.
    """
    if checkpoint.file.suffix.lower() in GGUF:
        raise ValueError("of GGUF files transformers alone are read")
    header, prefix = read_header(checkpoint.file), checkpoint.part.prefix
    entries = split(checkpoint.file, header.entries)[prefix]
    with safe_open(checkpoint.file, "pt") as file:

        def read(name: str) -> Tensor:
            return file.get_tensor(prefix + name)

        yield Contents(stored(entries, read, header.metadata), read)


def entries_of(checkpoint: Checkpoint) -> dict[str, Entry]:
    """The tensors of a network in a file of any kind; their weights are not read.

    Raises:
        UserError, ValueError: as `opened`.
    """
    if checkpoint.file.suffix.lower() in GGUF:
        entries = read_header(checkpoint.file).entries
        return split(checkpoint.file, entries)[checkpoint.part.prefix]
    with opened(checkpoint) as contents:
        return contents.entries


def fitting(cls: Any, where: str, configs: Iterable[Config], entries: Entries, naming: Naming) -> Config:
    """The first configuration whose network has the tensors of a file.

    Args:
        cls: of the network.
        where: begins the sentence, where a configuration is absurd.
        configs: at least one.
        entries: of the file.
        naming: of the network's authors.

    Raises:
        UserError: a configuration is absurd.
        ValueError: none fits; says what is wrong with the one that fits best.
    """
    accounts: list[Account] = []
    shapes = {name: entry.shape for name, entry in entries.items()}
    for config in configs:
        check_config(where, config, defaults_of(cls), entries)
        try:
            plan(shapes, shapes_of(empty_network(cls, config)), naming)
        except UnfitError as error:
            accounts.append(error.account)
        else:
            return config
    if not accounts:
        raise ValueError("no configuration is known")
    raise UnfitError(min(accounts, key=lambda account: account.faults))


def shapes_of(network: nn.Module) -> dict[str, Shape]:
    """Of all tensors of a network."""
    return {name: tuple(x.shape) for name, x in network.state_dict().items()}


def read_diffusers(cls: Any, config: Config, contents: Contents, naming: Naming, dtype: torch.dtype) -> nn.Module:
    """A network of diffusers, on the CPU.

    Raises:
        ValueError: the file does not fit the configuration.
    """
    from accelerate import init_empty_weights

    with init_empty_weights():
        network: nn.Module = cls.from_config(dict(config))
    rows = plan(contents.shapes, shapes_of(network), naming)
    network.load_state_dict(taken(contents, rows, dtype), assign=True, strict=False)  # `plan` is stricter
    return network.eval()


def taken(contents: Contents, rows: Mapping[str, Rows], dtype: torch.dtype) -> dict[str, Tensor]:
    """The tensors of a network; each one of the file is read once."""
    targets: dict[str, list[str]] = {}
    for target, each in rows.items():
        targets.setdefault(each.source, []).append(target)
    found: dict[str, Tensor] = {}
    for source, names in targets.items():
        whole = weight(contents.weights[source], contents.read, dtype)
        found |= {name: rows[name].of(whole) for name in names}
    return found
