"""Saving and loading tensors and plain containers."""

import io
import os
import pickle
import stat
import sys
import zipfile
from collections import Counter, OrderedDict

import numpy as np
import pytest

import jitgrad as jg
from jitgrad import nn

DTYPES = [jg.bool_, jg.uint8, jg.int32, jg.int64, jg.float32, jg.float64]


def through(value, **options):
    """Save and load in memory."""
    file = io.BytesIO()
    jg.save(value, file)
    file.seek(0)
    return jg.load(file, **options)


def same_values(a, b):
    return (
        a.dtype is b.dtype and a.shape == b.shape and np.array_equal(a.detach().numpy(), b.detach().numpy())
    )


# values ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 0, 2), (2, 3), (2, 1, 3, 1)])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_tensors_come_back_with_dtype_shape_and_values(dtype, shape):
    numbers = np.random.default_rng(0).integers(0, 200, shape)
    tensor = jg.tensor(numbers).to(dtype)
    assert same_values(through(tensor), tensor)


PLAIN = [
    None, True, False, 0, 255, 256, 65535, 65536, -1, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**200, -(2**100),
    1.5, -0.0, float("inf"), "", "a", "é\n\0", "\ud800", b"", bytes(range(256)), bytearray(b"xy"), 1 + 2j,
    (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [], [1, [2]], {}, {"a": 1, 2: {}, (1, "b"): None, None: 1.5},
    {1, "a"}, set(), jg.float64, jg.device("cpu"), jg.Size((2, 3)), list(range(1000)),
    {str(k): k for k in range(600)},
]  # fmt: skip


@pytest.mark.parametrize("value", PLAIN, ids=lambda v: type(v).__name__)  # the text of a set has any order
def test_plain_values_come_back_equal_and_of_the_same_type(value):
    made = through(value)
    assert made == value and type(made) is type(value)


def test_ordered_dicts_and_counters_keep_type_order_and_metadata():
    value = OrderedDict(b=1, a=[Counter({2: 3})])
    value._metadata = OrderedDict({"": {"version": 2}})
    made = through(value)
    assert made == value and list(made) == ["b", "a"]
    assert type(made) is OrderedDict and type(made["a"][0]) is Counter
    assert made._metadata == value._metadata


def test_numpy_scalars_become_python_numbers():
    made = through({"loss": np.float32(1.5), "epoch": np.int64(3), "ok": np.bool_(True)})
    assert made == {"loss": 1.5, "epoch": 3, "ok": True}
    assert [type(v) for v in made.values()] == [float, int, bool]


def test_nan_and_the_sign_of_zero_survive_in_tensors():
    values = np.array([np.nan, -0.0, np.inf, 5e-324, 1e300])
    assert through(jg.tensor(values)).numpy().tobytes() == values.tobytes()


def test_parameters_and_buffers_stay_what_they_are():
    frozen, trained = nn.Parameter(jg.ones(2), requires_grad=False), nn.Parameter(jg.zeros(3))
    made = through([frozen, trained, nn.Buffer(jg.ones(1), persistent=False), jg.ones(1, requires_grad=True)])
    assert [type(v) for v in made] == [nn.Parameter, nn.Parameter, nn.Buffer, jg.Tensor]
    assert [v.requires_grad for v in made] == [False, True, False, True]
    assert made[2].persistent is False
    assert all(v.is_leaf for v in made)


# sharing ---------------------------------------------------------------------------------------------------


def test_what_was_one_object_is_one_object():
    tensor, inner = jg.ones(2), [1]
    made = through({"a": tensor, "b": tensor, "c": inner, "d": (inner, inner), "e": "text", "f": "text"})
    assert made["a"] is made["b"]
    assert made["c"] is made["d"][0] is made["d"][1]


def test_a_list_that_contains_itself_comes_back_so():
    value = [1]
    value.append(value)
    made = through(value)
    assert made[1] is made and len(made) == 2


def test_shared_subtrees_are_written_once():
    value = ("leaf", 1)
    for _ in range(60):
        value = (value, value)
    file = io.BytesIO()
    jg.save(value, file)
    assert len(file.getvalue()) < 5000


def test_views_share_memory_again_and_keep_their_strides():
    base = jg.arange(24.0).reshape(4, 6)
    views = {
        "base": base,
        "row": base[2],
        "part": base[1:, ::2],
        "turned": base.T,
        "wide": base[0:1].expand(3, 6),
    }
    made = through(views)
    for name, view in views.items():
        assert same_values(made[name], view) and made[name].stride() == view.stride(), name
    made["base"].mul_(-1)
    assert all(np.array_equal(made[name].numpy(), -views[name].numpy()) for name in views)


def test_only_the_used_part_of_a_large_memory_is_written():
    file = io.BytesIO()
    jg.save(jg.zeros(100_000)[500:510], file)
    assert len(file.getvalue()) < 2000


@pytest.mark.parametrize(
    "array", [np.arange(20.0)[::3], np.arange(12.0).reshape(3, 4).T[1:], np.arange(6)[2:2]]
)
def test_tensors_on_numpy_memory_are_saved(array):
    made = through(jg.from_numpy(array))
    assert np.array_equal(made.numpy(), array) and made.numpy().dtype == array.dtype


def test_a_loaded_tensor_is_an_ordinary_leaf():
    weight, other = through([jg.ones(3), jg.ones(2, 3)[:, 1:]])
    weight.requires_grad_()
    ((weight * 2) ** 2).sum().backward()
    assert weight.grad.tolist() == [8.0] * 3
    with jg.no_grad():
        weight.sub_(weight.grad)
    other.requires_grad_()
    (other @ other.T).sum().backward()
    assert other.grad.tolist() == [[4.0, 4.0], [4.0, 4.0]]


# modules and optimizers ------------------------------------------------------------------------------------


def net():
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


@pytest.mark.parametrize("assign", [False, True])
def test_training_goes_on_from_a_checkpoint_as_if_it_had_not_stopped(tmp_path, assign):
    def train(model, optimizer, steps):
        for _ in range(steps):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(x), y).backward()
            optimizer.step()

    x, y = jg.randn(5, 3), jg.randn(5, 2)
    model = net()
    optimizer = jg.optim.Adam(model.parameters(), lr=0.1, amsgrad=True)
    train(model, optimizer, 3)
    jg.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}, tmp_path / "c.pt")
    train(model, optimizer, 3)

    found = jg.load(tmp_path / "c.pt", map_location="cpu", weights_only=True)
    again = net()
    again.load_state_dict(found["model"], assign=assign)
    restarted = jg.optim.Adam(again.parameters())
    restarted.load_state_dict(found["optimizer"])
    train(again, restarted, 3)
    assert found["epoch"] == 3
    for a, b in zip(model.parameters(), again.parameters(), strict=True):
        assert a.detach().numpy().tobytes() == b.detach().numpy().tobytes()


