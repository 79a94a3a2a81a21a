"""A second tree of modules over the same weights: what is put on one, as a LoRA or a hook, is not on the other."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

from torch import nn

M = TypeVar("M", bound=nn.Module)


def twin(module: M) -> M:
    """A module of the same class whose parameters and buffers are this one's, and whose modules are twins of its own.

    It takes no memory to speak of. What moves or casts the weights of one in place does so for both.
    """
    made = module.__new__(type(module))
    for name, value in module.__dict__.items():
        made.__dict__[name] = value.copy() if type(value) in (dict, OrderedDict, set) else value
    for name, child in module._modules.items():
        made._modules[name] = None if child is None else twin(child)
    return made
