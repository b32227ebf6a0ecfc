"""Expressions (see `kernels.symbolic`) as text: formulas that Python compiles."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from .symbolic import Expr, walk

# operator -> (sign, strength); a weaker one inside a stronger one is put in parentheses
OPERATORS = {
    "add": ("+", 4), "sub": ("-", 4), "mul": ("*", 5), "div": ("/", 5), "neg": ("-", 6),
    "lt": ("<", 1), "le": ("<=", 1), "gt": (">", 1), "ge": (">=", 1), "eq": ("==", 1), "ne": ("!=", 1),
    "or": ("|", 2), "and": ("&", 3), "not": ("~", 6),
}  # fmt: skip


class Printer:
    """Writes expressions as Python; what is used more than once gets a name."""

    def __init__(self, roots: Sequence[Expr], replaced: dict[int, str] | None = None) -> None:
        self._names = dict(replaced or {})
        self._reference = "0.0"
        self._uses: dict[int, int] = {}
        self.order = walk(roots, self._names)
        for e in self.order:
            for a in e.args:
                self._uses[id(a)] = self._uses.get(id(a), 0) + 1

    def names_read(self) -> set[str]:
        """Parameters that occur."""
        own = {e.value for e in self.order if e.kind == "param"}
        return own | {self._names[id(e)] for e in self.order if id(e) in self._names}

    def body(self, root: Expr, reference: str) -> list[str]:
        """The lines of a function that returns `root`; `reference` names a value whose dtype numbers take."""
        self._reference = reference
        lines = []
        for e in self.order:
            shared = self._uses.get(id(e), 0) > 1 and e.args and id(e) not in self._names
            if shared and e is not root:
                text = self.inline(e)
                self._names[id(e)] = f"t{len(lines) + 1}"
                lines.append(f"{self._names[id(e)]} = {text}")
        if root.kind == "const":
            lines.append(f"return like({reference}, {_number(root.value)})")
        elif root.kind == "param":
            lines.append(f"return like({root.value}, {root.value})")
        else:
            lines.append(f"return {self.inline(root)}")
        return lines

    def inline(self, e: Expr, strength: int = 0) -> str:
        """One expression, in parentheses when it binds less than `strength`."""
        if id(e) in self._names:
            return self._names[id(e)]
        if e.kind == "param":
            return e.value
        if e.kind == "const":
            text = _number(e.value)
            return f"({text})" if text.startswith("-") and strength > 4 else text
        if e.kind in OPERATORS:
            sign, own = OPERATORS[e.kind]
            if len(e.args) == 1:
                text = sign + self.inline(e.args[0], own)
            else:
                inner = 4 if own == 1 else own  # comparisons do not associate
                left, right = (self._operand(e, k, inner + (k if own != 1 else 0)) for k in (0, 1))
                text = f"{left} {sign} {right}"
            return f"({text})" if own < strength else text
        return f"{e.kind}({', '.join(self._argument(e, k) for k in range(len(e.args)))})"

    def _operand(self, e: Expr, k: int, strength: int) -> str:
        if e.args[0].kind == e.args[1].kind == "const" and k == 0:
            return f"like({self._reference}, {_number(e.args[0].value)})"
        return self.inline(e.args[k], strength)

    def _argument(self, e: Expr, k: int) -> str:
        """An argument of a function; numbers take the dtype of a value beside them."""
        a = e.args[k]
        if a.kind != "const" or id(a) in self._names or e.kind == "like":
            return self.inline(a)
        if e.kind == "where" and any(x.kind != "const" for x in e.args[1:]):
            return self.inline(a)
        return f"like({self._reference}, {_number(a.value)})"


def _number(value: float) -> str:
    if math.isinf(value) or math.isnan(value):
        return f"{'-' if value < 0 else ''}{'nan' if math.isnan(value) else 'inf'}"
    return repr(value)


def source(
    name: str,
    names: Sequence[str],
    root: Expr,
    replaced: dict[int, str] | None = None,
    reference: str = "g",
    every: bool = False,
) -> str:
    """A Python function that computes `root`.

    Parameters
    ----------
    names : sequence of str
        Its parameters, in order; unless `every` is set only those that `root` reads, and `reference`.
    replaced : dict, optional
        Names for expressions that are known already, by their id.
    reference : str
        The parameter whose dtype numbers take.
    """
    printer = Printer([root], replaced)
    read = printer.names_read()
    lines = printer.body(root, reference)
    read |= {reference} if f"like({reference}, " in "".join(lines) else set()
    parameters = [n for n in names if every or n in read]
    return f"def {name}({', '.join(parameters)}):\n" + "".join(f"    {line}\n" for line in lines)


def function(text: str) -> Callable:
    """The function of a printed formula."""
    scope = known_names()
    name = text[4 : text.index("(")]
    shadowed = scope.get(name)
    exec(compile(text, f"<formula {name}>", "exec"), scope)
    made = scope.pop(name)
    if shadowed is not None:
        scope[name] = shadowed  # an operation may be called as a function that it uses
    return made


def known_names() -> dict[str, Any]:
    """What printed formulas may refer to."""
    from . import formula

    return {k: v for k, v in vars(formula).items() if callable(v)} | {"inf": math.inf, "nan": math.nan}


def is_taken(name: str) -> bool:
    """Whether a parameter of that name would be mistaken for something else in a printed formula."""
    return name in known_names() or (name[:1] == "t" and name[1:].isdigit())
