"""What a recipe asks to load: a picture may come from a stranger, so nothing is loaded because it says so."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from dragflow.core.models import BUILT_IN, ModelOptions, SubjectOptions
from dragflow.core.result import Recipe
from dragflow.files.models import chosen_model as default_choice
from dragflow.files.models import settled_model
from dragflow.subject.registry import encoders_of

_NAMED = 5
"""Of the things that a sentence lists."""


def asks(recipe: Recipe) -> dict[str, Any]:
    """What a recipe loads and what it tells the model, by the names of the options; only what it gives."""
    made, subject = recipe.weights.options, recipe.subject
    found: dict[str, Any] = {
        name: getattr(made, name) for name in ("model", "parts", "revision", "quantize", "lora", "bridge")
    }
    if subject is not None:
        names = ("adapter", "weights", *encoders_of(subject.options))
        found |= {f"subject.{name}": getattr(subject.options, name) for name in names}
    found |= {"prompt": recipe.instruction.prompt, "edit_prompt": recipe.instruction.edit_prompt}
    return {name: value for name, value in found.items() if value}


def chosen_model(recipe: Recipe, given: ModelOptions) -> str | None:
    """The model that the user named by option, or chose for good where that is the one of the recipe."""
    made, chosen = recipe.weights.options.model, default_choice()
    return given.model or (made if chosen is not None and settled_model(ModelOptions(chosen)).model == made else None)


def kept_with(recipe: Recipe, given: ModelOptions) -> ModelOptions:
    """The options with what the user keeps with the short name that they give: where the model is and how it runs,
    and of what determines its weights that with which the result was made.
    """
    if given.model is None:
        return given
    kept, made = settled_model(given), recipe.weights.options
    runs = {name: getattr(kept, name) for name in ("model", "model_root", "device", "offload", "checkpointing")}
    same = ("revision", "parts", "quantize", "lora", "bridge")
    return replace(given, **runs, **{n: getattr(kept, n) for n in same if getattr(kept, n) == getattr(made, n)})


def unchosen(recipe: Recipe, given: ModelOptions) -> tuple[str, ...]:
    """What a recipe would load that neither comes with dragflow nor was named by the user, each with its option."""
    given = kept_with(recipe, given)
    made, subject = recipe.weights.options, given.subject or SubjectOptions()
    found = [("model", made.model)] if made.model not in BUILT_IN and not chosen_model(recipe, given) else []
    found += [("parts", name) for name in made.parts if not given.parts and not given.model_root]
    found += [("quantize", made.quantize)] if made.gguf is not None and given.gguf is None else []
    found += [("lora", file) for file in made.lora if not given.lora]
    found += [("bridge", made.bridge)] if made.bridge is not None and given.bridge is None else []
    if recipe.subject is not None:
        usual, options = asdict(SubjectOptions()), recipe.subject.options
        found += [
            (f"subject.{name}", getattr(options, name))
            for name in ("weights", *encoders_of(options))
            if getattr(options, name) != usual[name] and getattr(subject, name) == usual[name]
        ]
    return tuple(f"`{option}` {value!r}" for option, value in found)


def refusal(unchosen: tuple[str, ...]) -> str:
    """The sentence about what a recipe asks for and nobody chose."""
    rest = f" and {len(unchosen) - _NAMED} more" if len(unchosen) > _NAMED else ""
    return (
        f"the recipe asks for {', '.join(unchosen[:_NAMED])}{rest}: a picture does not decide what is loaded; name "
        "what you want to load by these options, or allow all of it by `trust`"
    )
