"""PyTorch reads our files, and we read PyTorch's."""

import io
from collections import Counter, OrderedDict

import numpy as np
import pytest

import jitgrad as jg

torch = pytest.importorskip("torch")

DTYPES = ["bool", "uint8", "int32", "int64", "float32", "float64"]
WIDENED = {"float16": "float32", "bfloat16": "float32", "int8": "int32", "int16": "int32", "uint16": "int32",
           "uint32": "int64"}  # fmt: skip


def ours(value, **options):
    """What we read of PyTorch's file."""
    file = io.BytesIO()
    torch.save(value, file, **options)
    file.seek(0)
    return jg.load(file)


def theirs(value):
    """What PyTorch reads of our file."""
    file = io.BytesIO()
    jg.save(value, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def assert_same(a, b):
    """Equal structure and values, whichever library the tensors belong to."""
    if isinstance(a, jg.Tensor | torch.Tensor):
        assert str(a.dtype) == str(b.dtype) and tuple(a.shape) == tuple(b.shape) and a.stride() == b.stride()
        assert a.requires_grad == b.requires_grad
        assert type(a).__name__ == type(b).__name__
        assert np.array_equal(a.detach().numpy(), b.detach().numpy())
    elif isinstance(a, dict):
        assert type(a) is type(b) and list(a) == list(b)
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        assert str(a) == str(b)


def everything(lib):
    base = lib.arange(24.0).reshape(4, 6)
    return {
        "views": [base, base[1:, ::2], base.T, base[2, 3], base[0:1].expand(3, 6), base[2:2]],
        "types": [lib.ones(2, dtype=getattr(lib, name)) for name in DTYPES],
        "parameters": (lib.nn.Parameter(lib.ones(2)), lib.nn.Parameter(lib.ones(3), requires_grad=False)),
        "leaf": lib.ones(1, requires_grad=True),
        "buffer": lib.nn.Buffer(lib.ones(2)),
        "plain": OrderedDict(
            a=None, b=(1, 2.5, -3, 2**40, -(2**70)), c=[True, False, "é", b"\x00\xff", 1 + 2j]
        ),
        "counts": Counter({3: 2}),
        "set": {1},
        "size": base.shape,
        "dtype": lib.float64,
        "device": lib.device("cpu"),
    }


def test_every_kind_of_value_goes_both_ways():
    assert_same(theirs(everything(jg)), everything(torch))
    assert_same(ours(everything(torch)), everything(jg))


def test_files_from_before_zip_archives_are_read():
    assert_same(ours(everything(torch), _use_new_zipfile_serialization=False), everything(jg))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol_is_read(protocol):
    assert_same(ours(everything(torch), pickle_protocol=protocol), everything(jg))


@pytest.mark.parametrize("name", WIDENED)
@pytest.mark.parametrize("zipped", [True, False])
def test_other_types_become_the_next_wider_one(name, zipped):
    values = np.array([-3, 0, 1, 2, 100]) if "u" not in name else np.array([0, 1, 2**15, 60000])
    tensor = torch.tensor(values).to(getattr(torch, name))
    if "float" in name:
        tensor = torch.cat([tensor / 3, torch.tensor([float("nan"), float("inf"), -0.0]).to(tensor.dtype)])
    made = ours([tensor, tensor[1::2]], _use_new_zipfile_serialization=zipped)
    wide = getattr(torch, WIDENED[name])
    for one, expected in zip(made, (tensor, tensor[1::2]), strict=True):
        assert one.dtype is getattr(jg, WIDENED[name])
        assert one.numpy().tobytes() == expected.to(wide).contiguous().numpy().tobytes()


@pytest.mark.parametrize("name", ["complex64", "float8_e4m3fn", "uint64"])
def test_types_without_a_place_are_refused_by_name(name):
    import pickle

    with pytest.raises(pickle.UnpicklingError, match="unsupported global"):
        ours(torch.zeros(2).to(getattr(torch, name)))


def test_memory_is_shared_on_both_sides():
    base = jg.zeros(4)
    a, b = theirs([base, base[1:3]])
    a[1] = 5
    assert b.tolist() == [5, 0]
    base = torch.zeros(4)
    a, b = ours([base, base[1:3]])
    a[1] = 5
    assert b.tolist() == [5, 0]


def test_our_files_can_be_mapped(tmp_path):
    jg.save({"w": jg.arange(10.0)}, tmp_path / "w.pt")
    assert torch.load(tmp_path / "w.pt", mmap=True)["w"].tolist() == list(range(10))


@pytest.mark.parametrize(
    "name",
    ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam", "ASGD", "Rprop"],
)
def test_training_goes_on_in_the_other_library(name):
    def step(lib, model, optimizer, x):
        optimizer.zero_grad()
        model(lib.tensor(x)).square().mean().backward()
        optimizer.step()

    def make(lib, seed):
        lib.manual_seed(seed)
        model = lib.nn.Sequential(lib.nn.Linear(3, 4), lib.nn.Tanh(), lib.nn.Linear(4, 1))
        options = {"momentum": 0.9} if name == "SGD" else {}
        return model, getattr(lib.optim, name)(model.parameters(), lr=0.01, **options)

    x = np.random.default_rng(0).standard_normal((8, 3)).astype(np.float32)
    for here, there, move in ((torch, jg, ours), (jg, torch, theirs)):
        model, optimizer = make(here, 0)
        for _ in range(3):
            step(here, model, optimizer, x)
        found = move({"model": model.state_dict(), "optimizer": optimizer.state_dict()})
        other, again = make(there, 1)
        other.load_state_dict(found["model"])
        again.load_state_dict(found["optimizer"])
        for _ in range(3):
            step(here, model, optimizer, x)
            step(there, other, again, x)
        for p, q in zip(model.parameters(), other.parameters(), strict=True):
            np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=2e-5, atol=1e-6)


def test_wrong_files_raise_what_pytorch_raises(tmp_path):
    whole = io.BytesIO()
    torch.save({"a": torch.ones(100)}, whole)
    files = [whole.getvalue()[:500], b""]
    paths = [tmp_path, tmp_path / "none.pt"]
    for data in files:
        paths.append(tmp_path / f"{len(paths)}.pt")
        paths[-1].write_bytes(data)
    for path in paths:
        with pytest.raises(Exception) as wanted:
            torch.load(path)
        with pytest.raises(wanted.type):
            jg.load(path)


def test_safetensors_files_go_both_ways(tmp_path):
    package = pytest.importorskip("safetensors.torch")
    values = {name: torch.ones(2, 3, dtype=getattr(torch, name)) for name in (*DTYPES, *WIDENED)}
    package.save_file(values, tmp_path / "a.safetensors")
    made = jg.load(tmp_path / "a.safetensors")
    for name, value in made.items():
        assert str(value.dtype) == f"torch.{WIDENED.get(name, name)}" and value.tolist() == [[1, 1, 1]] * 2
    jg.save(made, tmp_path / "b.safetensors")
    for name, value in package.load_file(tmp_path / "b.safetensors").items():
        assert np.array_equal(value.numpy(), made[name].numpy())
    package.save_file({"z": torch.zeros(2, dtype=torch.complex64)}, tmp_path / "c.safetensors")
    with pytest.raises(RuntimeError, match="'z' has the type C64"):
        jg.load(tmp_path / "c.safetensors")
