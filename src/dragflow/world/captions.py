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

    objects: tuple[tuple[str, str], ...]  # (name, place), front to back as drawn
    limb: str | None  # colour of an arm, if the first object has one
    background: str
    colours: tuple[str, str]
    light: str
    shadows: bool


def facts(scene: Scene) -> Facts:
    """Reads off a scene what its caption may say."""
    objects = tuple((scene.things[i].name, _place(scene, i)) for i in scene.objects)
    limb = next((t.name for t in scene.things if t.role == "limb"), None)
    b = scene.background
    return Facts(objects, limb, b.kind, b.colours, scene.light.kind, scene.light.shadows)


def caption(f: Facts, rng: np.random.Generator | None = None) -> str:
    """The canonical caption, or with `rng` one of its paraphrases (parts left out, places added, order changed)."""
    if rng is None:
        return f"{_listing([_noun(f, i, False) for i in range(len(f.objects))])} {background_phrase(f)}"
    order = list(rng.permutation(len(f.objects)))
    if len(order) > 1 and rng.uniform() < 0.1:
        order = order[:-1]
    with_places = rng.uniform() < 0.3
    parts = [_noun(f, i, with_places) for i in order]
    text = str(rng.choice(_OPENINGS)) + _listing(parts)
    if rng.uniform() < 0.85:
        text += f" {background_phrase(f, rng)}"
    if f.light != "flat" and rng.uniform() < 0.4:
        text += f" {_LIGHT_PHRASES[f.light]}"
    if f.shadows and rng.uniform() < 0.3:
        text += " with shadows"
    return text


def _noun(f: Facts, i: int, with_place: bool) -> str:
    name, place = f.objects[i]
    noun = f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
    if i == 0 and f.limb:
        noun += f" with {'an' if f.limb[0] in 'aeiou' else 'a'} {f.limb} arm"
    return f"{noun} {place}" if with_place else noun


def _listing(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def background_phrase(f: Facts, rng: np.random.Generator | None = None) -> str:
    """The background in words; with `rng` sometimes without its colours."""
    a, b = f.colours
    if f.background in _TEXTURE_PHRASES:
        return _TEXTURE_PHRASES[f.background]
    plain = rng is not None and rng.uniform() < 0.25
    return {
        "gradient": "on a gradient" if plain else f"on a {a} and {b} gradient",
        "noise": "on a soft background" if plain else f"on a soft {a} and {b} background",
        "stripes": "on stripes" if plain else f"on {a} and {b} stripes",
        "checks": "on checks" if plain else f"on {a} and {b} checks",
        "bricks": "on a brick wall" if plain else f"on a {a} brick wall with {b} mortar",
        "planks": "on planks" if plain else f"on {a} planks with {b} gaps",
        "dots": "on dots" if plain else f"on {a} with {b} dots",
        "horizon": "in a field" if plain else f"in a {a} field under a {b} sky",
    }[f.background]


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
