"""What a function's code may look up: the names in it."""

from __future__ import annotations

import builtins
import dis
import functools
import re
import sys
import types
from collections.abc import Iterator
from typing import Any

_IDENTITIES = frozenset({"id", "data_ptr", "storage_offset"})  # what tells one object, or memory, from others
_BY_NAME = {"getattr", "hasattr"}  # which code may call with a name that it contains, and mostly does
# code with one of these names may read attributes whose names it does not contain
COMPUTED = {"attrgetter", "eval", "exec", "vars", "__dict__", "__getattribute__", *_BY_NAME}
# by which code looks at what functions are made of, and may never call
INSPECTED = frozenset(("__closure__", "cell_contents", "__globals__", "__code__", "__builtins__"))
_OF_GLOBALS = {"LOAD_GLOBAL", "LOAD_NAME"}
_COMPUTES_NAMES = {"eval", "exec", "globals"}
_IMPORTS_BY_NAME = {"import_module", "__import__", "modules"}  # the last in `sys.modules`
EVERYTHING = "*"  # in place of a name
_NO_STEPS = {"CACHE", "NOP", "PRECALL", "PUSH_NULL"}
_OF_THE_LAST = {"LOAD_ATTR", "LOAD_METHOD"}
SHOWS = "{}"  # in place of a name, for code that may turn any object into a string
# of f-strings, by all names that CPython has had for it
_FORMATS = {
    dis.opmap.get(n, -1) for n in ("FORMAT_VALUE", "FORMAT_SIMPLE", "FORMAT_WITH_SPEC", "CONVERT_VALUE")
}
_SHOWN = re.compile(r"\{.*\}|%[\w().-]*[sra]")  # a string with places for others
_FORMATTED = re.compile(r"(?<=\.)[^\W\d]\w*(?=[^{}]*\})")  # attributes in the fields of a format


@functools.cache
def words_of(code: types.CodeType) -> frozenset[str]:
    """The names and short strings in a function's code, and in that of functions within it."""
    found = set(code.co_names)
    if not _FORMATS.isdisjoint(code.co_code[::2]):
        found.add(SHOWS)
    if not found.isdisjoint(_BY_NAME) and _names_are_constant(code):
        found -= _BY_NAME
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= words_of(constant)
        else:
            found |= _words_in(constant)
    return frozenset(found)


def _words_in(constant: Any) -> set[str]:
    """The names in a constant: a short string, a tuple of such as in patterns, or ``"{0.name}"`` for `format`."""
    if isinstance(constant, tuple):
        return {name for item in constant for name in _words_in(item)}
    if not isinstance(constant, str):
        return set()
    if constant.isidentifier():
        return {constant}
    return {SHOWS, *_FORMATTED.findall(constant)} if _SHOWN.search(constant) else set()


@functools.cache
def globals_of(code: types.CodeType) -> frozenset[str]:
    """The globals that a function reads by name, and functions within it; attributes have names of their own.

    With EVERYTHING among them where code computes names.
    """
    steps = (i for part in _parts(code) for i in dis.get_instructions(part))
    found = frozenset(i.argval for i in steps if i.opname in _OF_GLOBALS)
    return found if found.isdisjoint(_COMPUTES_NAMES) else found | {EVERYTHING}


def _parts(code: types.CodeType) -> Iterator[types.CodeType]:
    """A function's code, and that of functions within it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _parts(constant)


def read_from(namespace: dict[str, Any], code: types.CodeType) -> list[str]:
    """The names in a namespace that a function's code reads there."""
    names = globals_of(code)
    return sorted(n for n in (namespace if EVERYTHING in names else names) if n in namespace)


def unbound_in(namespace: dict[str, Any], code: types.CodeType) -> list[str]:
    """The globals that a function's code reads and that are not there: it expects that they may come."""
    names = globals_of(code) - {EVERYTHING}
    return sorted(n for n in names if n not in namespace and not hasattr(builtins, n))


@functools.cache
def compares_identity(code: types.CodeType) -> bool:
    """Whether a function asks if something is a certain object, or memory, but for None and other constants."""
    if not _IDENTITIES.isdisjoint(words_of(code)):
        return True
    for part in _parts(code):
        before = ""
        for step in dis.get_instructions(part):
            if step.opname == "IS_OP" and before != "LOAD_CONST":
                return True
            before = step.opname
    return False


def expected_in(namespace: dict[str, Any], code: types.CodeType) -> list[str]:
    """The globals that a function's code reads and that hardly ever change, and builtins that it does not find there.

    A global that comes later would be found before the builtin.
    """
    bound = [n for n in read_from(namespace, code) if is_expected(namespace[n])]
    return bound + [n for n in globals_of(code) if n not in namespace and hasattr(builtins, n)]


def is_expected(value: Any) -> bool:
    """Whether what a global name means hardly ever changes: a module, a function or a class."""
    return isinstance(value, types.ModuleType | types.FunctionType | type)


def imported_by(function: types.FunctionType) -> list[types.ModuleType]:
    """The modules that a function imports while it runs, as far as they have been imported before."""
    package = function.__globals__.get("__package__") or ""
    names = [name for given in _imports(function.__code__) for name in (given, f"{package}.{given}", package)]
    if "__name__" in names:
        names.append(function.__globals__.get("__name__"))
    return [sys.modules[name] for name in names if name in sys.modules]


@functools.cache
def _imports(code: types.CodeType) -> tuple[str, ...]:
    """The names of modules in import statements of a function, and of functions within it.

    With all short strings of code that imports by computed names or looks modules up, and ``"__name__"`` if it
    uses that.
    """
    found: list[str] = []
    for part in _parts(code):
        found += [i.argval for i in dis.get_instructions(part) if i.opname == "IMPORT_NAME"]
        if not _IMPORTS_BY_NAME.isdisjoint(part.co_names):
            found += [x for x in part.co_consts if isinstance(x, str)]
            found += {"__name__"}.intersection(part.co_names)
    return tuple(found)


def _names_are_constant(code: types.CodeType) -> bool:
    """Whether every call of `_BY_NAME` in a function is like ``getattr(some.thing, "name", other)``."""
    steps = [i for i in dis.get_instructions(code) if i.opname not in _NO_STEPS]
    return all(
        _takes_a_constant_name(iter(steps[k + 1 :]))
        for k, step in enumerate(steps)
        if step.argval in _BY_NAME and step.opname.startswith("LOAD_")
    )


def _takes_a_constant_name(steps: Iterator[dis.Instruction]) -> bool:
    """Whether what follows is a thing, a name as a constant, perhaps another thing, and the call."""
    thing = next(steps, None)
    if thing is None or not (thing.opname.startswith("LOAD_") and isinstance(thing.argval, str)):
        return False
    name = next((i for i in steps if i.opname not in _OF_THE_LAST), thing)
    if name.opname != "LOAD_CONST" or not isinstance(name.argval, str):
        return False
    rest = [i.opname for i, _ in zip(steps, range(2), strict=False)]
    if rest[:1] == ["CALL"]:
        return True
    return rest[1:] == ["CALL"] and rest[0].startswith("LOAD_") and rest[0] not in _OF_THE_LAST
