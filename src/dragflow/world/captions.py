"""Captions of scenes, from sprite names, background and light: one canonical form and many paraphrases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dragflow.world import atlas
from dragflow.world.backgrounds import PALETTE, TEXTURES
from dragflow.world.scenes import Scene

_TEXTURE_PHRASES = {
    "grass": "on grass",
    "sand": "on sand",
    "stone": "on stone",
    "water": "on water",
    "wood": "on wood",
    "clouds": "in the clouds",
    "snow": "on snow",
    "night": "at night",
}
_LIGHT_PHRASES = {"ramp": "in slanting light", "spot": "in a spotlight"}
_WORDS = (
    "a an and the on in at of with to under is there , . arm left right top bottom middle picture scene image photo "
    "gradient soft background stripes checks brick wall mortar planks gaps dots field sky slanting light spotlight "
    "shadows night clouds no empty nothing moved turned rotated larger smaller bigger stretched longer shorter up down "
    "big small two object"
)
_OPENINGS = ("", "", "a picture of ", "a scene with ", "an image of ", "there is ", "a photo of ")


@dataclass(frozen=True)
class Facts:
    """What a caption may say about a scene; small enough to keep for every training scene."""

    objects: tuple[tuple[str, str], ...]
    """Name and place of each object, from back to front."""
    limb: str | None
    """Colour of the first object's arm, if it has one."""
    background: str
    """Kind of the background."""
    colours: tuple[str, str]
    """Its two colours."""
    light: str
    """Kind of the light."""
    shadows: bool
    """Whether objects cast shadows."""


def facts(scene: Scene) -> Facts:
    """What the caption of a scene may say."""
    objects = tuple((scene.things[i].name, _place(scene, i)) for i in scene.objects)
    limb = next((thing.name for thing in scene.things if thing.role == "limb"), None)
    background = scene.background
    return Facts(objects, limb, background.kind, background.colours, scene.light.kind, scene.light.shadows)


def caption(facts: Facts, rng: np.random.Generator | None = None) -> str:
    """The canonical caption, or with `rng` one of its paraphrases (parts left out, places added, order changed)."""
    if rng is None:
        return f"{_listing([_noun(facts, i, False) for i in range(len(facts.objects))])} {background_phrase(facts)}"
    order = list(rng.permutation(len(facts.objects)))
    if len(order) > 1 and rng.uniform() < 0.1:
        order = order[:-1]
    with_places = rng.uniform() < 0.3
    parts = [_noun(facts, i, with_places) for i in order]
    text = str(rng.choice(_OPENINGS)) + _listing(parts)
    if rng.uniform() < 0.85:
        text += f" {background_phrase(facts, rng)}"
    if facts.light != "flat" and rng.uniform() < 0.4:
        text += f" {_LIGHT_PHRASES[facts.light]}"
    if facts.shadows and rng.uniform() < 0.3:
        text += " with shadows"
    return text


def _noun(facts: Facts, index: int, with_place: bool) -> str:
    name, place = facts.objects[index]
    noun = f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
    if index == 0 and facts.limb:
        noun += f" with {'an' if facts.limb[0] in 'aeiou' else 'a'} {facts.limb} arm"
    return f"{noun} {place}" if with_place else noun


def _listing(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def background_phrase(facts: Facts, rng: np.random.Generator | None = None) -> str:
    """The background in words; with `rng` sometimes without its colours."""
    first, second = facts.colours
    if facts.background in _TEXTURE_PHRASES:
        return _TEXTURE_PHRASES[facts.background]
    plain = rng is not None and rng.uniform() < 0.25
    return {
        "gradient": "on a gradient" if plain else f"on a {first} and {second} gradient",
        "noise": "on a soft background" if plain else f"on a soft {first} and {second} background",
        "stripes": "on stripes" if plain else f"on {first} and {second} stripes",
        "checks": "on checks" if plain else f"on {first} and {second} checks",
        "bricks": "on a brick wall" if plain else f"on a {first} brick wall with {second} mortar",
        "planks": "on planks" if plain else f"on {first} planks with {second} gaps",
        "dots": "on dots" if plain else f"on {first} with {second} dots",
        "horizon": "in a field" if plain else f"in a {first} field under a {second} sky",
    }[facts.background]


def _place(scene: Scene, index: int) -> str:
    (_, _, x), (_, _, y) = scene.things[index].pose
    h, w = (n / scene.unit for n in scene.size)
    across = "left" if x < 0.36 * w else "right" if x > 0.64 * w else ""
    down = "top" if y < 0.36 * h else "bottom" if y > 0.64 * h else ""
    if not across and not down:
        return "in the middle"
    return f"on the {down} {across}".replace("  ", " ").strip() if down and across else f"on the {down or across}"


def vocabulary() -> tuple[str, ...]:
    """Every word a caption can hold, and a few that editing prompts need, in a fixed order."""
    words = {word for name in atlas.names("all") for word in name.split()}
    return tuple(sorted(words | set(PALETTE) | set(TEXTURES) | set(_WORDS.split())))
