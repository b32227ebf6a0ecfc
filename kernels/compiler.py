"""From LLVM IR or a Python function to the address of native code, through the disk cache.

Kernels that are loops around a formula are written as LLVM IR by `kernels.stage` and handed to Numba's code
generator directly: a kernel costs about 10 ms instead of the 100 to 500 ms of a trip through type inference.
Kernels that are ordinary scalar code (sorting, gathering) are Python functions that Numba compiles whole.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from . import cache

if TYPE_CHECKING:
    from llvmlite import ir

_loaded: dict[str, Any] = {}  # addresses and compile results by name
_names: dict[int, str] = {}  # names by address
OF_PYTHON = ("PyErr_", "NRT_", "numba_")  # of exceptions, and of what only a process with Numba has
_compiled = 0  # modules that this process has turned into machine code
INLINING = 50  # for the engine: beyond small functions it makes it no faster, only larger, and ready later


@functools.cache
def codegen() -> Any:
    """Numba's code generator for this CPU: it knows the target and holds its machine."""
    from numba.core.registry import cpu_target

    return cpu_target.target_context.codegen()


@functools.cache
def _engine() -> Any:
    """The JIT linker that holds our kernels."""
    from llvmlite import binding

    empty = binding.parse_assembly("")
    return binding.create_mcjit_compiler(empty, codegen()._tm)


def _object_code(module: ir.Module, light: bool, vectorize: bool) -> bytes:
    from llvmlite import binding

    parsed = binding.parse_assembly(str(module))
    parsed.verify()
    code = _machine_code(parsed, light, vectorize)
    # a kernel runs without Python's lock, and another process does not find Numba's functions: it would jump to nowhere
    needed = [f.name for f in parsed.functions if f.is_declaration and f.name.startswith(OF_PYTHON)]
    if needed:
        raise ValueError(
            f"a kernel must neither raise nor allocate, but this one calls {needed[0]}: mind divisions by what may be "
            "zero, range() with a step that is not constant, and new arrays"
        )
    return code


def _machine_code(
    parsed: Any, light: bool = False, vectorize: bool = False, inlining: int | None = None
) -> bytes:
    """Optimise a module and emit it.

    Vector loops are explicit, so no pass has to look for them unless `vectorize` is set. A loop around a
    formula is staged as it should run: `light` only puts values into registers, in a third of the time.
    `inlining` is the cost up to which functions are written out where they are called; Python kernels need LLVM's
    own limit, below which what Numba has for exceptions that they never raise does not go away.
    """
    from llvmlite import binding

    global _compiled
    _compiled += 1
    machine = codegen()._tm
    options = binding.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = options.slp_vectorization = vectorize
    options.loop_unrolling = options.loop_interleaving = vectorize
    if inlining is not None:
        options.inlining_threshold = inlining
    builder = binding.create_pass_builder(machine, options)
    if light:
        passes = binding.create_new_module_pass_manager()
        passes.add_always_inliner_pass()
        passes.add_sroa_pass()
    else:
        passes = builder.getModulePassManager()
    passes.run(parsed, builder)
    return machine.emit_object(parsed)


def compiled() -> int:
    """How many modules this process has compiled, and not found in the cache."""
    return _compiled


def native(
    name: str,
    build: Callable[[], ir.Module],
    light: bool = False,
    cached: bool = True,
    vectorize: bool = False,
) -> int:
    """The address of the function `name` in the module that `build` writes.

    The module is built and compiled only when the disk cache does not have it. Without `cached` the disk is left
    alone: the name does not say all that the code depends on.
    """
    made = _loaded.get(name)
    if made is not None:
        return made

    from llvmlite import binding
    from numba.core.compiler_lock import global_compiler_lock

    from .subnormal import gradual

    with global_compiler_lock:
        if name not in _loaded:
            code = cache.load(name) if cached else None
            if code is None:
                with gradual(), _collecting_later():
                    code = _object_code(build(), light, vectorize)
                if cached:
                    cache.save(name, code)
            _engine().add_object_file(binding.ObjectFileRef.from_data(code))
            _engine().finalize_object()
            _loaded[name] = _engine().get_function_address(name)
        return _loaded[name]


