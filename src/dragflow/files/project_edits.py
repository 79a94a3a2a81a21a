"""What a project holds: the files of pictures, and edits with what each continued."""

from __future__ import annotations

from dataclasses import dataclass

from dragflow.core.errors import UserError
from dragflow.core.result import Recipe
from dragflow.core.task import Instruction
from dragflow.files.instructions import parse_embedded
from dragflow.files.pictures import SourceImage, decode_image
from dragflow.files.project_file import text_of
from dragflow.files.recipes import decode_recipe


@dataclass(frozen=True, eq=False)
class ProjectPicture:
    """The file of a picture, byte for byte, and what was found when it was read."""

    data: bytes
    name: str
    """What it is called."""
    size: tuple[int, int]
    """(h, w), upright."""
    sha256: str
    """Digest of its upright pixels."""
    recipe_sha256: str | None
    """Digest of its recipe, where it is a result."""

    def decoded(self) -> SourceImage:
        """The picture itself."""
        return decode_image(self.data, self.name)


@dataclass(frozen=True, eq=False)
class ProjectEdit:
    """An edit of a project."""

    parent: int
    """What was edited: 0 for the first picture, n for the result of edit n."""
    result: ProjectPicture | None
    """None while the edit is marked and not run."""
    asked: bytes | None
    """The instruction as it was asked for, an instruction file; None where only the recipe says what it was."""
    names: tuple[str, ...] = ()
    """Of the regions, in the order of the operations."""
    seconds: float | None = None
    """How long it took, where that is known."""

    @property
    def recipe(self) -> Recipe | None:
        """The recipe in the result; None without a result."""
        return None if self.result is None else decode_recipe(self.result.data, self.result.name)[0]

    @property
    def instruction(self) -> Instruction:
        """The instruction as it was asked for, or that of the recipe where nothing else is known."""
        if self.asked is not None:
            return parse_embedded(text_of(self.asked, "the instruction"), "the instruction")
        recipe = self.recipe
        if recipe is None:
            raise UserError("an edit without a result has no instruction: give one")
        return recipe.instruction


def read_stored(data: bytes, name: str) -> ProjectPicture:
    """The file of a picture, which is decoded once to know that it can be.

    Raises:
        UserError: it cannot; `name` says which picture.
    """
    source = decode_image(data, name)
    return ProjectPicture(data, name, source.size, source.sha256, source.recipe_sha256)
