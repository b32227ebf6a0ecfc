"""The names around a PyTorch script: constants, typed constructors, backends, generators, default dtypes, devices."""

from __future__ import annotations

import importlib
import itertools

import numpy as np
import pytest

import jitgrad as torch
from jitgrad import nn


def test_constants():
    assert (torch.pi, torch.e, torch.inf) == (np.pi, np.e, np.inf) and torch.nan != torch.nan
    assert torch.ones(2)[torch.newaxis].shape == (1, 2)


TYPED = {
    "FloatTensor": torch.float32, "DoubleTensor": torch.float64, "IntTensor": torch.int32,
    "LongTensor": torch.int64, "ByteTensor": torch.uint8, "BoolTensor": torch.bool,
}  # fmt: skip


@pytest.mark.parametrize("name", TYPED)
def test_typed_constructors(name):
    made, kind = getattr(torch, name), TYPED[name]
    assert made([1, 0]).dtype is kind and made([1, 0]).tolist() == [1, 0]
    assert made(2, 3).shape == made(torch.Size([2, 3])).shape == (2, 3) and made().shape == (0,)
    assert isinstance(torch.zeros(2, dtype=kind), made) and not isinstance(kind, made)
    assert not isinstance(torch.zeros(2, dtype=torch.int32 if kind is torch.int64 else torch.int64), made)
    other = torch.zeros(2, dtype=torch.float64 if kind is torch.float32 else torch.float32)
    with pytest.raises(TypeError, match="expected a tensor of"):
        made(other)


def test_tensor_of_sizes_or_of_data():
    assert (
        torch.Tensor(2, 3).shape == (2, 3) and torch.Tensor(4).shape == (4,) and torch.Tensor().shape == (0,)
    )
    assert torch.Tensor([2, 3]).tolist() == torch.Tensor((2, 3)).tolist() == [2, 3]
    assert torch.Tensor(np.arange(3)).dtype is torch.float32
    weight = nn.Parameter(torch.Tensor(3, 4).uniform_(-1, 1))
    assert weight.is_leaf and weight.abs().max() <= 1
    for wrong in ((2.5,), ("text", 2), ([1], 2)):
        with pytest.raises(TypeError, match="expected sizes, or a sequence"):
            torch.Tensor(*wrong)


def test_tensor_of_a_tensor_is_a_view_with_its_history():
    for kind in (torch.float32, torch.float64, torch.int64):
        x = torch.arange(3, dtype=kind)
        torch.Tensor(x)[0] = 7
        assert torch.Tensor(x).dtype is kind and x.tolist() == [7, 1, 2]
    torch.LongTensor(x)[1] = 8
    assert x.tolist() == [7, 8, 2]
    w = torch.ones(2, requires_grad=True)
    (torch.Tensor(w * 2) * torch.FloatTensor(w)).sum().backward()
    assert w.grad.tolist() == [4, 4]


def test_tensor_has_the_default_dtype():
    torch.set_default_dtype(torch.float64)
    try:
        made = [torch.Tensor(2, 3), torch.Tensor(torch.Size([2])), torch.Tensor(), torch.Tensor([1, 2])]
        made += [torch.Tensor(np.zeros(2, dtype=np.float32)), torch.Tensor([])]
        assert torch.FloatTensor(2).dtype is torch.float32
    finally:
        torch.set_default_dtype(torch.float32)
    assert {x.dtype for x in made} == {torch.float64}


def test_questions_about_tensors():
    assert torch.is_floating_point(torch.ones(1)) and not torch.is_floating_point(torch.arange(1))
    assert torch.numel(torch.ones(2, 3)) == 6 and not torch.is_complex(torch.ones(1))
    assert torch.result_type(torch.arange(2), 1.5) is torch.float32
    assert torch.result_type(torch.arange(2), torch.ones(1, dtype=torch.float64)) is torch.float64
    with torch.inference_mode():
        assert torch.is_inference(torch.ones(1))


def test_which_dtypes_may_be_written_to_which():
    of = {"bool": 0, "uint8": 1, "int32": 1, "int64": 1, "float32": 2, "float64": 2}
    for a, b in itertools.product(of, of):
        assert torch.can_cast(getattr(torch, a), getattr(torch, b)) is (of[a] <= of[b])
    with pytest.raises(TypeError, match="can_cast"):
        torch.can_cast(1, torch.float32)


