"""`graph`: the tape behind a tensor as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .._tensor import Tensor
from . import dot, page, svg
from .model import Model, read


class Graph:
    """A picture of the rows behind a tensor, as they were when it was made.

    In a notebook it shows itself.

    Attributes
    ----------
    source : str
        The graph in Graphviz's DOT language.
    """

    def __init__(self, picture: Model) -> None:
        self.model = picture
        self.source = dot.render(picture)

    def svg(self) -> str:
        """The picture as SVG, drawn without Graphviz."""
        return svg.render(self.model)

    def html(self) -> str:
        """A page of its own that walks through the forward and the backward pass, row by row."""
        return page.render(self.model)

    def save(self, path: str | Path) -> Path:
        """Write the picture in the form that the file's ending names.

        Parameters
        ----------
        path : str or Path
            ``.dot`` or ``.gv``, ``.svg``, ``.html``; any other ending (``.png``, ``.pdf``) is left to Graphviz.

        Returns
        -------
        Path
            The file.
        """
        path = Path(path)
        writers = {
            ".dot": lambda: self.source,
            ".gv": lambda: self.source,
            ".svg": self.svg,
            ".html": self.html,
        }
        if path.suffix not in writers:
            if not path.suffix:
                raise ValueError(
                    f"viz: {path} has no ending; choose .svg, .html, .dot or one that Graphviz knows"
                )
            path.write_bytes(self._graphviz().pipe(format=path.suffix[1:]))
            return path
        path.write_text(writers[path.suffix](), encoding="utf-8")
        return path

    def render(self, filename: str | Path = "tape", format: str = "svg", **options: Any) -> str:
        """Draw with Graphviz where it is installed, as torchviz does; SVG and HTML need no Graphviz.

        Parameters
        ----------
        filename : str or Path
            Without the ending.
        format : str
            ``svg``, ``html``, or what Graphviz knows: ``png``, ``pdf``, ...

        Returns
        -------
        str
            The name of the file.
        """
        del options  # cleanup, view and so on mean nothing here
        return str(self.save(f"{filename}.{format}"))

    def _graphviz(self) -> Any:
        try:
            import graphviz  # pyright: ignore[reportMissingImports]
        except ImportError:
            raise ImportError(
                "viz: this needs the graphviz package and Graphviz itself: pip install "
                "'jitgrad[viz]', and install "
                "Graphviz (apt install graphviz, brew install graphviz); .svg and .html need neither"
            ) from None
        return graphviz.Source(self.source)

    def _repr_svg_(self) -> str:
        return self.svg()

    def __str__(self) -> str:
        return self.source

    def __repr__(self) -> str:
        return f"<graph of {self.model.title}>"


def graph(
    tensor: Tensor,
    params: Mapping[str, Tensor] | None = None,
    *,
    values: bool = True,
    gradients: bool = True,
) -> Graph:
    """A picture of the rows behind a tensor: operations, shapes, values, gradients.

    Parameters
    ----------
    tensor : Tensor
        Where to start, for example a loss before ``backward()``, which frees the rows.
    params : mapping of str to Tensor, optional
        Names for leaves, for example ``dict(model.named_parameters())``. A parameter in it that asks for
        no gradient is drawn as frozen.
    values : bool
        Tell of values, where something still holds them.
    gradients : bool
        Compute the derivative of the tensor (of its sum) by every value, without touching any ``.grad``.

    Returns
    -------
    Graph
        ``save("x.svg")``, ``save("x.html")``, ``svg()``, ``html()``, ``source`` (DOT).

    Raises
    ------
    TypeError
        If `tensor` is not a tensor, or `params` no mapping to tensors.
    """
    if not isinstance(tensor, Tensor):
        raise TypeError(f"viz.graph: expected a Tensor, got {type(tensor).__name__}")
    if params is not None and not (
        isinstance(params, Mapping) and all(isinstance(t, Tensor) for t in params.values())
    ):
        raise TypeError("viz.graph: params must map names to tensors: dict(model.named_parameters())")
    return Graph(read(tensor, params, values, gradients))


def make_dot(
    var: Tensor,
    params: Mapping[str, Tensor] | None = None,
    show_attrs: bool = False,
    show_saved: bool = False,
    max_attr_chars: int = 50,
) -> Graph:
    """`graph` under the name and with the arguments of torchviz; attributes are always shown."""
    del show_attrs, show_saved, max_attr_chars
    return graph(var, params)
