"""The models that are known, with their licences, and what of them is on this disk; no network is asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dragflow.backbones.dummy import dummy_place
from dragflow.backbones.family import FAMILIES, Family, published, terms
from dragflow.backbones.hub import in_cache, kept
from dragflow.backbones.model_file import class_in
from dragflow.backbones.usual import NANO_FOLDER, usual_preset
from dragflow.core.models import DUMMY, NANO, ModelOptions

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
    return (*built_in, *map(_published, names), *(known for name in others if (known := _cached(name)) is not None))


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
