"""Steps whose code reads Python's state in many ways, as source to run in a namespace of its own."""

from __future__ import annotations

import _thread
import concurrent.futures
import functools
import inspect
import queue
import sys
import threading
import types

import jitgrad as torch


def scene(source):
    """A new namespace in which `source` was run, with two boxes of state."""
    space = types.ModuleType("much_code").__dict__
    known = (torch, functools, inspect, sys, threading, _thread, queue)
    space |= {module.__name__.removeprefix("jitgrad") or "torch": module for module in known}
    space["futures"] = concurrent.futures
    space |= {"A": [1.0], "B": [1.0], "way": ["left"]}
    exec(source, space)
    return space


# a step that walks back through a compiled function, by a hook
WALK = """
w = torch.ones(2, requires_grad=True)
def part(x):
    y = x * w
    y.register_hook(hook)
    return y
inner = torch.compile(part)
def step(x):
    w.grad = None
    inner(x).sum().backward()
    return w.grad.clone()
plain = ("inner",)
"""

STEPS = {
    "list": "def step(x): return x * A[0]",
    "code behind a decorator": "@torch.no_grad()\ndef scaled(x): return x * A[0]\ndef step(x): return scaled(x)",
    "the other of two ways": """
def left(x): return x * A[0]
def right(x): return x * B[0] * 3
def step(x): return globals()[way[0]](x)
""",
    "a way that has been taken before": """
def left(x): return x * A[0]
def right(x): return x * B[0] * 3
def step(x): return (right if A[0] == 2.0 else left)(x)
""",
    "method of an object": """
class Box:
    def scaled(self, x): return x * self.factor
    def other(self, x): return x * B[0]
    @property
    def factor(self): return A[0]
box = Box()
def step(x): return box.scaled(x)
""",
    "cache that knows the result": """
@functools.lru_cache(maxsize=None)
def factor(name): return read(name)
def read(name): return A[0]
factor("a")
def change(): factor.cache_clear(); factor("a")
def step(x): return x * factor("a")
""",
    "bounded cache that knows the result": """
@functools.lru_cache(maxsize=2)
def factor(name): return read(name)
def read(name): return A[0]
factor("a"), factor("b")
def change(): factor.cache_clear(); factor("b"), factor("a")
def step(x): return x * factor("a") + factor("b")
""",
    "bounded cache that forgets": """
@functools.lru_cache(maxsize=1)
def factor(name): return A[0]
factor("a")
def change(): factor("b")
def step(x): return x * factor("a")
""",
    "mutable result in a cache": """
@functools.lru_cache
def factor(name): return [A[0]]
factor("a")
def change(): factor("a")[0] = A[0]
def step(x): return x * factor("a")[0]
""",
    "defaults of a function that is not called": """
def unused(factor=1.0): pass
def change(): unused.__defaults__ = (A[0],)
def step(x): return x * unused.__defaults__[0]
""",
    "signature of a function that is not called": """
def unused(*, factor=1.0): pass
def change(): unused.__kwdefaults__["factor"] = A[0]
def step(x): return x * inspect.signature(unused).parameters["factor"].default
""",
    "attribute of a function that is not called": """
def unused(): pass
def change(): unused.factor = A[0]
def step(x): return x * getattr(unused, "factor", 1.0)
""",
    "variable of a function that is not called": """
def made(factor): return lambda: factor
unused = made(1.0)
def change(): unused.__closure__[0].cell_contents = A[0]
def step(x): return x * unused.__closure__[0].cell_contents
""",
    "list that is a default of a function that is not called": """
def unused(factor=[1.0]): pass
def change(): unused.__defaults__[0][0] = A[0]
def step(x): return x * unused.__defaults__[0][0]
""",
    "list that is a named default of a function that is not called": """
def unused(*, factor=[1.0]): pass
def change(): unused.__kwdefaults__["factor"][0] = A[0]
def step(x): return x * inspect.signature(unused).parameters["factor"].default[0]
""",
    "list in a closure that the library opens": """
box = [1.0]
def made(factor): return lambda: factor
unused, opened = made(box), inspect.getclosurevars
def change(): box[0] = A[0]
def step(x): return x * opened(unused).nonlocals["factor"][0]
""",
    "code in a thread that waits for a queue": """
q, r = queue.SimpleQueue(), queue.SimpleQueue()
def read(): return A[0]
def work():
    while True: r.put(q.get()())
threading.Thread(target=work, daemon=True).start()
def step(x):
    q.put(read)
    return x * r.get()
""",
    "code in a thread that is started below threading": """
def read(found, lock):
    found.append(A[0])
    lock.release()
def step(x):
    found, lock = [], _thread.allocate_lock()
    lock.acquire()
    _thread.start_new_thread(read, (found, lock))
    lock.acquire()
    return x * found[0]
""",
    "code that no profiler sees": """
def read(): return A[0]
def step(x):
    before = sys.getprofile()
    sys.setprofile(None)
    try: return x * read()
    finally: sys.setprofile(before)
""",
    "attribute that is there, and then computed": """
class Box:
    def __getattr__(self, name): return A[0]
box = Box()
box.factor = 1.0
def change(): vars(box).pop("factor", None)
def step(x): return x * box.factor
""",
    "code that takes the place of other code": """
def read(): return A[0]
def other(): return B[0] * 6
codes = {1.0: read.__code__, 2.0: other.__code__}
def change(): read.__code__ = codes[min(A[0], 2.0)]
def step(x): return x * read()
""",
    "exception": """
def read():
    if A[0] == 1.0: raise KeyError
    return B[0] * 5
def step(x):
    try: return x * read()
    except KeyError: return x * A[0]
""",
    "hook that goes another way on the way back": """
def other(g): return g * B[0] * 9
def hook(g): return g * A[0] if way[0] == "left" else other(g)
"""
    + WALK,
    "code in another thread": """
def read(): return A[0]
pool = futures.ThreadPoolExecutor(1)
pool.submit(int).result()
def step(x): return x * pool.submit(read).result()
""",
    "hook on the way back": """
def hook(g): return g * A[0]
"""
    + WALK,
}
