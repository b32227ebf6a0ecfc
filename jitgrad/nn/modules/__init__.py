"""``torch.nn.modules``: the layers under the names of PyTorch's files, from which some scripts import them.

``from torch.nn.modules.batchnorm import _BatchNorm`` finds the class in the file of jitgrad that has it.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

from ... import nn
from .. import global_hooks
from .._state import IncompatibleKeys
from . import utils as utils

# PyTorch's file: the files here whose classes are in it
_FILES = {
    "activation": ("activation", "activation_dim", "attention", "random_activation"),
    "adaptive": ("adaptive",),
    "batchnorm": ("batchnorm", "lazy", "synchronized"),
    "channelshuffle": ("upsampling",),
    "container": ("containers", "parameter_containers"),
    "conv": ("conv", "lazy"),
    "distance": ("distance",),
    "dropout": ("dropout",),
    "flatten": ("linear",),
    "fold": ("folding",),
    "instancenorm": ("batchnorm", "lazy"),
    "linear": ("lazy", "linear"),
    "loss": ("loss", "margin_losses"),
    "module": ("module",),
    "normalization": ("normalization", "upsampling"),
    "padding": ("padding",),
    "pixelshuffle": ("upsampling",),
    "pooling": ("adaptive_pooling", "fractional_pooling", "pooling"),
    "rnn": ("recurrent", "recurrent_cells"),
    "sparse": ("sparse",),
    "transformer": ("transformer",),
    "upsampling": ("upsampling",),
}


def _classes(home: ModuleType) -> dict[str, type]:
    """The layers that a file defines."""
    found = {name: value for name, value in vars(home).items() if isinstance(value, type)}
    return {
        name: c for name, c in found.items() if issubclass(c, nn.Module) and c.__module__ == home.__name__
    }


def _file(name: str, homes: tuple[str, ...]) -> ModuleType:
    """The module that stands for one of PyTorch's files."""
    made = ModuleType(f"{__name__}.{name}", f"``torch.nn.modules.{name}``.")
    for home in homes:
        vars(made).update(_classes(importlib.import_module(f"jitgrad.nn.{home}")))
    return made


for _name, _homes in _FILES.items():
    globals()[_name] = sys.modules[f"{__name__}.{_name}"] = _file(_name, _homes)
globals().update({name: getattr(nn, name) for name in nn.__all__ if isinstance(getattr(nn, name), type)})
vars(sys.modules[f"{__name__}.module"]).update({n: getattr(global_hooks, n) for n in global_hooks.__all__})
vars(globals()["module"])["_IncompatibleKeys"] = IncompatibleKeys  # what load_state_dict returns
