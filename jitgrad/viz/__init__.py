"""Pictures of the tape: DOT, SVG, and a page that walks through the forward and the backward pass.

>>> jitgrad.viz.graph(loss, params=dict(model.named_parameters())).save("loss.html")   # doctest: +SKIP
"""

from .graph import Graph, graph, make_dot

__all__ = ["Graph", "graph", "make_dot"]
