"""Inverted pictures in a folder: safetensors, bounded in bytes, each written whole or not at all."""

from __future__ import annotations

import json
import logging
import os
import platform
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from dragflow.backbones.tensors import read_safetensors
from dragflow.core.errors import UserError
from dragflow.core.result import Timing
from dragflow.editor.inversions import InversionKey, Inversions, Prepared
from dragflow.editor.versions import versions
from dragflow.files.atomic import replacing
from dragflow.method.active import CallRecord, TokenRecord
from dragflow.method.backbone import Backbone, Schedule, Site
from dragflow.method.inversion import Inversion
from dragflow.method.kv import KVStore

_log = logging.getLogger(__name__)

FORMAT = "dragflow.inversion.2"
_SUFFIX = ".inversion.safetensors"


class StoredInversions(Inversions):
    """Inversions in memory, and behind them a folder; several processes may share it."""

    def __init__(self, folder: Path, max_bytes: int | None = None, folder_bytes: int | None = None) -> None:
        """Use a folder, made if it is missing and then readable by its owner alone.

        Args:
            folder: where they are.
            max_bytes: most bytes in memory.
            folder_bytes: most bytes in the folder, None for any number; the least recently used entry goes first.

        Raises:
            UserError: it is a file, or cannot be made.
        """
        super().__init__(max_bytes=max_bytes)
        self._folder, self._folder_bytes = folder, folder_bytes
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"`cache` is {folder}, which cannot be made a folder ({error.strerror}): name another one"
            ) from error

    def get(self, key: InversionKey, backbone: Backbone) -> Prepared | None:
        """The inversion for a key, bit for bit as it was put; a damaged entry is removed."""
        known = super().get(key, backbone)
        path = self._path(key, backbone)
        if known is not None or not path.is_file():
            return known
        try:
            read = _read(path, backbone)
            os.utime(path)
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            _log.warning("%s is damaged and is made again: %s", path, error)
            with suppress(OSError):
                path.unlink()
            return None
        super().put(key, read, backbone)
        return read

    def holds(self, key: InversionKey, backbone: Backbone) -> bool:
        """Whether it is in memory, or a file of the folder."""
        return super().holds(key, backbone) or self._path(key, backbone).is_file()

    def put(self, key: InversionKey, prepared: Prepared, backbone: Backbone) -> None:
        """Keep an inversion, in the folder too if it fits; a full disk costs the entry, never the edit."""
        super().put(key, prepared, backbone)
        if self._folder_bytes is not None and prepared.nbytes > self._folder_bytes:
            return
        try:
            with replacing(self._path(key, backbone)) as part:
                part.touch(mode=0o600)  # the folder may have been there before, and be open to others
                _write(part, prepared)
            if self._folder_bytes is not None:
                self._drop_oldest(self._folder_bytes)
        except (OSError, SafetensorError) as error:
            _log.warning("an inversion is not kept in %s: %s", self._folder, error)

    def _path(self, key: InversionKey, backbone: Backbone) -> Path:
        # Another machine, device, number of threads or version may round otherwise: a result must not depend on
        # what was kept before.
        made_by = [versions(), platform.node(), str(backbone.device), torch.get_num_threads()]
        said = json.dumps([FORMAT, asdict(key), made_by], sort_keys=True, default=str)
        return self._folder / f"{sha256(said.encode()).hexdigest()}{_SUFFIX}"

    def _drop_oldest(self, most: int) -> None:
        entries = sorted((path.stat().st_mtime, path.stat().st_size, path) for path in self._folder.glob(f"*{_SUFFIX}"))
        held = sum(size for _, size, _ in entries)
        for _, size, path in entries:
            if held <= most:
                return
            path.unlink(missing_ok=True)
            held -= size


def _write(path: Path, prepared: Prepared) -> None:
    inversion, kv = prepared.inversion, prepared.inversion.kv
    recorded = [] if kv is None else [(t, site, x) for t, sites in kv.times.items() for site, x in sites.items()]
    tensors = {f"state.{i}": z for i, z in enumerate(inversion.states)}
    tensors |= {f"kv.{i}": x for i, (_, _, x) in enumerate(recorded)}
    times = {} if inversion.tokens is None else inversion.tokens.times
    tokens = {str(t): _flat(f"tokens.{i}", record, tensors) for i, (t, record) in enumerate(times.items())}
    tensors = {name: x.detach().contiguous() for name, x in tensors.items()}
    about = {
        "schedule": asdict(inversion.schedule),
        "timings": [asdict(timing) for timing in prepared.timings],
        "states": len(inversion.states),
        "blocks": None if kv is None else sorted(kv.blocks),
        "recorded": [(t, list(site)) for t, site, _ in recorded],
        "tokens": tokens,
        "digest": _digest(tensors[name] for name in sorted(tensors)),
    }
    save_file(tensors, path, {"format": FORMAT, "about": json.dumps(about)})


def _read(path: Path, backbone: Backbone) -> Prepared:
    metadata, tensors = read_safetensors(path)
    about: dict[str, Any] = json.loads(metadata["about"])
    if _digest(tensors[name] for name in sorted(tensors)) != about["digest"]:
        raise ValueError("its digest is another one")
    states = tuple(tensors[f"state.{i}"].to(backbone.device, copy=True) for i in range(about["states"]))
    schedule = Schedule(tuple(about["schedule"]["times"]), about["schedule"]["skip"])
    timings = tuple(Timing(**timing) for timing in about["timings"])
    device = backbone.cache_device(sum(x.nbytes for name, x in tensors.items() if name.startswith("tokens.")))
    times = {float(t): _record(said, tensors, device) for t, said in about["tokens"].items()}
    tokens = TokenRecord(times) if times else None
    if about["blocks"] is None:
        return Prepared(Inversion(schedule, states, None, tokens), timings)
    recorded = [tensors[f"kv.{i}"] for i in range(len(about["recorded"]))]
    store = KVStore(frozenset(about["blocks"]), backbone.cache_device(sum(x.nbytes for x in recorded)))
    for (t, site), x in zip(about["recorded"], recorded, strict=True):
        store.times.setdefault(t, {})[Site(*site)] = x.to(store.device, copy=True)
    return Prepared(Inversion(schedule, states, store, tokens), timings)


def _flat(name: str, record: CallRecord, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """What a record holds beside its tensors, which are put among others."""
    known = {
        f"{name}.{site}.{part}": x
        for site, pair in record.attentions.items()
        for part, x in zip("kv", pair, strict=True)
    }
    seen = {f"{name}.reference.{index}": x for index, x in record.references.items()}
    tensors |= known | seen
    away = None if record.negative is None else _flat(f"{name}.negative", record.negative, tensors)
    return {
        "name": name,
        "sites": list(record.attentions),
        "counts": record.counts,
        "references": list(record.references),
        "negative": away,
    }


def _record(said: dict[str, Any], tensors: dict[str, Tensor], device: torch.device) -> CallRecord:
    """The record of which that was said."""

    def held(what: str) -> Tensor:
        return tensors[f"{said['name']}.{what}"].to(device, copy=True)

    return CallRecord(
        device,
        attentions={site: (held(f"{site}.k"), held(f"{site}.v")) for site in said["sites"]},
        counts=said["counts"],
        references={index: held(f"reference.{index}") for index in said["references"]},
        negative=None if said["negative"] is None else _record(said["negative"], tensors, device),
    )


def _digest(tensors: Iterator[Tensor]) -> str:
    """Of the bits, which the format itself does not check."""
    digest = blake2b(digest_size=16)
    for x in tensors:
        digest.update(x.cpu().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
