"""Projects repeated: every edit again, from the picture that it continued, and whether it has the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dragflow.core.errors import UserError
from dragflow.core.models import ModelOptions
from dragflow.editor.result import EditResult
from dragflow.files.encoding import FORMATS, written_suffix
from dragflow.files.projects import Project
from dragflow.service.consent import refusal, unchosen
from dragflow.service.jobs import EditJob, repeat


@dataclass(frozen=True, eq=False)
class Repeated:
    """An edit of a project that was made again."""

    number: int
    """Of the edit, from 1."""
    same: bool
    """Whether the file of the result has the same bytes as before."""
    pixels: int
    """How many pixels of it differ."""
    versions: dict[str, tuple[str, str]]
    """What had another version: then, and now."""
    result: EditResult

    @property
    def text(self) -> str:
        """For people."""
        if self.same:
            return f"edit {self.number}: the same bytes"
        differ = f"{self.pixels} pixels differ" if self.pixels else "every pixel is the same, but not the recipe"
        others = ", ".join(f"{name} {then} then and {now} now" for name, (then, now) in self.versions.items())
        return f"edit {self.number}: other bytes; {differ}" + (f"; {others}" if others else "")


def repeat_edits(
    project: Project,
    run: Callable[[EditJob], EditResult],
    model: ModelOptions | None = None,
    *,
    trust: bool = False,
) -> Iterator[Repeated]:
    """Make every edit of a project again that has a result, one after the other.

    Each continues from the picture that it continued then. So where all have the same bytes, the whole chain has them,
    from the first picture to the last, and where one has others, those after it are still told apart.

    Args:
        project: what to repeat.
        run: does the work, as `dragflow.service.run` does.
        model: where and how the model runs now; see `repeat`.
        trust: load what recipes name and `model` does not.

    Raises:
        UserError: something to load that nobody chose, before anything runs; or as `repeat`.
    """
    given = model or ModelOptions()
    if not trust:
        check_chosen(project, given)
    for number, edit in enumerate(project.edits, start=1):
        if edit.result is not None:
            yield _repeated(project, number, run, given, trust)


def check_chosen(project: Project, model: ModelOptions) -> None:
    """Refuse a project whose recipes would load what neither comes with dragflow nor is named by `model`.

    Raises:
        UserError: for that; it says which edit, and what it asks for.
    """
    for number, edit in enumerate(project.edits, start=1):
        recipe = edit.recipe
        surplus = () if recipe is None else unchosen(recipe, model)
        if surplus:
            raise UserError(f"edit {number}: {refusal(surplus)}")


def _repeated(
    project: Project, number: int, run: Callable[[EditJob], EditResult], model: ModelOptions, trust: bool
) -> Repeated:
    edit, stored = project.edits[number - 1], project.stored(number)
    recipe = edit.recipe
    assert recipe is not None  # which every result has
    try:
        result = run(repeat(project.picture(edit.parent), recipe, model, trust=trust))
    except UserError as error:
        raise type(error)(f"edit {number}: {error}") from error
    before, after = stored.decoded(), result.picture
    pixels = before.pixels if before.deep is None or after.deep is None else before.deep[..., :3]
    own = after.pixels if before.deep is None or after.deep is None else after.deep[..., :3]
    now = result.provenance.recipe.versions
    return Repeated(
        number,
        result.encoded(FORMATS[written_suffix(stored.data, stored.name)]) == stored.data,
        int((pixels != own).any(-1).sum()),
        {
            name: (recipe.versions.get(name, "none"), now.get(name, "none"))
            for name in sorted(recipe.versions.keys() | now.keys())
            if recipe.versions.get(name) != now.get(name)
        },
        result,
    )
