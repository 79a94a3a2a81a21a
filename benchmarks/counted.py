"""A FLUX without values: edits run on it as they are, and what its networks would compute is counted.

Its networks are on torch's meta device, where tensors have shapes alone, so that the full-size model is counted in a
minute without its weights. The method around it runs on the CPU, on zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_any, tree_map_only
from torch.utils.flop_counter import FlopCounterMode
from wordless import empty_parts, wordless

from dragflow.backbones.configs import empty_network
from dragflow.backbones.flux1.load import LAYOUT
from dragflow.backbones.flux1.model import Flux1
from dragflow.backbones.quiet import quiet_libraries
from dragflow.core.models import FLUX1_DEV

META, CPU = torch.device("meta"), torch.device("cpu")
_MOVES = (Tensor.to, Tensor.cpu)


class CountedFlux1(Flux1):
    """A `Flux1` whose networks are without values; what it gives are zeros on the CPU."""

    @property
    def device(self) -> torch.device:
        """Where latents are."""
        return CPU

    def cache_device(self, size: int) -> torch.device:
        """Recorded tensors have no values either."""
        return META

    def encode(self, image: Tensor) -> Tensor:
        """See `Backbone.encode`."""
        return _zeros(self._encoded(self._pipeline.vae, _meta(image).to(self.dtype)))

    def decoded(self, z: Tensor) -> Tensor:
        """See `DiffusersBackbone.decoded`."""
        return _zeros(self._decoded(self._pipeline.vae, _meta(z))).float()

    def flow(self, z: Tensor, *args: Any, **options: Any) -> Tensor:
        """See `PipelineBackbone.flow`."""
        with _Spreading():
            return _zeros(super().flow(_meta(z), *args, **options))

    def features(self, z: Tensor, *args: Any, **options: Any) -> tuple[Tensor, ...]:
        """See `Backbone.features`."""
        with _Spreading():
            if not (z.requires_grad and torch.is_grad_enabled()):
                return tuple(_zeros(each) for each in super().features(_meta(z), *args, **options))
            inside = _meta(z).requires_grad_(True)
            made = super().features(inside, *args, **options)
        return _Crossing.apply(z, inside, *made)  # pyright: ignore[reportReturnType]


class _Crossing(torch.autograd.Function):
    """Features on the CPU whose gradient is computed, and counted, through those without values."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, inside: Tensor, *made: Tensor) -> tuple[Tensor, ...]:
        ctx.inside, ctx.made = inside, made
        return tuple(_zeros(each) for each in made)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        with _Spreading():
            (gradient,) = torch.autograd.grad(ctx.made, ctx.inside, [_meta(each) for each in gradients])
        return (_zeros(gradient), None, *[None] * len(ctx.made))


class _Spreading(TorchFunctionMode):
    """Whatever meets a tensor without values loses its own; masks keep them, since shapes follow from them."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _MOVES and args[0].dtype == torch.bool and not any(isinstance(x, torch.dtype) for x in args):
            return args[0]
        if tree_any(lambda x: isinstance(x, Tensor) and x.device == META, (args, kwargs)):
            if func in _MOVES:
                args, kwargs = (args[0], *(META if _is_place(x) else x for x in args[1:])), {**kwargs, **_there(kwargs)}
                func = Tensor.to
            elif func in (Tensor.__getitem__, Tensor.__setitem__):
                args = tree_map_only(Tensor, lambda x: x if x.dtype == torch.bool else _meta(x), args)
            else:
                args, kwargs = tree_map_only(Tensor, _meta, args), tree_map_only(Tensor, _meta, kwargs)
        return func(*args, **cast("dict[str, Any]", kwargs))


def _is_place(x: Any) -> bool:
    return isinstance(x, str | torch.device)


def _there(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {"device": META} if "device" in kwargs else {}


def _meta(x: Tensor) -> Tensor:
    return x.detach().to(META) if x.device != META else x


def _zeros(x: Tensor) -> Tensor:
    return torch.zeros(x.shape, dtype=x.dtype)


def counted_flux1(**changes: int) -> CountedFlux1:
    """FLUX.1 in bfloat16, without values.

    Args:
        **changes: of its transformer's configuration, as `num_layers`.
    """
    return wordless(CountedFlux1, *empty_parts(LAYOUT, FLUX1_DEV, {"transformer": changes}))


def counted_like(backbone: Any) -> CountedFlux1:
    """A loaded FLUX.1, without its values."""
    networks = (backbone.transformer, backbone.pipeline.vae)
    empty = [empty_network(type(each), each.config).to(each.dtype) for each in networks]
    return wordless(CountedFlux1, *empty, tokens=backbone.condition("", guidance=1.0).text.tokens.shape[1])


@contextmanager
def flop() -> Iterator[Callable[[], int]]:
    """Count floating-point operations, a multiply-add as two; gives a function that says how many so far."""
    with quiet_libraries(), FlopCounterMode(display=False) as counter:
        yield counter.get_total_flops
