"""Things that are chosen by name: our own, and others' through entry points; imported when they are chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from dragflow.core.errors import UserError


def named(path: str) -> Any:
    """The module of this name, or what stands in one under "module:attribute"."""
    module, _, attribute = path.partition(":")
    return getattr(import_module(module), attribute) if attribute else import_module(module)


@dataclass(frozen=True)
class Plugins:
    """One kind of thing, by name; a name of our own cannot be taken by an entry point."""

    kind: str
    """For people, as in "provider"."""
    group: str
    """Group of the entry points, as in "dragflow.intent"."""
    own: Mapping[str, str]
    """Name to "module", or to "module:attribute"."""

    @property
    def names(self) -> tuple[str, ...]:
        """All that can be chosen, our own first."""
        return (*self.own, *sorted({point.name for point in entry_points(group=self.group)} - set(self.own)))

    def load(self, name: str) -> Any:
        """What a name stands for.

        Raises:
            UserError: an unknown name, or one of a package that cannot be loaded.
        """
        if name in self.own:
            return named(self.own[name])
        for point in entry_points(group=self.group):
            if point.name == name:
                return self._loaded(point)
        raise UserError(f"{self.kind} {name!r} is not known: choose one of {', '.join(self.names)}")

    def _loaded(self, point: EntryPoint) -> Any:
        try:
            return point.load()
        except Exception as error:  # others' code, which may raise anything while it is imported
            package = point.value if point.dist is None else point.dist.name
            raise UserError(
                f"{self.kind} {point.name!r} of the installed package {package} cannot be loaded "
                f"({type(error).__name__}: {error}): update or uninstall the package"
            ) from error
