"""Models by name: a folder, or a model of the hub, of which the files of its parts are downloaded and no others."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragflow.backbones.family import published_as, terms
from dragflow.backbones.hub_causes import cause, is_final
from dragflow.backbones.hub_files import absent, wanted
from dragflow.backbones.hub_room import check_room
from dragflow.core.errors import UserError
from dragflow.core.models import DOWNLOADS
from dragflow.core.text import file_size, one_line

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

INDEX = "model_index.json"
"""What a pipeline in diffusers layout has at its top: the names of its parts."""
WHOLE = ("",)
"""The parts of a model in transformers layout, which has all files at its top."""
_LONGEST = 80
"""Characters of a licence's name that are shown."""
_PATIENCE = 20.0
"""Seconds to wait for the list of a model's files."""

_log, _downloads = logging.getLogger(__name__), logging.getLogger(DOWNLOADS)


def find(
    model: str,
    revision: str | None = None,
    *,
    what: str = "model",
    parts: Sequence[str] | None = None,
    without_weights: Sequence[str] = (),
) -> Path:
    """The folder of a model, downloaded where it must be.

    Args:
        model: a folder, or the id of a model of the hub.
        revision: commit, tag or branch on the hub; the newest when None.
        what: what errors call it.
        parts: the folders that are needed of it, or `WHOLE`; those that its index names when None.
        without_weights: parts of which only the configuration is needed.

    Raises:
        UserError: it is neither, the hub does not give it (the text says why), or a file is missing.
    """
    folder = folder_of(model, what)
    if folder is not None:
        return folder
    try:
        return _downloaded(model, revision, what, parts, without_weights)
    except UserError:
        raise
    except Exception as error:  # the HTTP library below the hub's has errors that share no other base
        why = cause(error, what, model, revision)
        folder = None if is_final(error) else cached(model, revision)
    if folder is None:
        raise UserError(why)  # not chained: what the library raises may hold addresses with passwords
    if (file := absent(folder, parts or parts_of(folder / INDEX), without_weights)) is not None:
        raise UserError(f"{what} {model} is only partly in the cache, {file} is missing; {why}")
    _log.info("%s %s is taken from the cache", what, model)
    return folder


def folder_of(model: str, what: str = "model") -> Path | None:
    """The folder that a name means; None if it is the id of a model of the hub.

    Raises:
        UserError: it is neither.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    path = Path(model)
    try:
        if path.is_dir() and model.strip():
            return path
        if path.is_file():
            raise UserError(f"{what} {model} is a file: name the folder of the whole model, or its hub id")
        if model.count("/") == 1 and not model.startswith(("~", ".", "/")):
            return validate_repo_id(model)
    except (OSError, ValueError, HFValidationError):
        pass
    shown = model if len(model) <= 80 else f"{model[:80]}..."
    short = "; `dragflow model list` has the short names" if what == "model" else ""
    raise UserError(
        f"{what} {shown!r} is neither a folder nor a hub id: give a folder that exists, in the layout of diffusers or "
        f"transformers, or owner/name with letters, digits, '-', '_' and '.'{short}"
    )


def files_of(folder: Path, without_weights: Sequence[str] = ()) -> list[Path]:
    """The files of a model that is in a folder of this machine, the same that would be downloaded."""
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    top = [INDEX] if INDEX in names else []
    parts = parts_of(folder / INDEX) if top else WHOLE
    return [folder / name for name in (*top, *wanted(names, parts, without_weights))]


def cached(model: str, revision: str | None) -> Path | None:
    """The snapshot of a hub model that an earlier download left in the cache; it may lack files."""
    from huggingface_hub import try_to_load_from_cache

    for name in (INDEX, "config.json"):
        found = try_to_load_from_cache(model, name, revision=revision)
        if isinstance(found, str):
            return Path(found).parent
    return None


def _downloaded(
    model: str, revision: str | None, what: str, parts: Sequence[str] | None, without_weights: Sequence[str]
) -> Path:
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download

    with _quiet():
        info = HfApi().model_info(model, revision=revision, timeout=_PATIENCE, files_metadata=True)
        sizes = {file.rfilename: file.size for file in info.siblings or ()}
        top = [INDEX] if parts is None else []
        if parts is None and INDEX not in sizes:
            raise UserError(f"{what} {model} is not a pipeline in diffusers layout, it has no {INDEX}: name one")
        _announce(model, what, info, sizes, parts, without_weights)
        if parts is None:
            with _bars(shown=False):
                parts = parts_of(Path(hf_hub_download(model, INDEX, revision=revision)))
        files = wanted(sizes, parts, without_weights)
        for part in (part for part in parts if part not in without_weights):
            if not _has_weights(files, f"{part}/" if part else ""):
                raise UserError(
                    f"{what} {model} has no weights of its {part or 'network'} as safetensors, and pickles are not "
                    "read: convert it, or name another `revision`"
                )
        missing = [name for name in files if _here(model, name, info.sha) is None]
        check_room(f"{what} {model}", model, sum(sizes[name] or 0 for name in missing))
        patterns = [escape(file) for file in (*top, *files)]
        with _bars(shown=bool(missing)):
            folder = Path(snapshot_download(model, revision=revision, allow_patterns=patterns))
    if (file := absent(folder, parts, without_weights)) is not None:
        raise UserError(f"{what} {model} has no {file} on the hub: it is not complete; name another")
    return folder


def _here(model: str, name: str, commit: str | None) -> Path | None:
    """A file of a commit that is in the cache."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(model, name, revision=commit)
    return Path(found) if isinstance(found, str) else None


