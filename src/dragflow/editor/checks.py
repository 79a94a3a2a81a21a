"""What a configuration says about the model, checked against the model that is loaded."""

from __future__ import annotations

from dataclasses import replace

from dragflow.core.config import EditConfig
from dragflow.core.errors import CapabilityError, UserError
from dragflow.method.backbone import BackboneSpec


def check_names(config: EditConfig, spec: BackboneSpec) -> None:
    """Check taps and blocks, the number of references, and that the model is told what is moved.

    Raises:
        UserError: the model has no such tap or block.
        CapabilityError: the model takes fewer references, or would see nothing but noise.
    """
    unknown = [tap for tap in config.optimise.taps or () if tap not in spec.tap_names]
    if unknown:
        raise UserError(
            f"optimise.taps: {', '.join(unknown)} is not a tap of this model: it has {', '.join(spec.tap_names)}"
        )
    unknown = [block for block in config.kv.sites or () if block not in spec.blocks]
    if unknown:
        raise UserError(f"kv.sites: {', '.join(unknown)} is not a block of this model: it has {', '.join(spec.blocks)}")
    if len(config.references) > spec.references:
        most = f"{spec.references} at most: leave some out" if spec.references else "none: use the preset `default`"
        raise CapabilityError(
            f"references: {', '.join(config.references)} are asked for, but models of family {spec.family} take "
            f"{most}, or an edit model such as FLUX.1 Kontext"
        )
    inversion = config.inversion
    if config.inverts and inversion.mode == "noised" and not inversion.skip and not (spec.fills or config.references):
        raise CapabilityError(
            f"inversion.skip is 0 where inversion.mode is noised: the edit begins as noise alone, and models of family "
            f"{spec.family} are told nothing of the preview beside it: raise inversion.skip, use the preset "
            f"`{spec.preset}`, or a model that fills such as FLUX.1 Fill"
        )


def with_names(config: EditConfig, spec: BackboneSpec) -> EditConfig:
    """The configuration with the taps and K/V sites that an edit uses; None where it uses none.

    A recipe holds them: what a model has by itself, or what a sweep chose for it, may change.
    """
    optimise, kv = config.optimise, config.kv
    if config.drags and not optimise.taps:
        optimise = replace(optimise, taps=spec.taps)
    if config.injects and kv.sites is None:
        kv = replace(kv, sites=spec.kv_blocks)
    return replace(config, optimise=optimise, kv=kv)


def kv_blocks(config: EditConfig, spec: BackboneSpec) -> tuple[str, ...] | None:
    """Blocks whose K/V are recorded; None for none."""
    if not config.injects:
        return None
    return spec.kv_blocks if config.kv.sites is None else config.kv.sites
