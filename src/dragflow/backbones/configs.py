"""Configurations of a model's parts, checked before anything is built of them: types, ranges, and what files can fill.

A configuration comes from a stranger, and the libraries believe it: they loop over a billion layers, or reserve
terabytes. What each value may be follows from the default that the library's class gives it.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard, get_args, get_origin

import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from dragflow.backbones.tensors import Account, Entries, shown
from dragflow.core.errors import UserError

Config = Mapping[str, Any]
"""What a config.json holds."""

_MOST_BYTES = 1 << 24
_MOST_LAYERS = 1000
_MOST_ITEMS = 100
"""In a list."""
_PER_SIDE = ("image_size", "patch_size", "sample_size")
"""May have a value for each side of a picture; as a token's number, `…_id`, may be a list."""
_LEAST_BOUND = 1 << 16
"""Sizes up to this pass, however small the files are: some, like that of a sample, say nothing about the weights."""
_REEXPORT = "download or export the model again"


def read_config(where: str, path: Path) -> Config:
    """What a configuration's file holds.

    Raises:
        UserError: it is missing or damaged.
    """
    try:
        if not path.is_file():
            raise FileNotFoundError
        with path.open("rb") as file:
            config = json.loads(file.read(_MOST_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{where} cannot be loaded: {path} is missing or damaged; {_REEXPORT}") from error
    if not isinstance(config, dict):
        raise UserError(f"{where} cannot be loaded: {path} is damaged, it must hold a JSON object; {_REEXPORT}")
    return config


def defaults_of(cls: Any) -> Config:
    """The defaults of all settings of a class of diffusers or transformers, by name."""
    if (config_class := getattr(cls, "config_class", None)) is not None:
        return {f.name: _field(f) for f in dataclasses.fields(config_class) if f.default is not dataclasses.MISSING}
    parameters = inspect.signature(cls.__init__, eval_str=True).parameters.values()
    return {p.name: _default(p) for p in parameters if p.default is not inspect.Parameter.empty}


class _Optional(NamedTuple):
    """Stands for a default of None, where a value would be of this type."""

    kind: type


class _Each(NamedTuple):
    """Stands for a default of one value, where there may be a list with one for each stage of a network."""

    value: Any


class _Nullable(NamedTuple):
    """Stands for a default that may be None as well, as `"sliding_window": null` of a text encoder without one."""

    value: Any


def _field(field: dataclasses.Field[Any]) -> Any:
    if field.default is not None and type(None) in get_args(field.type):
        return _Nullable(field.default)
    return field.default


def _default(parameter: inspect.Parameter) -> Any:
    taken = get_args(parameter.annotation)
    kinds = [kind for kind in taken if kind in _KINDS]
    if parameter.default is None:
        return _Optional(kinds[0]) if len(kinds) == 1 else None
    lists = any(get_origin(kind) in (list, tuple) for kind in taken)
    return _Each(parameter.default) if lists and not _is_list(parameter.default) else parameter.default


def _value(default: Any) -> Any:
    """A default as the class has it."""
    if isinstance(default, _Each | _Nullable):
        return default.value
    return None if isinstance(default, _Optional) else default


def refuse_quantised(where: str, config: Config) -> None:
    """Refuse a part that comes quantised.

    Raises:
        UserError: it does; says how, and what to use instead.
    """
    found = config.get("quantization_config")
    if found is None:
        return
    facts = found if isinstance(found, dict) else {}
    bits = next((f" in {n} bits" for n in (4, 8) if facts.get(f"load_in_{n}bit")), "")
    raise quantised_error(where, f"with {shown(str(facts['quant_method']))}{bits}" if "quant_method" in facts else "")


def quantised_error(where: str, how: str) -> UserError:
    """The sentence for a part that is quantised in a way that is not read."""
    return UserError(
        f"{where} is quantised{how and ' '}{how}, which dragflow does not read: give the model with this part "
        "unquantised (bfloat16, float16 or float32); to save memory choose `quantize` int8, fp8, layerwise-fp8 or "
        "gguf:FILE"
    )


def check_config(where: str, config: Config, defaults: Config, entries: Entries | None = None) -> None:
    """Check every value of a configuration: its type is that of its default, and no count or size is absurd.

    Args:
        where: begins the sentence, as in "model M: its vae".
        config: what the file holds.
        defaults: by name, as `defaults_of` gives them.
        entries: of the part's files, which cannot fill more than they hold.

    Raises:
        UserError: names key, value and rule.
    """
    layers, size = _MOST_LAYERS, 1 << 31
    if entries is not None:
        layers = min(layers, len(entries))
        size = max(_LEAST_BOUND, sum(entry.values for entry in entries.values()))
    for path, value, default in _values(config, defaults):
        key = path.rpartition(".")[2]
        bound = layers if "layer" in key or "label" in key else size
        rule = _broken_rule(value, default, bound)
        if rule is not None:
            raise UserError(f"{where} has {path} {shown(repr(value), 40)} in its configuration: {rule}; {_REEXPORT}")


def check_tokenizer_config(where: str, folder: Path) -> None:
    """Check the one setting of a tokenizer that its library counts up to; the rest is checked once it is loaded.

    Raises:
        UserError: the file is damaged, or the count absurd.
    """
    path = folder / "tokenizer_config.json"
    extra = read_config(where, path).get("extra_ids", 0) if path.is_file() else 0
    if not _is_whole(extra) or not 0 <= extra <= _MOST_LAYERS:
        rule = f"it must be a whole number from 0 to {_MOST_LAYERS}"
        raise UserError(f"{where} has extra_ids {shown(repr(extra), 40)} in its configuration: {rule}; {_REEXPORT}")


def _values(config: Config, defaults: Config, above: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Every value with its path and its default; an item of a list has the first of the default's."""
    for key, value in config.items():
        path, default = shown(f"{above}{key}"), defaults.get(key)
        item = default.value if isinstance(default, _Each | _Nullable) else default
        if isinstance(default, _Each):
            default = None if isinstance(value, list) else default.value
        elif key.endswith("_id") or (key in _PER_SIDE and isinstance(value, list)):
            default = item = None
        yield path, value, default
        if isinstance(value, dict):
            yield from _values(value, defaults, f"{path}.")
        elif isinstance(value, list):
            first = item[0] if _is_list(item) and item else item
            first = 0 if _is_whole(first) else first  # a stage of a network may be empty
            yield from ((f"{path}[{i}]", item, first) for i, item in enumerate(value[:_MOST_ITEMS]))


def _broken_rule(value: Any, default: Any, bound: int) -> str | None:
    """The rule that a value breaks."""
    if isinstance(default, _Optional):
        return None if value is None else _broken_rule(value, default.kind(), bound)
    if isinstance(default, _Nullable):
        return None if value is None else _broken_rule(value, default.value, bound)
    if isinstance(value, float) and not math.isfinite(value):
        return "it must be a finite number"
    if _is_list(default) and default and not (_is_list(value) and 0 < len(value) <= _MOST_ITEMS):
        return f"it must be a list of 1 to {_MOST_ITEMS} items"
    optional = not isinstance(default, int | float) or isinstance(default, bool) or default == 0
    if type(default) in _KINDS and not (value is None and optional) and not _has_type(value, type(default)):
        return f"it must be {_KINDS[type(default)]}"
    least = min(default, 1) if _is_whole(default) and default >= 0 else -bound
    if _is_whole(value) and not least <= value <= bound:
        return f"it must be from {least} to {bound}"
    return None


_KINDS: dict[type, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
"""What the type of a default says of a value."""


def _has_type(value: Any, kind: type) -> bool:
    try:
        TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


def _is_list(value: Any) -> TypeGuard[Sequence[Any]]:
    return type(value) in (list, tuple)


def _is_whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def check_kind(where: str, cls: Any, config: Config) -> None:
    """Refuse a network of transformers that is of another kind than the class reads.

    Raises:
        UserError: names both.
    """
    needed, found = getattr(getattr(cls, "config_class", None), "model_type", None), config.get("model_type")
    if needed and isinstance(found, str) and found != needed and own_config(cls, config) is config:
        raise UserError(f"{where} is a {shown(found)}: a {cls.__name__} is needed")


def settings_of(cls: Any, config: Config) -> Config:
    """All settings of a class: those of a checked configuration, and the defaults of those that it does not name."""
    return {**{key: _value(default) for key, default in defaults_of(cls).items()}, **own_config(cls, config)}


def own_config(cls: Any, config: Config) -> Config:
    """What a class reads of a configuration, which may be that of two towers of which the class is one."""
    config_class = getattr(cls, "config_class", None)
    named = config.get(getattr(config_class, "base_config_key", ""))
    if isinstance(named, dict):
        return named
    kind = getattr(config_class, "model_type", None)
    if config.get("model_type", kind) == kind:
        return config
    towers = (value for value in config.values() if isinstance(value, dict) and value.get("model_type") == kind)
    return next(towers, config)


def empty_network(cls: Any, config: Config) -> nn.Module:
    """A network of a checked configuration, without values and without memory."""
    with torch.device("meta"):
        if (config_class := getattr(cls, "config_class", None)) is None:
            return cls.from_config(dict(config))
        return cls(config_class.from_dict(dict(own_config(cls, config))))


def check_sizes(where: str, config: Config, network: nn.Module, entries: Entries) -> None:
    """Check that the files can fill a network of this configuration, so that no library reserves memory for more.

    Raises:
        UserError: tensors have other shapes, or are far too small together; names the settings that differ.
    """
    needed = {name: tuple(x.shape) for name, x in network.state_dict().items()}
    held = {**entries} | {name.partition(".")[2]: entry for name, entry in entries.items() if name not in needed}
    wrong = [
        (name, held[name].shape, shape) for name, shape in needed.items() if name in held and held[name].shape != shape
    ]
    if wrong:
        _, found, shape = wrong[0]
        sizes = set(shape) - set(found)
        named = [f"{key} {value}" for key, value in config.items() if _is_whole(value) and value in sizes]
        hint = f", as {named[0]} would have it" if len(named) == 1 else ""
        raise UserError(f"{where} does not fit its configuration: {Account(misshapen=tuple(wrong))}{hint}; {_REEXPORT}")
    total = sum(x.numel() for x in network.parameters())
    there = sum(entry.values for entry in entries.values())
    if total > 2 * there:
        raise UserError(
            f"{where} does not fit its configuration: that describes {total} values, and the files hold {there}; "
            f"{_REEXPORT}"
        )