@pytest.mark.parametrize("name", ["SGD", "Adagrad", "RMSprop", "AdamW", "LBFGS"])
def test_optimizer_states_come_back_equal(name):
    model = net()
    optimizer = getattr(jg.optim, name)(model.parameters(), lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = model(jg.ones(1, 3)).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    state = optimizer.state_dict()
    assert repr(through(state)) == repr(state)


def test_assigning_a_parameter_keeps_what_the_module_says_about_gradients():
    model = nn.Linear(2, 1)
    model.weight.requires_grad_(False)
    model.load_state_dict(
        {"weight": nn.Parameter(jg.ones(1, 2)), "bias": nn.Parameter(jg.ones(1), requires_grad=False)},
        assign=True,
    )
    assert (model.weight.requires_grad, model.bias.requires_grad) == (False, True)


def test_everything_that_does_not_fit_a_module_is_in_one_message():
    state = through(
        {"0.weight": jg.ones(4, 2), "0.bias": jg.ones(4), "2.weight": jg.ones(2, 5), "x": jg.ones(1)}
    )
    model = net()
    before = [p.tolist() for p in model.parameters()]
    with pytest.raises(RuntimeError) as error:
        model.load_state_dict(state)
    for part in ("2.bias", '"x"', "0.weight", "[4, 2]", "[4, 3]", "2.weight", "[2, 5]", "[2, 4]"):
        assert part in str(error.value)
    assert [p.tolist() for p in model.parameters()] == before
    found = model.load_state_dict({"0.bias": jg.ones(4), "x": jg.ones(1)}, strict=False)
    assert found.missing_keys == ["0.weight", "2.weight", "2.bias"] and found.unexpected_keys == ["x"]


# files -----------------------------------------------------------------------------------------------------


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