def name_of(address: int) -> str:
    """The name of the kernel at an address."""
    if address not in _names:
        # a copy: another thread may load a kernel meanwhile
        _names.update({at: name for name, at in [*_loaded.items()] if isinstance(at, int)})
    return _names[address]


def symbol(name: str, build: Callable[[], ir.Module], light: bool = False) -> None:
    """Make the function `name` callable by that name from other kernels; `light` as in `native`."""
    from llvmlite import binding

    binding.add_symbol(name, native(name, build, light))


def beside(name: str) -> int:
    """The address of a function that stands beside one that is loaded; other kernels may call it by its name then."""
    made = _loaded.get(name)
    if made is not None:
        return made

    from llvmlite import binding
    from numba.core.compiler_lock import global_compiler_lock

    with global_compiler_lock:
        address = _engine().get_function_address(name)
        binding.add_symbol(name, address)
        _loaded[name] = address
    return address


def entry_points(
    name: str,
    functions: Callable[[], dict[str, tuple[Any, Any, Any, int]]],
    context: int,
    handle_type: type,
) -> dict[str, tuple[Callable, int]]:
    """Compile Numba dispatchers together; returns what Python calls, by name, each with its note.

    For each, `functions` gives the dispatcher, its signature, what the wrapper converts, and a note that the cache
    keeps. `context` and `handle_type` are what wrappers with handles use.

    Numba types and lowers them one by one, but they are linked, optimised and turned into machine code as
    one module: left to itself Numba would do that for every helper, and again for everything that calls it.
    Python reaches them through wrappers of our own (`kernels.wrapper`).
    """
    from llvmlite import binding
    from numba.core.compiler_lock import global_compiler_lock

    from .wrapper import builtin, connect

    with global_compiler_lock:
        if name in _loaded:
            return _loaded[name]
        state = cache.load(name)
        if state is None:
            with _collecting_later():
                state = _link(functions())
            cache.save(name, state)
        code, symbols = state
        _engine().add_object_file(binding.ObjectFileRef.from_data(code))
        _engine().finalize_object()
        connect(_engine().get_global_value_address, context, handle_type)
        _loaded[name] = {
            key: (builtin(key, _engine().get_function_address(symbol)), note)
            for key, (symbol, note) in symbols.items()
        }
        return _loaded[name]


def _link(functions: dict[str, tuple[Any, Any, Any, int]]) -> tuple[bytes, dict[str, tuple[str, int]]]:
    """One object file for all the functions, and of each the symbol of its Python wrapper and its note."""
    from llvmlite import binding

    from .lean import remembered
    from .wrapper import write_wrapper

    results = {}
    with _parts_only(), remembered():
        for key, (dispatcher, signature, *_) in functions.items():
            dispatcher.compile(signature)
            results[key] = dispatcher.overloads[signature.args]
    whole = binding.parse_assembly("")
    seen: set[int] = set()
    symbols = {}
    for key, result in results.items():
        _link_library(whole, result.library, seen)
        _, _, kinds, note = functions[key]
        symbols[key] = f"jg_python.{key}", note
        module = write_wrapper(symbols[key][0], result.fndesc.llvm_func_name, kinds)
        whole.link_in(binding.parse_assembly(str(module)))
    whole.verify()
    exported = {symbol for symbol, _ in symbols.values()}
    for function in whole.functions:
        if not function.is_declaration and function.name not in exported:
            function.linkage = "internal"
    return _machine_code(whole, inlining=INLINING), symbols


