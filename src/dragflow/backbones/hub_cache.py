"""What earlier downloads left in the hub's cache: which models, how large, whether complete; and removing one."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from dragflow.backbones.hub import INDEX, cached, parts_of
from dragflow.backbones.hub_files import absent
from dragflow.backbones.hub_room import place_of
from dragflow.core.errors import UserError


@dataclass(frozen=True)
class Kept:
    """A model in the hub's cache."""

    folder: Path | None
    """The snapshot; None if the model's index is not there."""
    size: int
    """Bytes of all its files, of every revision."""
    lacking: str | None
    """A file of its parts that is not there; None if it is complete."""


def kept(model: str) -> Kept | None:
    """What earlier downloads left of a model in the cache; None if nothing."""
    place = place_of(model)
    size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file() and not path.is_symlink())
    if not size:
        return None
    folder = cached(model, None)
    return Kept(folder, size, INDEX if folder is None else lacking(folder))


def lacking(folder: Path) -> str | None:
    """A file that a model in diffusers layout on this disk lacks; None if it is complete."""
    try:
        return absent(folder, parts_of(folder / INDEX))
    except UserError:
        return INDEX


def in_cache() -> list[str]:
    """Ids of the models in the cache, whatever they are."""
    from huggingface_hub import constants
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    found: list[str] = []
    for place in sorted(Path(constants.HF_HUB_CACHE).glob("models--*--*")):
        name = place.name.removeprefix("models--").replace("--", "/", 1)
        with suppress(HFValidationError):
            validate_repo_id(name)
            found.append(name)
    return found


def remove(model: str) -> None:
    """Delete what the hub's cache holds of a model, of every revision.

    Raises:
        UserError: its folder there is a link, so that the files are not the cache's; or it cannot be deleted.
    """
    from huggingface_hub import scan_cache_dir

    place = place_of(model)
    if place.is_symlink():
        raise UserError(f"{place} is a link to {place.resolve()}, whose files are not the cache's: delete it yourself")
    found = scan_cache_dir(place.parent)
    repos = [repo for repo in found.repos if (repo.repo_type, repo.repo_id) == ("model", model)]
    found = replace(found, repos=frozenset(repos))  # a copy of it on the hub may have the same commits
    try:
        found.delete_revisions(*(one.commit_hash for repo in repos for one in repo.revisions)).execute()
        if place.exists():  # a download that was never finished
            shutil.rmtree(place)
    except OSError as error:
        raise UserError(f"{place} cannot be deleted: {error.strerror}") from error
    if place.exists():
        raise UserError(f"{place} cannot be deleted: close the programs that use it, and try again")
