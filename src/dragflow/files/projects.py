"""Projects: a picture, the edits made of it one after the other, and their results, in one file."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path, PureWindowsPath
from typing import IO, Protocol

from dragflow.core.checked import as_path
from dragflow.core.errors import UserError
from dragflow.core.result import Provenance
from dragflow.core.task import Instruction, Operation
from dragflow.core.text import one_line
from dragflow.files.atomic import write_bytes
from dragflow.files.encoding import encode_png, written_suffix
from dragflow.files.instructions import dump_instruction, given_instruction
from dragflow.files.outputs import check_writable
from dragflow.files.pictures import Picture, SourceImage, as_source, load_image, read_picture
from dragflow.files.project_edits import ProjectEdit, ProjectPicture, read_stored
from dragflow.files.project_file import LONGEST_NAME, MOST_BYTES, MOST_EDITS, SUFFIX, EditParts, Parts, pack, unpack
from dragflow.files.recipes import decode_recipe

_MOST_PIXELS = 2**31
"""Of all pictures of a project, so that a small file cannot keep a machine busy for hours."""


class Made(Protocol):
    """An `EditResult`."""

    @property
    def provenance(self) -> Provenance:
        """Its recipe, and what it cost."""
        ...

    def png(self) -> bytes:
        """Its file."""
        ...


@dataclass(frozen=True, eq=False)
class Project:
    """A picture and its edits, in the order in which they were made; each edit continues from the picture or a result.

    Every method gives a new project. What is in one was checked: results have recipes, and continue from the picture
    that these name, by its pixels.
    """

    source: ProjectPicture
    edits: tuple[ProjectEdit, ...] = ()

    @staticmethod
    def of(picture: Picture) -> Project:
        """A project of a picture, without edits.

        Raises:
            UserError: a picture that cannot be read.
        """
        if isinstance(picture, str | PathLike):
            path = Path(picture)
            load_image(path)  # which says what is wrong by the path
            return Project.of_file(read_picture(path), path.name)
        source = as_source(picture)
        deep = None if source.deep is None else source.deep[..., :3]
        name = "picture.png" if source.path is None else f"{source.path.stem}.png"
        return Project.of_file(encode_png(source, source.pixels, None, deep), name)

    @staticmethod
    def of_file(data: bytes, name: str) -> Project:
        """The same from the bytes of a picture's file, and what that is called."""
        called = one_line(PureWindowsPath(name).name).strip()[-LONGEST_NAME:] or "picture"
        return Project(read_stored(data, called))

    def added(
        self,
        result: Made | str | PathLike[str] | bytes,
        asked: Instruction | Operation | Sequence[Operation] | str | PathLike[str] | None = None,
        *,
        names: Sequence[str] = (),
        seconds: float | None = None,
    ) -> Project:
        """The project with one more result, whose recipe says what it was continued from.

        Args:
            result: an `EditResult`, the path of a result, or its bytes.
            asked: what was asked for, where the regions in the recipe, which may be snapped, are not enough.
            names: of the regions.
            seconds: how long the edit took; of an `EditResult` it is known.

        Raises:
            UserError: no result, or one of a picture that is not in the project.
        """
        if isinstance(result, str | PathLike):
            picture = read_stored(read_picture(Path(result)), str(result))
        elif isinstance(result, bytes):
            picture = read_stored(result, "of the result")
        else:
            picture = read_stored(result.png(), "of the result")
            seconds = round(sum(timing.seconds for timing in result.provenance.timings), 3)
        instruction = None if asked is None else dump_instruction(given_instruction(asked)).encode()
        return self._continued(picture, instruction, _called(names), seconds)

    def joined(self, results: Sequence[str | PathLike[str]]) -> Project:
        """The project with these results, in this order, but each after the one that it continues.

        Raises:
            UserError: as `added`.
        """
        project, waiting = self, [read_stored(read_picture(Path(path)), str(path)) for path in results]
        while waiting:
            picture = next((one for one in waiting if project._parent(one) is not None), waiting[0])
            project = project._continued(picture)
            waiting.remove(picture)
        return project

    def marked(
        self,
        asked: Instruction | Operation | Sequence[Operation] | str | PathLike[str],
        *,
        parent: int = 0,
        names: Sequence[str] = (),
    ) -> Project:
        """The project with one more edit that is not run yet.

        Raises:
            UserError: an instruction that breaks a rule, or a parent without a picture.
        """
        text = dump_instruction(given_instruction(asked)).encode()
        return self._with(ProjectEdit(parent, None, text, _called(names)))

    def picture(self, number: int = 0) -> SourceImage:
        """The first picture (0), or the result of an edit, counted from 1.

        Raises:
            UserError: there is none of this number.
        """
        return self.stored(number).decoded()

    def stored(self, number: int = 0) -> ProjectPicture:
        """The file of `picture`; raises the same."""
        found = self._result(number)
        if found is None:
            made = [str(n) for n, edit in enumerate(self.edits, start=1) if edit.result is not None]
            known = ", ".join(["0 (the first picture)", *made])
            raise UserError(f"`edit` is {number}: the project has no result of that number; it has {known}")
        return found

    def encoded(self) -> bytes:
        """The bytes of the project's file; equal projects have equal bytes."""
        edits = [
            EditParts(
                edit.parent,
                None if edit.result is None else (edit.result.data, written_suffix(edit.result.data, edit.result.name)),
                edit.asked,
                edit.names,
                edit.seconds,
            )
            for edit in self.edits
        ]
        return pack(Parts(self.source.data, self.source.name, edits))

    def save(self, path: str | PathLike[str]) -> None:
        """Write the project's file atomically; what exists is replaced.

        Raises:
            UserError: the name does not end in .dragflow, or cannot be written.
        """
        path = check_project_name(as_path(path))
        check_writable(path)
        write_bytes(path, self.encoded())

    @staticmethod
    def load(path: str | PathLike[str]) -> Project:
        """Read a project's file; everything in it is verified.

        Raises:
            UserError: no project, a damaged or a hostile one.
        """
        path = as_path(path)
        if path.exists() and not path.is_file():
            raise UserError(f"project {path} is a folder, a device or a pipe: name a file")
        return _verified(path, str(path), MOST_BYTES)

    @staticmethod
    def decode(data: bytes, name: str, most: int = MOST_BYTES) -> Project:
        """A project from the bytes of its file.

        Args:
            data: of the file.
            name: what it is, for errors.
            most: bytes of all files in it, unpacked.

        Raises:
            UserError: as `load`.
        """
        return _verified(io.BytesIO(data), name, most)

    def _result(self, number: int) -> ProjectPicture | None:
        if number == 0:
            return self.source
        return self.edits[number - 1].result if 0 < number <= len(self.edits) else None

    def _continued(
        self,
        result: ProjectPicture,
        asked: bytes | None = None,
        names: tuple[str, ...] = (),
        seconds: float | None = None,
    ) -> Project:
        parent = self._parent(result)
        if parent is None:
            raise UserError(
                f"{result.name} was made from a picture that is not in the project: add the results before it too, or "
                "begin with the picture that it was made from"
            )
        return self._with(ProjectEdit(parent, result, asked, names, seconds))

    def _parent(self, result: ProjectPicture) -> int | None:
        """What a result was continued from: by the pixels, and among equal ones by the recipe that its own names."""
        recipe = decode_recipe(result.data, result.name)[0]
        pictures = [self.source, *(edit.result for edit in self.edits)]
        found = [i for i, one in enumerate(pictures) if one is not None and one.sha256 == recipe.source_sha256]
        named = (i for i in found if (one := pictures[i]) and one.recipe_sha256 == recipe.parent)
        return next(named, found[0] if found else None)

    def _with(self, edit: ProjectEdit) -> Project:
        number = len(self.edits) + 1
        self._check_room(number)
        before = self._result(edit.parent)
        if before is None:
            raise UserError(f"edit {number}: it continues edit {edit.parent}, of which there is no result before it")
        try:
            self._check(edit, before)
        except UserError as error:
            raise UserError(f"edit {number}: {error}") from error
        return replace(self, edits=(*self.edits, edit))

    def _check(self, edit: ProjectEdit, before: ProjectPicture) -> None:
        recipe = edit.recipe
        known = recipe.instruction if recipe is not None and edit.asked is None else edit.instruction
        count = len(known.operations)
        if len(edit.names) > count:
            raise UserError(f"{len(edit.names)} `names` are given for {count} regions: give one for each")
        if recipe is None or edit.result is None:
            return
        if recipe.source_sha256 != before.sha256:
            raise UserError(f"it was not made from the picture that it is said to continue ({before.name})")
        if edit.result.size != self.source.size:
            (h, w), (own_h, own_w) = self.source.size, edit.result.size
            raise UserError(f"its result is {own_w} x {own_h}, and the project's picture {w} x {h}")

    def _check_room(self, count: int) -> None:
        """Refuse more edits than are read again."""
        h, w = self.source.size
        most = min(MOST_EDITS, max(1, _MOST_PIXELS // (h * w)))
        if count > most:
            raise UserError(f"a project of a picture of {w} x {h} holds at most {most} edits: begin another one")


def check_project_name(path: Path) -> Path:
    """The path of a project's file, if it is called so.

    Raises:
        UserError: it is not.
    """
    if path.suffix.lower() != SUFFIX:
        raise UserError(f"output {path} is not named for a project: let the name end in {SUFFIX}")
    return path


def _called(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(one_line(name)[:LONGEST_NAME] for name in names)


def _verified(source: Path | IO[bytes], name: str, most: int) -> Project:
    parts = unpack(source, name, most)
    try:
        project = Project(replace(read_stored(parts.source, "of the source"), name=parts.name))
        project._check_room(sum(edit.result is not None for edit in parts.edits))
        for number, edit in enumerate(parts.edits, start=1):
            result = None if edit.result is None else read_stored(edit.result[0], f"of edit {number}")
            project = project._with(ProjectEdit(edit.parent, result, edit.instruction, edit.names, edit.seconds))
    except UserError as error:
        raise UserError(f"{name}: {error}") from error
    return project
