"""Whether the files of a pipeline's parts are what its family needs, before anything is built of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dragflow.backbones.checkpoints.network import entries_of, fitting
from dragflow.backbones.configs import (
    Config,
    check_config,
    check_tokenizer_config,
    defaults_of,
    read_config,
    settings_of,
)
from dragflow.backbones.family import FAMILIES, Family
from dragflow.backbones.parts import Source, class_of, part_of
from dragflow.backbones.pipeline_layout import (
    SCHEDULER,
    Layout,
    library_class,
    naming_of,
    network_class,
    read_configs,
)
from dragflow.backbones.tensors import shown
from dragflow.core.errors import UserError


def check_parts(source: Source, layout: Layout) -> dict[str, Config]:
    """Check all configurations, before anything is built of them; gives those of the networks."""
    model, folder = source.options.name, source.folder
    in_file = "transformer" in source.checkpoints
    for part in layout.parts:
        if not (folder / part).is_dir() and not (part == "transformer" and in_file):
            raise UserError(f"model {model} has no {part}/: download or export the whole pipeline")
    if not in_file:
        name = class_of(folder / "transformer" / "config.json")
        if name != layout.transformer:
            raise UserError(f"model {model} has a {name} as its transformer: a {layout.transformer} is needed")
    settings: dict[str, Config] = {}
    configs = _configs(source, layout)
    for part, config in configs.items():
        cls = network_class(layout, part, config)
        check_config(f"model {model}: its {part}", config, defaults_of(cls))
        settings[part] = settings_of(cls, config)
    layout.check_configs(model, settings)
    for tokenizer in layout.tokenizers:
        check_tokenizer_config(f"model {model}: its {tokenizer}", folder / tokenizer)
    _check_scheduler(f"model {model}: its {SCHEDULER}", folder / SCHEDULER / "scheduler_config.json")
    return configs


def _configs(source: Source, layout: Layout) -> dict[str, Config]:
    """The configurations of a model's networks; a transformer in a file gets the one that it fits."""
    model, checkpoint = source.options.name, source.checkpoints.get("transformer")
    if checkpoint is None:
        return read_configs(layout, model, source.folder)
    where, own = f"model {model}", source.folder / "transformer" / "config.json"
    known = [read_config(f"{where}: its transformer", own)] if own.is_file() else []
    known = [config for config in known if config.get("_class_name") == layout.transformer]
    if layout.pipeline in FAMILIES.names:
        family: Family = FAMILIES.load(layout.pipeline)
        known += [layout.published(each.name)["transformer"] for each in family.published]
    cls = library_class(layout.transformer)
    with part_of(model, "transformer"):
        config = fitting(cls, where, known, entries_of(checkpoint), naming_of(layout))
    return {"transformer": config, **read_configs(layout, model, source.folder, layout.networks[1:])}


def _check_scheduler(where: str, path: Path) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler

    defaults = defaults_of(FlowMatchEulerDiscreteScheduler)
    config = read_config(where, path)
    name = str(config.get("_class_name"))
    if not name.startswith("FlowMatch"):
        raise UserError(f"{where} is a {shown(name)}: a FlowMatchEulerDiscreteScheduler is needed")
    check_config(where, config, defaults, {})
    first, last, shift = ({**defaults, **config}[key] for key in ("base_image_seq_len", "max_image_seq_len", "shift"))
    if first >= last:
        raise UserError(
            f"{where} has base_image_seq_len {first}: it must be less than max_image_seq_len, which is {last}"
        )
    if shift <= 0:
        raise UserError(f"{where} has shift {shift}: it must be greater than 0")


def check_tokenizer(where: str, tokenizer: Any, encoder: Any, limit: int | None = None) -> None:
    """Check that a tokenizer came from files, and gives nothing but tokens and lengths that its encoder has.

    Args:
        where: begins the sentence.
        tokenizer: as it was loaded.
        encoder: the network that it is for.
        limit: most tokens that it is ever asked for; None: as many as it says that it gives.

    Raises:
        UserError: it does not; without files the library makes an empty one, in silence.
    """
    folder = Path(tokenizer.name_or_path)
    files = sorted(set(tokenizer.vocab_files_names.values()))
    if not any((folder / name).is_file() for name in files):
        raise UserError(f"{where}/ has no vocabulary ({' or '.join(files)}): download or export the model again")
    text = encoder.config.get_text_config()
    known, length = text.vocab_size, tokenizer.model_max_length
    if len(tokenizer) > known:
        raise UserError(
            f"{where} has {len(tokenizer)} tokens, and its encoder {known}: use the tokenizer that belongs to it"
        )
    most = getattr(text, "max_position_embeddings", None)
    asked = length if limit is None or not isinstance(length, int) else min(length, limit)
    if not isinstance(asked, int) or asked < 1 or (most is not None and asked > most):
        raise UserError(
            f"{where} has model_max_length {shown(repr(length))}: it must be a whole number from 1"
            + (f" to {most}, which its encoder takes" if most else "")
        )
