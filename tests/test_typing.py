"""What type checkers see of the package: its names count as public, and Tensor's operators are declared."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import jitgrad as torch
from jitgrad import operator_types

TREE = ast.parse(Path(torch.__file__).read_text(encoding="utf-8"))


def imports(tree):
    told = [node for branch in tree.body if isinstance(branch, ast.If) for node in branch.body]
    for node in (*tree.body, *told):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.module, name) for name in node.names)


def test_names_of_the_package_are_imported_as_themselves():
    # a checker takes `from .x import y` in a package with py.typed for private, `y as y` for public
    private = [name.name for module, name in imports(TREE) if module and name.name != "*" and not name.asname]
    assert sorted(set(private)) == ["TYPE_CHECKING"]


def test_modules_that_come_in_later_are_told_to_checkers():
    told = {name.asname for _, name in imports(TREE)}
    modules = {name for name, module in torch._LATER.items() if name == module}
    assert modules | {"linalg", "special", "random"} <= told


def test_every_operator_of_a_tensor_is_declared():
    attached = {
        name
        for name in vars(torch.Tensor)
        if name.startswith("__") and inspect.isfunction(vars(torch.Tensor)[name]) and hasattr(int, name)
    }
    declared = set(vars(operator_types.Operators)) | set(operators_in_source())
    assert attached - declared <= {"__init__", "__getattr__"}
    assert all(hasattr(torch.Tensor, name) for name in operators_in_source())


def operators_in_source():
    tree = ast.parse(inspect.getsource(operator_types))
    return [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def test_declarations_leave_the_class_as_it_is():
    assert operator_types.Operators not in torch.Tensor.__mro__