def _announce(
    model: str,
    what: str,
    info: ModelInfo,
    sizes: Mapping[str, int | None],
    parts: Sequence[str] | None,
    without_weights: Sequence[str],
) -> None:
    """Say under which licence what is about to be downloaded, before the first of its files is asked for."""
    if parts is None:  # before the index is there, every folder may be a part
        index = _here(model, INDEX, info.sha)
        folders = sorted({name.partition("/")[0] for name in sizes if "/" in name})
        parts = folders if index is None else parts_of(index)
    files = [name for name in wanted(sizes, parts, without_weights) if _here(model, name, info.sha) is None]
    known = [size for name in files if (size := sizes[name]) is not None]
    if files:
        size = f"at most {file_size(sum(known))}" if len(known) == len(files) else "of unknown size"
        _downloads.info("downloading %s %s, %s: %s", what, model, size, _terms(model, info))


def _terms(model: str, info: ModelInfo) -> str:
    """The licence of a model in words: as it is known here, else as its page on the hub names it."""
    if (known := published_as(model)) is not None:
        return f"licence {known.terms}"
    card: Any = info.card_data or {}
    named = card.get("license_name") or card.get("license")
    licence = f"licence {one_line(str(named))[:_LONGEST]}" if named else "its page names no licence"
    return terms(licence, commercial=None, gated=bool(info.gated))


def _has_weights(files: Sequence[str], place: str) -> bool:
    """Whether a part has weights, if it is a network."""
    names = [file.removeprefix(place) for file in files if file.startswith(place)]
    return "config.json" not in names or any("/" not in name and name.endswith(".safetensors") for name in names)


def parts_of(index: Path) -> tuple[str, ...]:
    """The parts of a pipeline that are not empty."""
    try:
        entries = json.loads(index.read_text(encoding="utf-8"))
        return tuple(part for part, entry in entries.items() if isinstance(entry, list) and all(entry[:2]))
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{index} is missing or damaged: download or export the model again") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the hub's own warnings off the terminal; its progress bars stay."""
    from huggingface_hub.utils import logging as hub_logging

    level = hub_logging.get_verbosity()
    hub_logging.set_verbosity_error()
    try:
        yield
    finally:
        hub_logging.set_verbosity(level)


@contextmanager
def _bars(*, shown: bool) -> Iterator[None]:
    """Let the hub show its progress bars only where something large is downloaded."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if shown or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
