"""Code of installed packages that use jitgrad: what it keeps in modules, classes, functions and elsewhere."""

from __future__ import annotations

import functools
import importlib
import pathlib
import sys

import pytest
from compile_cases import warnings_of

import jitgrad as torch
from jitgrad.program.guard.search import search

SOURCE = pathlib.Path(__file__).with_name("installed_package.py")
CALLS = 6
factor = 1.0
COUNTING = [
    "counts_in_its_module",
    "counts_in_a_dict",
    "counts_in_itself",
    "counts_in_a_thread",
    "counts_in_a_singleton",
    "counts_in_a_with",
    "counts_in_a_mapping",
    "counts_in_a_function_of_autograd",
    "counts_in_a_distribution",
    "counts_in_a_descriptor",
    "counts_in_a_class",
    "takes_a_number",
    "draws",
    "draws_otherwise",
]

# a package that does not use jitgrad
PLAIN = """
table, calls, count = {"scale": 1.0}, [], 0


def read(x):
    return scaled(x)


def scaled(x):
    return x * table["scale"]


def counts_in_a_list(x):
    calls.append(None)
    return x * len(calls)


def counts_in_itself(x):
    counts_in_itself.calls = getattr(counts_in_itself, "calls", 0) + 1
    return x * counts_in_itself.calls


class Schedule:
    def read(self, x):
        return scaled(x)

    def __call__(self, x):
        global count
        count += 1
        return x * count


schedule = Schedule()
read_by_a_method = schedule.read
"""


def scale(package, value):
    package.CONFIG["scale"] = value


def cached_scale(package, value):
    scale(package, value)
    package.kept_scale.cache_clear()


def own_inner(package, value):
    package.Reads.inner = lambda self, x: x * value


def own_helper(package, value):
    package.reads_a_number = lambda x: x * value


def own_code(package, value):
    package.reads_a_number.__code__ = (lambda x: x * 2.0).__code__


CHANGES = {
    "number of a module": ("reads_a_number", lambda p, v: setattr(p, "factor", v)),
    "dict of a module": ("reads_a_dict", scale),
    "object of a module": ("reads_an_object", lambda p, v: setattr(p.SETTINGS, "scale", v)),
    "class": ("reads_a_class", lambda p, v: setattr(p.Settings, "scale", v)),
    "attribute of a function": ("reads_itself", lambda p, v: setattr(p.reads_itself, "scale", v)),
    "metaclass": ("reads_a_class_of_its_kind", scale),
    "cache of a function": ("reads_a_cache", cached_scale),
    "method of a module": ("reads_in_a_module", own_inner),
    "helper of a module": ("reads_in_a_module", own_helper),
    "code of a helper": ("reads_in_a_module", own_code),
    "number that a module reads": ("reads_in_a_module", lambda p, v: setattr(p, "factor", v)),
}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Makes packages of this test's own among those that are installed, each time another one."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)

    def install(text=None, place="{}.py"):
        name = f"package_{len([*folder.iterdir()])}_of_{abs(hash(tmp_path))}"
        path = folder / place.format(name)
        path.parent.mkdir(exist_ok=True)
        path.write_text(text or SOURCE.read_text())
        importlib.invalidate_caches()
        parts = path.relative_to(folder).with_suffix("").parts
        return importlib.import_module(".".join(x for x in parts if x != "__init__"))

    return install


def results(package, name, pattern, change=lambda package, value: None):
    """What calls of a function of the package gave, ``c`` for compiled ones, and what was warned of."""

    function, x = getattr(package, name), torch.ones(1)
    compiled = torch.compile(lambda x: function(x))
    found, told = [], []
    for number, letter in enumerate(pattern):
        if number == len(pattern) // 2:
            change(package, 2.0)
        called = functools.partial(compiled if letter == "c" else function, x)
        value, warned = warnings_of(called)
        found.append(value.item())
        told += warned
    return found, told, compiled


@pytest.mark.parametrize("pattern", ["cccccc", "cecccec"])
@pytest.mark.parametrize("name", COUNTING)
def test_what_installed_code_counts_or_draws_is_never_replayed(installed, name, pattern):
    found, told, _ = results(installed(), name, pattern)
    assert found == results(installed(), name, "e" * len(pattern))[0]
    assert len(told) == 1


@pytest.mark.parametrize("name", CHANGES)
def test_what_installed_code_reads_is_noticed_and_replayed_otherwise(installed, name):
    function, change = CHANGES[name]
    found, told, compiled = results(installed(), function, "cccccc", change)
    assert found == results(installed(), function, "eeeeee", change)[0]
    assert told == []
    assert len(compiled.programs) <= 2


