"""Saving to files and loading from them: what becomes of them when something fails, maps, and safetensors."""

from __future__ import annotations

import io
import os
import pickle
import stat
import sys
import zipfile

import numpy as np
import pytest
from saved_values import same_values, through

import jitgrad as jg
from jitgrad import nn

DTYPES = [jg.bool_, jg.uint8, jg.int32, jg.int64, jg.float32, jg.float64]


def test_paths_of_every_kind_and_file_objects_work(tmp_path):
    for target in (str(tmp_path / "a.pt"), tmp_path / "b.pth"):
        jg.save([1], target)
        assert jg.load(target) == [1]
    with open(tmp_path / "c", "wb") as file:
        jg.save([2], file)
    with open(tmp_path / "c", "rb") as file:
        assert jg.load(file) == [2]


def test_an_object_that_can_only_write_is_enough():
    class Sink:
        data = b""

        def write(self, data):
            self.data += data

    sink = Sink()
    jg.save({"a": jg.ones(2)}, sink)
    assert jg.load(io.BytesIO(sink.data))["a"].tolist() == [1.0, 1.0]


def test_the_same_object_gives_the_same_bytes():
    files = [io.BytesIO(), io.BytesIO()]
    for file in files:
        jg.save({"a": jg.ones(2)}, file)
    assert files[0].getvalue() == files[1].getvalue()


def test_records_are_aligned_so_that_they_can_be_mapped(tmp_path):
    jg.save([jg.ones(3), jg.zeros(5, dtype=jg.uint8), jg.ones(7, 7)], tmp_path / "weights.pt")
    data = (tmp_path / "weights.pt").read_bytes()
    with zipfile.ZipFile(tmp_path / "weights.pt") as archive:
        for entry in archive.infolist():
            name, extra = (int.from_bytes(data[entry.header_offset + at :][:2], "little") for at in (26, 28))
            assert (entry.header_offset + 30 + name + extra) % 64 == 0
            assert entry.compress_type == zipfile.ZIP_STORED


class Broken:
    pass


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    jg.save([1], tmp_path / "a.pt")
    with pytest.raises(pickle.PicklingError):
        jg.save([Broken()], tmp_path / "a.pt")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        jg.save([2], tmp_path / "a.pt")
    assert os.listdir(tmp_path) == ["a.pt"]
    assert jg.load(tmp_path / "a.pt") == [1]


@pytest.mark.skipif(os.name == "nt", reason="permissions and links of POSIX")
def test_permissions_stay_and_links_are_followed(tmp_path):
    jg.save([1], tmp_path / "a.pt")
    os.chmod(tmp_path / "a.pt", 0o640)
    os.symlink(tmp_path / "a.pt", tmp_path / "link.pt")
    jg.save([2], tmp_path / "link.pt")
    assert (tmp_path / "link.pt").is_symlink() and jg.load(tmp_path / "a.pt") == [2]
    assert stat.S_IMODE(os.stat(tmp_path / "a.pt").st_mode) == 0o640
    jg.save([3], os.devnull)
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (nn.Linear(1, 1), "Linear at the object itself; save a module's or an optimizer's state_dict()"),
        ({"model": [nn.ReLU()]}, "ReLU at ['model'][0]"),
        ({"values": np.ones(2)}, "numpy.ndarray at ['values']; make it a tensor with from_numpy"),
        ({"f": len}, "builtins.builtin_function_or_method at ['f']"),
        ({jg.Size((1,)): 1}, "Size at the object itself"),
        ([{frozenset([1]): 1}], "frozenset at [0]"),
        (2**5000, "5001 bits"),
    ],
)
def test_what_cannot_be_saved_is_named_with_its_place(value, says):
    with pytest.raises(pickle.PicklingError) as error:
        jg.save(value, io.BytesIO())
    assert says in str(error.value)


def test_nesting_beyond_the_stack_is_an_error_and_no_crash():
    value = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(pickle.PicklingError, match="nested too deeply"):
        jg.save(value, io.BytesIO())


def test_wrong_files_raise_what_pytorch_raises(tmp_path):
    with pytest.raises(FileNotFoundError):
        jg.load(tmp_path / "none.pt")
    with pytest.raises(IsADirectoryError):
        jg.load(tmp_path)
    with pytest.raises(RuntimeError, match=r"Parent directory .* does not exist"):
        jg.save([], tmp_path / "none" / "a.pt")
    with pytest.raises(RuntimeError, match="cannot be opened"):
        jg.save([], tmp_path)
    with pytest.raises(AttributeError, match="'write' attribute"):
        jg.save([], 3)
    with pytest.raises(AttributeError, match="seekable"):
        jg.load(3)
    with pytest.raises(EOFError, match="empty"):
        jg.load(io.BytesIO())
    with pytest.raises(pickle.UnpicklingError, match="Invalid magic number"):
        jg.load(io.BytesIO(b"hello world"))


@pytest.mark.parametrize(
    "map_location", ["cpu", jg.device("cpu"), {"cuda:0": "cpu"}, lambda storage, place: storage]
)
def test_any_map_to_the_cpu_is_accepted(map_location):
    assert through([jg.ones(1)], map_location=map_location)[0].tolist() == [1.0]


def test_maps_elsewhere_are_refused():
    for wrong in ("cuda", {"cpu": "cuda:0"}):
        with pytest.raises(RuntimeError, match="CPU"):
            through([jg.ones(1)], map_location=wrong)
    with pytest.raises(TypeError, match="map_location"):
        through([], map_location=3)


# safetensors -----------------------------------------------------------------------------------------------


def test_safetensors_files_go_by_the_suffix(tmp_path):
    pytest.importorskip("safetensors")
    base = jg.arange(6.0).reshape(2, 3)
    values = {
        "a": base,
        "turned": base.T,
        "number": jg.tensor(3),
        "none": jg.zeros(0, 2),
        "p": nn.Parameter(base),
    }
    values |= {str(dtype): jg.ones(2, dtype=dtype) for dtype in DTYPES}
    jg.save(values, tmp_path / "a.safetensors")
    made = jg.load(tmp_path / "a.safetensors")
    assert set(made) == set(values)
    assert all(same_values(made[name], values[name]) for name in values)
    jg.serialization.save_file(values, tmp_path / "b.safetensors", metadata={"format": "pt"})
    assert same_values(jg.serialization.load_file(tmp_path / "b.safetensors")["turned"], base.T)


def test_safetensors_refuses_what_such_files_cannot_hold(tmp_path):
    pytest.importorskip("safetensors")
    with pytest.raises(ValueError, match=r"expected a dict of \[str, Tensor\]"):
        jg.save([jg.ones(1)], tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="`epoch` is invalid"):
        jg.save({"epoch": 3}, tmp_path / "a.safetensors")
    assert os.listdir(tmp_path) == []
    with pytest.raises(FileNotFoundError):
        jg.load(tmp_path / "a.safetensors")
    jg.save({"w": jg.ones(8)}, tmp_path / "a.safetensors")
    whole = (tmp_path / "a.safetensors").read_bytes()
    for data in (b"", whole[:20], whole[:-1], b"\xff" * 40):
        (tmp_path / "a.safetensors").write_bytes(data)
        with pytest.raises(RuntimeError, match="damaged"):
            jg.load(tmp_path / "a.safetensors")


def test_the_missing_package_is_named_with_the_command_that_installs_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    for action in (lambda p: jg.save({}, p), jg.load):
        with pytest.raises(ImportError, match=r'pip install "jitgrad\[safetensors\]"'):
            action(tmp_path / "a.safetensors")
