"""Kernels: what the engine can compute. The engine names no operation; this package knows no engine.

``table`` holds the declarations, ``stage`` the language in which kernels are written, ``compiler`` and ``cache``
turn them into native code once per machine. Importing this package fills the table.
"""

from . import elementwise, activations, pointwise_losses, reductions
from . import softmax, squared_loss, class_losses, random, dropout
from . import movement, products, convolution, selection
from . import row_norm, channel_norm
from . import max_pooling, mean_pooling
from . import attention, embedding, embedding_bag, indexing, scans, sorting
from . import recurrent_input, recurrent_walk
from . import line_maps
from .table import BY_NAME, OPS

ROLES = {"sum_op": "sum", "add_op": "add", "copy_op": "copy"}  # what the walk back needs by itself

__all__ = ["BY_NAME", "OPS", "ROLES", "activations", "elementwise", "pointwise_losses", "reductions"]
