"""What a sweep chose for a model is used wherever it is loaded: taps and K/V sites, by the fingerprint of its files."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from dragflow.backbones.fingerprint import fingerprint_of_files
from dragflow.backbones.parts import Source
from dragflow.core.errors import UserError
from dragflow.files.sweeps import any_sweeps, mended, read_sweep, sweep_path
from dragflow.method.backbone import BackboneSpec

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Swept:
    """Taps and sites in place of a model's own; None: its own."""

    path: Path
    taps: tuple[str, ...] | None
    sites: tuple[str, ...] | None

    def on(self, spec: BackboneSpec) -> BackboneSpec:
        """The facts of a model with this choice.

        Raises:
            UserError: it names what the model does not have.
        """
        for key, names, known, what in (
            ("taps", self.taps, spec.tap_names, "tap"),
            ("sites", self.sites, spec.blocks, "block"),
        ):
            unknown = [name for name in names or () if name not in known]
            if unknown:
                raise UserError(
                    f"sweep {self.path}: {key}.chosen: {', '.join(unknown)} is not a {what} of this model, which has "
                    f"{', '.join(known)}; {mended(self.path)}"
                )
        return replace(spec, taps=self.taps or spec.taps, kv_blocks=self.sites or spec.kv_blocks, swept=str(self.path))


def swept(source: Source) -> Swept | None:
    """What was chosen for a model that was found; None if it was not swept, or its own is asked for.

    Raises:
        UserError: the file of the sweep is damaged.
    """
    if source.options.unswept or not any_sweeps():
        return None
    name = fingerprint_of_files(source)
    found = read_sweep(name)
    if found is None:
        return None
    _log.info("model %s: taps and K/V sites are those of %s", source.options.name, sweep_path(name))
    return Swept(
        sweep_path(name),
        None if found.taps is None else found.taps.chosen,
        None if found.sites is None else found.sites.chosen,
    )
