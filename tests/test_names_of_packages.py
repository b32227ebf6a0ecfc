"""Names that packages on PyTorch mention when they are imported: layouts, trusted classes, exports, annotations."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict

import pytest

import jitgrad as torch
from jitgrad import nn, serialization

LAYOUTS = ["strided", "sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc", "jagged"]
FORMATS = ["contiguous_format", "preserve_format", "channels_last", "channels_last_3d"]


@pytest.mark.parametrize(
    ("kind", "name"), [("layout", n) for n in LAYOUTS] + [("memory_format", n) for n in FORMATS]
)
def test_layouts_and_formats_are_values_of_their_classes(kind, name):
    value = getattr(torch, name)
    assert isinstance(value, getattr(torch, kind)) and repr(value) == str(value) == f"torch.{name}"
    assert copy.deepcopy(value) is value and pickle.loads(pickle.dumps(value)) is value
    assert [other for other in LAYOUTS + FORMATS if getattr(torch, other) == value] == [name]


def test_formats_are_arguments_of_compiled_functions():
    step = torch.compile(
        lambda x, wish, kind: (x.contiguous(memory_format=wish) * 2, x.layout == kind), fullgraph=True
    )
    x = torch.ones(1, 2, 3, 3)
    for _ in range(3):
        for wish in (torch.channels_last, torch.contiguous_format):
            assert step(x, wish, torch.strided)[1] is True
            assert step(x, wish, torch.sparse_coo)[1] is False


def test_a_format_is_asked_for():
    x = torch.ones(1, 2, 3, 3)
    assert x.is_contiguous(memory_format=torch.contiguous_format)
    assert not x.is_contiguous(memory_format=torch.channels_last)
    assert x.permute(0, 3, 1, 2).is_contiguous(memory_format=torch.channels_last)
    assert torch.legacy_contiguous_format is torch.contiguous_format


class Mine:
    pass


def test_trusted_classes_are_listed_and_refused_all_the_same(tmp_path):
    before = serialization.get_safe_globals()
    try:
        serialization.add_safe_globals([Mine])
        serialization.add_safe_globals([Mine, OrderedDict])
        assert serialization.get_safe_globals() == [*before, Mine, OrderedDict]
        path = tmp_path / "mine.pt"
        path.write_bytes(pickle.dumps(Mine(), 2))
        with pytest.raises(
            pickle.UnpicklingError, match=r"Mine.* refused, whatever add_safe_globals was told"
        ):
            torch.load(path)
        serialization.clear_safe_globals()
        assert serialization.get_safe_globals() == []
    finally:
        serialization.clear_safe_globals()
        serialization.add_safe_globals(before)


def test_classes_are_trusted_within_a_context():
    before = serialization.get_safe_globals()
    with pytest.raises(KeyError), serialization.safe_globals([Mine]):
        assert serialization.get_safe_globals() == [*before, Mine]
        raise KeyError
    assert serialization.get_safe_globals() == before


def test_nothing_is_exported():
    assert torch.onnx.is_in_onnx_export() is False
    step = torch.compile(lambda x: x * (2 if torch.onnx.is_in_onnx_export() else 3), fullgraph=True)
    assert step(torch.ones(1)).item() == step(torch.ones(1)).item() == 3


def test_functions_marked_for_traces_are_themselves():
    @torch.fx.wrap
    def double(x):
        return x * 2

    step = torch.compile(lambda x: double(x), fullgraph=True)
    assert step(torch.ones(1)).item() == step(torch.ones(1)).item() == 2
    assert torch.fx.wrap("len") == "len"
    with pytest.raises(RuntimeError, match=r"fx\.wrap: expected a function or a name, got int"):
        torch.fx.wrap(1)


def test_annotations_of_one_or_several_numbers():
    from jitgrad.jit.annotations import BroadcastingList2

    assert torch.jit.annotations.BroadcastingList2 is BroadcastingList2
    assert BroadcastingList2[int] == int | list[int]


def test_the_result_of_load_state_dict_has_a_class_with_a_name():
    from jitgrad.nn.modules.module import _IncompatibleKeys

    result = nn.Linear(1, 1).load_state_dict({"weight": torch.ones(1, 1)}, strict=False)
    assert isinstance(result, _IncompatibleKeys) and result.missing_keys == ["bias"]
    assert _IncompatibleKeys([], ["a"]).unexpected_keys == ["a"]
