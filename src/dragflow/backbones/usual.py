"""What serves a model best, told by its files without loading it: its bridge, its preset, the form of its prompts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dragflow.backbones.family import FAMILIES, Family, best_preset, published, published_as
from dragflow.backbones.hub import INDEX, cached, folder_of
from dragflow.backbones.model_file import class_in, pipeline_of, rest_of, told
from dragflow.core.config import EditConfig
from dragflow.core.errors import UserError
from dragflow.core.models import BUILT_IN, NANO, ModelOptions
from dragflow.core.task import PromptForm
from dragflow.files.models import settled_model

BRIDGE = "bridge.safetensors"
"""Name of the bridge that comes with a model, in the model's folder."""
NANO_FOLDER = Path(__file__).parent / "nano"


def usual_preset(options: ModelOptions) -> str:
    """The preset that is used where none is named; the loaded model's `BackboneSpec.preset`.

    Of a model that is not there it is `default`: what is wrong with the name, loading says.
    """
    options = settled_model(options)
    folder = _found(options)
    family = _family_of(options, folder) or Family("")
    bridged = bridge_file(options, folder) is not None
    return best_preset(family.preset, distilled=_is_distilled(options, folder, family), bridged=bridged)


def preset_of_few_steps(options: ModelOptions) -> str | None:
    """`usual_preset` of a model that was distilled to few steps; None of any other."""
    options = settled_model(options)
    folder = _found(options)
    family = _family_of(options, folder)
    distilled = family is not None and _is_distilled(options, folder, family)
    return usual_preset(options) if distilled else None


def usual_prompts(options: ModelOptions, config: EditConfig) -> PromptForm:
    """What a model is told under a configuration; of a model that is not there it is `captions`."""
    options = settled_model(options)
    family = _family_of(options, _found(options))
    return prompt_form(config, "captions" if family is None else family.prompts)


def prompt_form(config: EditConfig, prompts: PromptForm) -> PromptForm:
    """What is told to a model that takes `prompts`: one that looks at nothing draws from captions, as others do."""
    return prompts if config.references else "captions"


def _family_of(options: ModelOptions, folder: Path | None) -> Family | None:
    main = told(options)
    if main is not None:
        pipeline = pipeline_of(options, main)
    else:
        pipeline = published().get(options.name) if folder is None else class_in(folder)
    return FAMILIES.load(pipeline) if pipeline is not None and pipeline in FAMILIES.names else None


def _is_distilled(options: ModelOptions, folder: Path | None, family: Family) -> bool:
    """The loaded model's `BackboneSpec.distilled`."""
    if folder is None:
        known = published_as(options.name)
        return known is not None and known.distilled
    parts = (folder / "transformer" / "config.json", folder / "scheduler" / "scheduler_config.json")
    transformer, scheduler = (_entries(path) for path in parts)
    if (main := told(options)) is not None:
        transformer |= main.config
    return family.distilled(index=_entries(folder / INDEX), transformer=transformer, scheduler=scheduler)


def _found(options: ModelOptions) -> Path | None:
    if options.name in BUILT_IN:
        return NANO_FOLDER if options.name == NANO else None
    if (main := told(options)) is not None:
        return rest_of(options, main)
    try:
        return folder_of(options.name) or cached(options.name, options.revision)
    except UserError:
        return None


def _entries(path: Path) -> dict[str, Any]:
    """What a configuration says; nothing where it is missing or damaged, which loading says in a sentence."""
    try:
        entries: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return entries if isinstance(entries, dict) else {}


def bridge_file(options: ModelOptions, folder: Path | None) -> Path | None:
    """The file of the bridge that is asked for, else of the one in the model's folder; None if there is none."""
    if options.bridge is not None:
        return Path(options.bridge)
    replaced = options.gguf is not None or Path(options.name).is_file()  # it needs the folder's weights
    own = None if folder is None or replaced else folder / BRIDGE
    return own if own is not None and own.is_file() else None