def _link_library(whole: Any, library: Any, seen: set[int]) -> None:
    from llvmlite import binding

    if id(library) in seen:
        return
    seen.add(id(library))
    for other in library._linking_libraries:
        _link_library(whole, other, seen)
    if not hasattr(library, "texts"):  # Numba's own, from before
        whole.link_in(library._final_module, preserve=True)
        return
    for text in library.texts:
        whole.link_in(binding.parse_assembly(text))


@contextlib.contextmanager
def _collecting_later() -> Iterator[None]:
    """Leave garbage alone while code is made: each collection would look through all that Numba and LLVM keep."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextlib.contextmanager
def _parts_only() -> Iterator[None]:
    """Make Numba's libraries plain containers of IR: neither parsed, nor optimised, nor loaded.

    Numba keeps what it has compiled of its own functions, such as ``min`` of two integers. When it compiles a
    user's function that calls them, it asks for their modules.
    """
    from llvmlite import binding
    from numba.core.cgutils import normalize_ir_text
    from numba.core.codegen import CodeLibrary

    target = codegen()
    before, set_env = target._library_class, target.set_env

    class Part(before):
        _shared_module = None

        def __init__(self, codegen: Any, name: str) -> None:
            CodeLibrary.__init__(self, codegen, name)  # not that of `before`, which makes a module
            self._linking_libraries: list[Any] = []
            self.texts: list[str] = []

        @functools.cached_property
        def _final_module(self) -> Any:
            module = binding.parse_assembly("")
            for text in self.texts:
                module.link_in(binding.parse_assembly(text))
            return module

        def add_ir_module(self, ir_module: Any) -> None:
            self.texts.append(normalize_ir_text(str(ir_module)))

        def finalize(self) -> None:
            self._finalized = True

        def get_pointer_to_function(self, name: str) -> int:
            return 0

    target._library_class, target.set_env = Part, lambda name, env: None
    try:
        yield
    finally:
        target._library_class, target.set_env = before, set_env


def kernel(name: str, build: Callable[[], Any], cached: bool = True, vectorize: bool = False) -> int:
    """The address of an array kernel, whose `build` returns an LLVM module or a Python function.

    A Python function takes the record's address, part and parts; Numba compiles it.
    """

    def module() -> Any:
        built = build()
        return _python_module(name, built) if callable(built) else built

    return native(name, module, False, cached, vectorize)


def _python_module(name: str, python: Callable) -> Any:
    """The module of a kernel written in Python, with all it calls, in which only `name` can be seen.

    Numba's own names for functions are unique within a process only: two cached kernels may carry the same
    name for different helpers, and one would call the other's.
    """
    from llvmlite import binding
    from numba import cfunc

    from .lean import Pipeline, remembered

    with _parts_only(), remembered():
        compiled = cfunc("void(int64, int64, int64)", error_model="numpy", pipeline_class=Pipeline)(python)
    whole = binding.parse_assembly("")
    _link_library(whole, compiled._library, set())
    for function in whole.functions:
        if not function.is_declaration:
            if function.name == compiled._wrapper_name:
                function.name = name
            else:
                function.linkage = "internal"
    return _without_counts(whole)


def _without_counts(module: Any) -> Any:
    """The module with Numba's counting of references as empty functions, if there is any.

    A kernel's arrays are views of the engine's memory, so there is nothing to count; and another process,
    which only loads the kernel, does not have Numba's run-time system that the functions would call.
    """
    from llvmlite import binding

    if not any(f.name == "NRT_decref" for f in module.functions):
        return module
    text = str(module)
    if "@NRT_MemInfo_alloc" in text or "@NRT_Allocate" in text:
        raise MemoryError
    counted = r"^define [^\n]*@(NRT_incref|NRT_decref)\((.*?)\)[^\n]*\{.*?^\}"
    empty = r"define internal void @\1(i8* %0) alwaysinline {\n  ret void\n}"
    return binding.parse_assembly(re.sub(counted, empty, text, flags=re.DOTALL | re.MULTILINE))
