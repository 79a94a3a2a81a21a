"""Whether the settings of a model's parts fit each other; every family says which must, in the same sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dragflow.backbones.configs import Config
from dragflow.core.errors import UserError

_NUMBERS = {3: "three", 4: "four"}


def check_fit(
    model: str,
    part: str,
    config: Config,
    values: Mapping[str, tuple[Any, str]],
    broken: Mapping[str, str | None] | None = None,
) -> None:
    """Check settings of one part.

    Args:
        model: its name.
        part: whose settings these are.
        config: all of them, with defaults.
        values: key to the one value that it may have, and why.
        broken: key to a rule that its value breaks, as in "it must be even"; None if it breaks none.

    Raises:
        UserError: names the first key that is wrong, its value and the rule.
    """
    unequal = [(key, f"it must be {value}: {why}") for key, (value, why) in values.items() if config[key] != value]
    for key, rule in (*unequal, *(broken or {}).items()):
        if rule is not None:
            raise UserError(
                f"model {model}: its {part} has {key} {config[key]} in its configuration: {rule}; download or export "
                "the model again"
            )


def axes_rule(axes: Sequence[int], count: int, total: float, of: str) -> str | None:
    """The rule that the sizes of rotary axes break.

    Args:
        axes: their sizes.
        count: how many there must be.
        total: what they must add up to.
        of: what that is, as in "its attention_head_dim".
    """
    if len(axes) == count and sum(axes) == total and all(axis and axis % 2 == 0 for axis in axes):
        return None
    return f"it must be {_NUMBERS[count]} even numbers that add up to {total:g}, {of}"


def check_scaling(model: str, vae: Config) -> None:
    """Check the factor by which latents are multiplied.

    Raises:
        UserError: it is 0.
    """
    check_fit(model, "vae", vae, {}, {"scaling_factor": None if vae["scaling_factor"] else "it must not be 0"})