def test_names_of_types():
    assert torch.typename(nn.Parameter(torch.ones(1))) == "torch.FloatTensor"
    assert torch.typename(torch.tensor([1])) == "torch.LongTensor"
    assert (torch.typename(3), torch.typename([].append)) == ("int", "list.append")
    assert torch.typename(nn.Linear(1, 1)) == torch.typename(nn.Linear) == f"{nn.Linear.__module__}.Linear"


def test_other_backends_are_not_there_and_their_switches_do_nothing():
    backends = torch.backends
    assert not any(getattr(backends, n).is_available() for n in ("mps", "cudnn", "mkl", "mkldnn", "openmp"))
    assert not backends.mps.is_built() and not torch.cuda.is_initialized()
    backends.cudnn.benchmark = True
    assert backends.cudnn.benchmark is True
    from jitgrad.backends.mkldnn import enabled

    assert enabled is False
    for name in ("cuda", "cudnn", "mkl", "mkldnn", "mps", "nnpack", "openmp", "opt_einsum", "quantized"):
        assert importlib.import_module(f"jitgrad.backends.{name}") is getattr(backends, name)
    torch.use_deterministic_algorithms(False, warn_only=True)
    assert torch.are_deterministic_algorithms_enabled()
    torch.set_float32_matmul_precision("medium")
    assert torch.get_float32_matmul_precision() == "highest"
    torch.cuda.empty_cache()
    torch.cuda.synchronize()
    x = torch.ones(1, 2, 2, 2).to(memory_format=torch.channels_last)
    assert x.contiguous(memory_format=torch.contiguous_format).shape == (1, 2, 2, 2)


# library: its switches in a block
SWITCHES = {
    "cudnn": {
        "enabled": True,
        "benchmark": True,
        "benchmark_limit": 3,
        "deterministic": False,
        "allow_tf32": True,
    },
    "mkldnn": {"enabled": True, "deterministic": False, "allow_tf32": True},
    "nnpack": {"enabled": True},
    "opt_einsum": {"enabled": True, "strategy": "greedy"},
}


@pytest.mark.parametrize("name", SWITCHES)
def test_switches_of_other_backends_are_set_within_a_block(name):
    library, switches = getattr(torch.backends, name), SWITCHES[name]
    before = {k: getattr(library, k) for k in switches}
    with pytest.raises(ValueError, match="of the block"), library.flags(**switches):
        assert {k: getattr(library, k) for k in switches} == switches
        raise ValueError("of the block")
    assert {k: getattr(library, k) for k in switches} == before
    assert library.set_flags(_enabled=True) == (before["enabled"],) and library.enabled
    library.set_flags(enabled=before["enabled"])
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'fast'.*expected enabled"):
        library.flags(fast=True).__enter__()


def test_attention_has_one_kernel_whatever_is_enabled():
    cuda = torch.backends.cuda
    for kind in ("flash", "math", "mem_efficient", "cudnn"):
        getattr(cuda, f"enable_{kind}_sdp")(True)
        assert getattr(cuda, f"{kind}_sdp_enabled")() is (kind == "math")
    with cuda.sdp_kernel(enable_flash=True, enable_math=False, enable_mem_efficient=False):
        assert cuda.math_sdp_enabled()


def test_the_configuration_names_what_computes():
    shown = torch.__config__.show()
    assert (
        f"NumPy {np.__version__}" in shown
        and "USE_MKL=OFF" in shown
        and f"jitgrad {torch.__version__}" in shown
    )
    assert f"get_num_threads() : {torch.get_num_threads()}\n" in torch.__config__.parallel_info()


def test_there_are_no_other_processes():
    assert not (torch.distributed.is_available() or torch.distributed.is_initialized())


def test_forked_generator_goes_on_as_if_nothing_had_been_drawn():
    torch.manual_seed(3)
    expected = torch.rand(2).tolist()
    torch.manual_seed(3)
    with torch.random.fork_rng():
        torch.rand(5)
    assert torch.rand(2).tolist() == expected
    torch.manual_seed(3)
    with torch.random.fork_rng(enabled=False):
        torch.rand(5)
    assert torch.rand(2).tolist() != expected


def test_memory_for_other_libraries():
    x = torch.arange(3.0)
    shown = np.from_dlpack(x)
    shown[0] = 5
    assert x.tolist() == [5, 1, 2]


