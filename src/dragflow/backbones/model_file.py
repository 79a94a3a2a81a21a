"""What is known of a model that is a file before it is loaded; without torch."""

from __future__ import annotations

import json
from pathlib import Path

from dragflow.backbones.checkpoints.recognise import Recognised, recognise
from dragflow.backbones.family import FAMILIES, Published
from dragflow.backbones.hub import INDEX, cached
from dragflow.backbones.model_root import pipelines_in
from dragflow.core.errors import UserError, unused
from dragflow.core.models import ModelOptions


def is_file(options: ModelOptions) -> bool:
    """Whether the model is a file; then `assemble` makes it, else `parts` and `model_root` have no meaning.

    Raises:
        UserError: it is not, and one of them is given.
    """
    if Path(options.name).is_file():
        return True
    given = [name for name in ("parts", "model_root") if getattr(options, name)]
    if given:
        raise unused(given, f"model {options.name} is not a file, and has all its parts")
    return False


def told(options: ModelOptions) -> Recognised | None:
    """What the model's file is; None if the model is none, or what is wrong with it loading says in a sentence."""
    try:
        return recognise(Path(options.name)) if Path(options.name).is_file() else None
    except UserError:
        return None


def pipeline_of(options: ModelOptions, found: Recognised) -> str | None:
    """The class of the pipeline that a file makes; None if it makes none."""
    folder = rest_of(options, found)
    named = None if folder is None else class_in(folder)
    return named if named in found.pipelines else next(iter(known(found)), None)


def rest_of(options: ModelOptions, found: Recognised) -> Path | None:
    """The folder on this disk that has the parts which are in no file; None if it is not there yet."""
    names = [name for name in options.parts if not Path(name).is_file()]
    if not names:
        names = list(map(str, rest_in_roots(options, found)))
    if not names:
        names = [each.name for each in published_for(found)]
    folders = (Path(name) if Path(name).is_dir() else cached(name, options.revision) for name in names)
    return next((folder for folder in folders if folder is not None), None)


def rest_in_roots(options: ModelOptions, found: Recognised) -> list[Path]:
    """The folders in diffusers layout in model roots that are of a pipeline which a file makes.

    Raises:
        UserError: see `read_roots`.
    """
    return [folder for folder in pipelines_in(options.roots) if class_in(folder) in found.pipelines]


def published_for(found: Recognised) -> tuple[Published, ...]:
    """The published weights that give what a file lacks, the usual ones first; none if its pipeline is not known.

    Those of another size would not fit, and those of another kind have other times, as FLUX.1-dev for schnell.
    """
    every = [each for name in known(found)[:1] for each in FAMILIES.load(name).published]
    return tuple(each for each in every if each.name in found.published) or tuple(every)


def known(found: Recognised) -> list[str]:
    """Those classes of pipelines of a file that there is a family for."""
    return [name for name in found.pipelines if name in FAMILIES.names]


def class_in(folder: Path) -> str | None:
    """The pipeline's class; None where the index does not tell, which loading says in a sentence."""
    try:
        name = json.loads((folder / INDEX).read_text(encoding="utf-8"))["_class_name"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return name if isinstance(name, str) else None
