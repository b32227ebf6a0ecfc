"""Reading a pickle without running anything from it.

A pickle is a program for a small stack machine. This one has the instructions that PyTorch's ``torch.save`` needs,
and calls nothing but the makers in `rebuild.GLOBALS`: whatever else a file names is refused by its name.
"""

from __future__ import annotations

import struct
from collections import Counter, OrderedDict
from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any, BinaryIO

from .rebuild import GLOBALS, PLAIN_KEYS, Maker

PROTOCOLS = range(2, 6)
_MARK = object()


class Unpickler:
    """One pass over a pickle.

    Parameters
    ----------
    file : binary file
        Where the pickle begins; it is read up to the pickle's end and no further.
    storage : callable
        Makes a storage of the tuple by which the pickle names it.
    """

    def __init__(self, file: BinaryIO, storage: Callable[[tuple], Any]) -> None:
        self._file = file
        self._storage = storage
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def load(self) -> Any:
        """Read the object.

        Raises
        ------
        pickle.UnpicklingError
            When the pickle names something else than tensors and plain containers, or is damaged.
        """
        try:
            while True:
                code = self._read(1)
                if code == b".":
                    return self._stack.pop()
                step = _STEPS.get(code)
                if step is None:
                    raise UnpicklingError(f"load: the pickle has an unsupported instruction {code!r}")
                step(self)
        except (IndexError, KeyError, RecursionError, struct.error, UnicodeDecodeError) as error:
            raise UnpicklingError(
                f"load: the file's pickle is damaged ({type(error).__name__}: {error})"
            ) from None

    # reading and the stack --------------------------------------------------------------------------

    def _read(self, count: int) -> bytes:
        data = self._file.read(count)
        if len(data) < count:
            raise UnpicklingError(f"load: the pickle ends early: {count} bytes expected, {len(data)} left")
        return data

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._read(struct.calcsize(form)))[0]

    def _line(self) -> str:
        line = self._file.readline()
        if not line.endswith(b"\n"):
            raise UnpicklingError("load: the pickle ends early within a name")
        return line[:-1].decode()

    def _above_mark(self) -> list[Any]:
        stack = self._stack
        at = len(stack) - 1
        while stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise UnpicklingError("load: the file's pickle is damaged (a mark is missing)")
        items = stack[at + 1 :]
        del stack[at:]
        return items

    def _target(self, *kinds: type) -> Any:
        found = self._stack[-1]
        if type(found) not in kinds:
            names = " or ".join(kind.__name__ for kind in kinds)
            raise UnpicklingError(f"load: the pickle fills a {type(found).__name__} where a {names} must be")
        return found

    # instructions -----------------------------------------------------------------------------------

    def _protocol(self) -> None:
        protocol = self._read(1)[0]
        if protocol not in PROTOCOLS:
            raise UnpicklingError(f"load: unsupported pickle protocol {protocol}, expected 2 to 5")

    def _global(self) -> None:
        self._find(self._line(), self._line())

    def _stack_global(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._find(module, name)

    def _find(self, module: Any, name: Any) -> None:
        name = f"{module}.{name}".replace("__builtin__.", "builtins.")
        if name not in GLOBALS:
            raise UnpicklingError(
                f"load: unsupported global: the file asks for {name}, which is neither a tensor nor a plain "
                "container, so it is refused, whatever add_safe_globals was told; save tensors and state_dicts only"
            )
        self._stack.append(GLOBALS[name])

    def _reduce(self) -> None:
        arguments = self._stack.pop()
        maker = self._stack.pop()
        if not isinstance(maker, Maker):
            raise UnpicklingError(f"load: the pickle calls a {type(maker).__name__}, which is refused")
        if type(arguments) is not tuple:
            raise UnpicklingError(f"load: {maker.name} is called with a {type(arguments).__name__}")
        self._stack.append(maker(*arguments))

    def _build(self) -> None:
        state = self._stack.pop()
        target = self._target(OrderedDict)
        if type(state) is not dict or any(type(name) is not str for name in state):
            raise UnpicklingError("load: the attributes of an OrderedDict must be a dict with names as keys")
        if set(state) - {"_metadata"}:
            raise UnpicklingError(f"load: unsupported attributes of an OrderedDict: {', '.join(state)}")
        target.__dict__.update(state)

    def _persistent(self) -> None:
        name = self._stack.pop()
        if type(name) is not tuple or not name or name[0] != "storage":
            raise UnpicklingError(f"load: only storages are kept outside the pickle, not {name!r:.80}")
        self._stack.append(self._storage(name))

    def _append(self) -> None:
        item = self._stack.pop()
        self._target(list).append(item)

    def _extend(self) -> None:
        items = self._above_mark()
        self._target(list).extend(items)

    def _set_item(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._target(dict, OrderedDict, Counter)[_checked_key(key)] = value

    def _set_items(self) -> None:
        items = self._above_mark()
        target = self._target(dict, OrderedDict, Counter)
        for at in range(0, len(items), 2):
            target[_checked_key(items[at])] = items[at + 1]

    def _add_items(self) -> None:
        items = self._above_mark()
        self._target(set).update(map(_checked_key, items))

    def _mark(self) -> None:
        self._stack.append(_MARK)

    def _tuple(self) -> None:
        self._stack.append(tuple(self._above_mark()))

    def _short_tuple(self, count: int) -> None:
        if len(self._stack) < count:
            raise IndexError("the stack is empty")
        items = tuple(self._stack[-count:])
        del self._stack[-count:]
        self._stack.append(items)

    def _put(self, form: str) -> None:
        self._memo[self._number(form)] = self._stack[-1]

    def _memoize(self) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def _get(self, form: str) -> None:
        self._stack.append(self._memo[self._number(form)])

    def _value(self, form: str) -> None:
        self._stack.append(self._number(form))

    def _text(self, form: str) -> None:
        self._stack.append(self._read(self._number(form)).decode("utf-8", "surrogatepass"))

    def _bytes(self, form: str) -> None:
        self._stack.append(self._read(self._number(form)))

    def _long(self) -> None:
        self._stack.append(int.from_bytes(self._read(self._read(1)[0]), "little", signed=True))

    def _fresh(self, make: Callable[[], Any]) -> None:
        self._stack.append(make())

    def _frame(self) -> None:
        self._number("<Q")  # the length of what follows, which a file that is all in memory does not need


def _checked_key(key: Any) -> Any:
    """A key whose hash can be had without deep recursion."""
    plain = all(type(part) in PLAIN_KEYS for part in (key if type(key) is tuple else (key,)))
    if not plain:
        raise UnpicklingError(f"load: unsupported key of type {type(key).__name__} in a dict or set")
    return key


def _with(step: Callable, argument: Any) -> Callable[[Unpickler], None]:
    return lambda unpickler: step(unpickler, argument)


_STEPS: dict[bytes, Callable[[Unpickler], None]] = {
    b"\x80": Unpickler._protocol,
    b"\x95": Unpickler._frame,
    b"c": Unpickler._global,
    b"\x93": Unpickler._stack_global,
    b"R": Unpickler._reduce,
    b"b": Unpickler._build,
    b"Q": Unpickler._persistent,
    b"a": Unpickler._append,
    b"e": Unpickler._extend,
    b"s": Unpickler._set_item,
    b"u": Unpickler._set_items,
    b"\x90": Unpickler._add_items,
    b"(": Unpickler._mark,
    b"t": Unpickler._tuple,
    b"\x85": _with(Unpickler._short_tuple, 1),
    b"\x86": _with(Unpickler._short_tuple, 2),
    b"\x87": _with(Unpickler._short_tuple, 3),
    b"q": _with(Unpickler._put, "<B"),
    b"r": _with(Unpickler._put, "<I"),
    b"\x94": Unpickler._memoize,
    b"h": _with(Unpickler._get, "<B"),
    b"j": _with(Unpickler._get, "<I"),
    b"J": _with(Unpickler._value, "<i"),
    b"K": _with(Unpickler._value, "<B"),
    b"M": _with(Unpickler._value, "<H"),
    b"G": _with(Unpickler._value, ">d"),
    b"\x8a": Unpickler._long,
    b"X": _with(Unpickler._text, "<I"),
    b"\x8c": _with(Unpickler._text, "<B"),
    b"U": _with(Unpickler._text, "<B"),  # Python 2's str
    b"T": _with(Unpickler._text, "<I"),
    b"C": _with(Unpickler._bytes, "<B"),
    b"B": _with(Unpickler._bytes, "<I"),
    b"N": _with(Unpickler._fresh, lambda: None),
    b"\x88": _with(Unpickler._fresh, lambda: True),
    b"\x89": _with(Unpickler._fresh, lambda: False),
    b")": _with(Unpickler._fresh, tuple),
    b"]": _with(Unpickler._fresh, list),
    b"}": _with(Unpickler._fresh, dict),
    b"\x8f": _with(Unpickler._fresh, set),
}
