"""Saving and loading tensors and plain containers."""

import io
from collections import Counter, OrderedDict

import numpy as np
import pytest
from saved_values import same_values, through

import jitgrad as jg
from jitgrad import nn

DTYPES = [jg.bool_, jg.uint8, jg.int32, jg.int64, jg.float32, jg.float64]


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


def test_the_older_format_may_be_asked_for_and_is_written_as_the_newer_one():
    file = io.BytesIO()
    jg.save({"x": jg.arange(3)}, file, _use_new_zipfile_serialization=False)
    file.seek(0)
    assert jg.load(file)["x"].tolist() == [0, 1, 2]


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
