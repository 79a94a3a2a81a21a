"""The models that are known, with their licences, and what of them is on this disk; no network is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dragflow.backbones.checkpoints.recognise import Recognised
from dragflow.backbones.dummy import dummy_place
from dragflow.backbones.family import FAMILIES, Family, published, terms
from dragflow.backbones.hub import files_of
from dragflow.backbones.hub_cache import in_cache, kept, lacking
from dragflow.backbones.model_file import class_in, known, published_for, rest_of, told
from dragflow.backbones.model_root import ModelRoot, read_roots
from dragflow.backbones.usual import NANO_FOLDER, usual_preset
from dragflow.core.models import DUMMY, NANO, ModelOptions
from dragflow.files.models import settled_model, user_models

_OURS = "Apache-2.0"


@dataclass(frozen=True)
class Known:
    """A model that dragflow loads by its name."""

    name: str
    pipeline: str
    """Class of its pipeline."""
    licence: str | None
    """As its owner spells it; None where only its page says."""
    commercial: bool | None
    """Whether pictures may be made with it for money; None where only its page says."""
    gated: bool | None
    """Whether the hub asks for an account that accepted the licence; None where only the hub knows."""
    preset: str
    """The one that is used where none is named."""
    size: int | None
    """Bytes of it on this disk; None if it is not there."""
    lacking: str | None = None
    """A file of it that is missing there; None if it is complete, or not there at all."""

    @property
    def terms(self) -> str:
        """What its licence asks for, in words."""
        return terms(self.licence or "licence: see its page", commercial=self.commercial, gated=self.gated)


def known_models() -> tuple[Known, ...]:
    """Built-in models, weights of every family on the hub, and others in the hub's cache that dragflow can load."""
    built_in = (_built_in(NANO, NANO_FOLDER), _built_in(DUMMY, dummy_place()))
    names = published()
    others = [name for name in in_cache() if name not in names]
    return (*built_in, *map(_published, names), *(one for name in others if (one := _cached(name)) is not None))


def _built_in(name: str, folder: Path) -> Known:
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    preset = usual_preset(ModelOptions(name))
    return Known(name, "FluxPipeline", _OURS, commercial=True, gated=False, preset=preset, size=size or None)


def _published(name: str) -> Known:
    pipeline, found = published()[name], kept(name)
    family: Family = FAMILIES.load(pipeline)
    (about,) = (each for each in family.published if each.name == name)
    return Known(
        name,
        pipeline,
        about.licence,
        about.commercial,
        about.gated,
        usual_preset(ModelOptions(name)),
        None if found is None else found.size,
        None if found is None else found.lacking,
    )


def _cached(name: str) -> Known | None:
    """A model of the cache that is none of ours; None if it is of no family, as an encoder."""
    found = kept(name)
    pipeline = None if found is None or found.folder is None else class_in(found.folder)
    if found is None or pipeline not in FAMILIES.names:
        return None
    preset = usual_preset(ModelOptions(name))
    return Known(name, pipeline, None, None, None, preset, found.size, found.lacking)


def known_as(options: ModelOptions) -> Known | None:
    """What is known of one model; None of a file, and of what is nowhere."""
    name = settled_model(options).name
    if name in (NANO, DUMMY):
        return _built_in(name, NANO_FOLDER if name == NANO else dummy_place())
    if name in published():
        return _published(name)
    return _folder(Path(name)) if Path(name).is_dir() else None if Path(name).exists() else _cached(name)


def is_here(options: ModelOptions) -> bool:
    """Whether a model can be loaded without a download, as far as its files tell."""
    options = settled_model(options)
    if (main := told(options)) is not None:
        return rest_of(options, main) is not None
    known = known_as(options)
    return known is not None and known.lacking is None and (known.size is not None or known.name == DUMMY)


def on_this_machine() -> tuple[str, ...]:
    """Models that a person can choose without a download: short names, nano, and what the hub's cache holds whole."""
    cached = [name for name in in_cache() if is_here(ModelOptions(name))]
    return tuple(dict.fromkeys([*user_models().models, NANO, *cached]))


@dataclass(frozen=True)
class Usable:
    """A model that is a file in a model root."""

    found: Recognised
    preset: str
    """The one that is used where none is named."""
    parts: Mapping[str, tuple[Path, ...]]
    """Of each part that the file lacks: the files in model roots that have it; one, or loading asks which."""
    rest: str
    """What has tokenizers, scheduler and configurations: a folder, or a hub id that is not on this disk."""


def models_in(roots: Sequence[str]) -> tuple[tuple[Known, ...], tuple[Usable, ...]]:
    """The models in model roots that dragflow can load: folders in diffusers layout, and files.

    Raises:
        UserError: see `read_roots`.
    """
    held = read_roots(roots)
    folders = tuple(one for folder in held.pipelines if (one := _folder(folder)) is not None)
    models = [each.found for each in held.files if each.found is not None and known(each.found)]
    return folders, tuple(_usable(found, held, tuple(roots)) for found in models)


def _usable(found: Recognised, held: ModelRoot, roots: tuple[str, ...]) -> Usable:
    options = ModelOptions(str(found.path), model_root=roots)
    parts = {part: tuple(path for path, _ in held.having(network)) for part, network in found.missing}
    rest = rest_of(options, found)
    named = f"{published_for(found)[0].name}, not on this disk" if rest is None else str(rest)
    return Usable(found, usual_preset(options), parts, named)


def _folder(folder: Path) -> Known | None:
    """A folder in diffusers layout; None if it is of no family."""
    pipeline = class_in(folder)
    if pipeline not in FAMILIES.names:
        return None
    size = sum(path.stat().st_size for path in files_of(folder))
    preset = usual_preset(ModelOptions(str(folder)))
    return Known(str(folder), pipeline, None, None, None, preset, size, lacking(folder))