@pytest.mark.parametrize(
    ("groups", "shape"), [(1, (3, 4, 3)), (1, (4, 2, 3, 3)), (2, (4, 2, 2, 3)), (3, (6, 2, 2, 3, 4))]
)
def test_dirac_weights_pass_channels_on(groups, shape):
    weight = nn.init.dirac_(torch.empty(*shape), groups)
    middle = tuple(size // 2 for size in shape[2:])
    expected = np.zeros(shape)
    for k in range(shape[0]):
        if k % (shape[0] // groups) < shape[1]:
            expected[(k, k % (shape[0] // groups), *middle)] = 1
    assert weight.tolist() == expected.tolist()
    with pytest.raises(ValueError, match="3, 4, or 5"):
        nn.init.dirac_(torch.empty(2, 2))


def test_modules_stacked_and_run_as_one():
    models = [nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).eval() for _ in range(4)]
    parameters, buffers = torch.func.stack_module_state(models)
    x = torch.randn(5, 2)
    run = lambda p, b: torch.func.functional_call(models[0], (p, b), (x,))  # noqa: E731
    found = torch.vmap(run)(parameters, buffers)
    for k, model in enumerate(models):
        torch.testing.assert_close(found[k], model(x))
    found.sum().backward()
    assert all(p.is_leaf and p.grad.shape == p.shape for p in parameters.values())
    models[0].train()
    with pytest.raises(RuntimeError, match="all in training mode"):
        torch.func.stack_module_state(models)


def test_typed_constructors_name_a_dtype():
    assert torch.ones(2).type(torch.LongTensor).dtype is torch.int64
    assert torch.ones(2).type(np.dtype("f8")).dtype is torch.float64


def test_default_tensor_type():
    for kind in (torch.DoubleTensor, "torch.FloatTensor"):
        torch.set_default_tensor_type(kind)
        assert isinstance(torch.zeros(1), torch.DoubleTensor) == (kind is torch.DoubleTensor)
    with pytest.raises(TypeError, match="expected FloatTensor or DoubleTensor"):
        torch.set_default_tensor_type(torch.LongTensor)


def test_there_is_no_accelerator():
    assert not torch.accelerator.is_available() and torch.accelerator.device_count() == 0
    assert torch.accelerator.current_accelerator() is None
    torch.accelerator.synchronize()


def test_the_default_device_is_the_cpu():
    torch.set_default_device("cpu")
    torch.set_default_device(None)
    assert torch.get_default_device() == torch.device("cpu")
    with pytest.raises(RuntimeError, match="CPU"):
        torch.set_default_device("cuda")


def test_variable_is_the_tensor_without_its_history():
    from jitgrad.autograd import Variable

    x = torch.ones(2, requires_grad=True)
    plain, leaf = Variable(x * 2), Variable(torch.ones(2), requires_grad=True)
    assert not plain.requires_grad and plain.is_leaf and plain.tolist() == [2, 2]
    assert leaf.requires_grad and leaf.is_leaf
    assert Variable(x).data_ptr() == x.data_ptr() and Variable().shape == (0,)
    assert isinstance(x, Variable) and not isinstance(1.0, Variable)
    with pytest.raises(TypeError, match="Variable data has to be a tensor, but got list"):
        Variable([1.0])


NAMED_RESULTS = {
    "sort": lambda x: torch.sort(x), "topk": lambda x: x.topk(1), "median": lambda x: x.median(0),
    "kthvalue": lambda x: x.kthvalue(1), "mode": lambda x: x.mode(), "cummax": lambda x: x.cummax(0),
    "linalg_slogdet": lambda x: torch.linalg.slogdet(x.diag()), "linalg_qr": lambda x: torch.linalg.qr(x.diag()),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMED_RESULTS)
def test_named_results_are_shown_as_pytorch_shows_them(name):
    found = NAMED_RESULTS[name](torch.tensor([2.0, 1.0]))
    items = ",\n".join(f"{field}={value!r}" for field, value in zip(found._fields, found, strict=True))
    assert repr(found) == f"torch.return_types.{name}(\n{items})"


def test_two_moments_are_a_plain_tuple():
    assert type(torch.std_mean(torch.ones(3))) is type(torch.var_mean(torch.ones(3))) is tuple


def test_every_package_is_installed():
    import tomllib
    from pathlib import Path

    root = Path(__file__).parent.parent
    listed = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {".".join(p.parent.relative_to(root).parts) for p in (root / "jitgrad").rglob("__init__.py")}
    assert set(listed) == found | {"jitgrad.kernels", "jitgrad.benchmarks"}