@pytest.mark.parametrize("name", ["counts_in_a_list", "counts_in_itself", "schedule"])
def test_what_functions_of_a_package_without_jitgrad_count_is_counted(installed, name):
    found, told, _ = results(installed(PLAIN), name, "cecccec")
    assert found == results(installed(PLAIN), name, "eeeeeee")[0]
    assert len(told) == 1


@pytest.mark.parametrize("name", ["read", "read_by_a_method"])
def test_a_table_of_a_package_without_jitgrad_is_noticed(installed, name):
    package, found = installed(PLAIN), []
    function = getattr(package, name)
    step = torch.compile(lambda x: function(x), fullgraph=True)
    for value in (1.0, 1.0, 2.0, 2.0):
        package.table["scale"] = value
        found.append(step(torch.ones(1)).item())
    assert found == [1.0, 1.0, 2.0, 2.0]


def test_a_table_that_a_method_of_a_package_without_jitgrad_reads_is_noticed(installed):
    package, found = installed(PLAIN), []
    schedule = package.schedule
    step = torch.compile(lambda x: schedule.read(x), fullgraph=True)
    for value in (1.0, 1.0, 2.0, 2.0):
        package.table["scale"] = value
        found.append(step(torch.ones(1)).item())
    assert found == [1.0, 1.0, 2.0, 2.0]


@pytest.mark.parametrize("name", ["counts_in_its_module", "counts_in_a_class", "draws"])
def test_a_loop_runs_what_installed_code_counts(installed, name):
    loop, _ = warnings_of(lambda: torch.compile(getattr(installed(), name)).loop(CALLS, torch.ones(1)))
    assert loop.flatten().tolist() == pytest.approx(results(installed(), name, "e" * CALLS)[0])


@pytest.mark.parametrize("place", ["{}.py", "{}/__init__.py", "{}/inside.py"])
def test_modules_packages_and_namespaces_are_looked_into(installed, place):
    found, told, _ = results(installed(place=place), "counts_in_its_module", "cccc")
    assert found == [1.0, 2.0, 3.0, 4.0]
    assert len(told) == 1


def test_a_package_is_looked_into_when_it_comes_to_use_jitgrad(installed):
    package = installed("count = 0\ndef add(x):\n    return x + 1\n", "{}/__init__.py")
    add = torch.compile(lambda x: package.add(x))
    assert add(torch.ones(1)).item() == 2.0
    name = package.__name__
    path = pathlib.Path(package.__file__).with_name("later.py")
    path.write_text(f"import jitgrad\nimport {name}\ndef scaled(x):\n    return x * {name}.count\n")
    importlib.invalidate_caches()
    later = importlib.import_module(f"{name}.later")
    scaled = torch.compile(lambda x: later.scaled(x), fullgraph=True)
    found = []
    for number in (1, 1, 2, 2):
        package.count = number
        found.append(scaled(torch.ones(1)).item())
    assert found == [1.0, 1.0, 2.0, 2.0]


def test_methods_that_a_class_gives_to_one_of_an_installed_package_are_looked_into(installed):
    class Mine(installed().Base):
        def inner(self, x):
            return x * self.scale

    mine, found = Mine(), []
    step = torch.compile(lambda x: mine.run(x), fullgraph=True)
    for scale, factor in ((1.0, 1.0), (1.0, 1.0), (2.0, 1.0), (2.0, 3.0), (2.0, 3.0)):
        mine.scale, Mine.factor = scale, factor
        found.append(step(torch.ones(1)).item())
    assert found == [1.0, 1.0, 2.0, 6.0, 6.0]


def test_code_that_looks_its_own_module_up_by_name_is_followed_there(monkeypatch):
    step = torch.compile(lambda x: x * sys.modules[__name__].factor, fullgraph=True)
    found = []
    for value in (1.0, 1.0, 2.0, 2.0):
        monkeypatch.setattr(sys.modules[__name__], "factor", value)
        found.append(step(torch.ones(1)).item())
    assert found == [1.0, 1.0, 2.0, 2.0]


def test_results_that_an_installed_cache_keeps_for_other_arguments_are_not_compared(installed):
    package = installed("import functools\nimport jitgrad\n@functools.cache\ndef made(n):\n    return [n]\n")
    package.made(1), package.made(2)
    made = package.made

    def compared():
        return len(search([lambda x: x * made(1)[0]]).copies)

    before = compared()
    for number in range(100):
        package.made(number)
    assert compared() == before
