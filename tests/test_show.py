"""`show_tape` for people and `tape_table` for programs."""

from __future__ import annotations

import io
import re

import pytest
from custom_functions import Pair
from sample_values import leaf
from usage import usage

import jitgrad as torch
from jitgrad.show import show_tape, tape_table


def shown(tensor, **options) -> list[str]:
    out = io.StringIO()
    assert torch.show_tape(tensor, out, **options) is None
    return out.getvalue().splitlines()


def names(values):
    return [None if v is None else v.name for v in values]


def test_rows_operands_and_attributes():
    x, w = leaf(1.0, 2.0, 3.0), leaf(4.0, 5.0, 6.0)
    y = ((x * w).clamp(0.0, 9.0) + 1.0).sum()
    rows = tape_table(y)
    assert [r.number for r in rows] == [1, 2, 3, 4]
    assert [r.op for r in rows] == ["mul", "clamp", "add", "sum"]
    assert names(rows[0].operands) == ["%a", "%b"]
    assert names(rows[1].operands) == ["%1"]
    assert names(rows[3].outputs) == ["%4"]
    assert rows[1].attributes == {"low": 0.0, "high": 9.0}
    assert rows[3].attributes["dim"][:1] == (0,)
    assert rows[0].outputs[0].shape == (3,)
    assert rows[0].outputs[0].dtype is torch.float32
    assert [v.kind for v in (*rows[0].operands, *rows[2].operands)] == ["leaf", "leaf", "row", "const"]


def test_kept_values_are_marked():
    x, w = leaf(1.0, 2.0), torch.tensor([3.0, 4.0])
    row = tape_table(x * w)[0]
    assert [v.saved for v in row.operands] == [False, True]  # only what the leaf's gradient needs
    row = tape_table(x.tanh())[0]
    assert [v.saved for v in (*row.operands, *row.outputs)] == [False, True]
    assert "%1*" in shown(x.tanh())[-2]


def test_printed_table_is_aligned_and_complete():
    x = leaf(1.0, 2.0)
    lines = shown((x * 2).exp().sum(), names={"input": x})
    header, rule, *rows, ending = lines
    assert header.split() == ["row", "op", "operands", "output", "attributes", "gradient"]
    assert set(rule) == {"-", " "}
    starts = [k for k, c in enumerate(rule) if c == "-" and (k == 0 or rule[k - 1] == " ")]
    assert all(line[k - 1] == " " for line in rows for k in starts[1:] if len(line) > k)
    assert any("leaf" in line and "input: float32[2]" in line for line in rows)
    assert [line.split()[1] for line in rows if line.split()[0].isdigit()] == ["mul", "exp", "sum"]
    assert "3 rows" in ending


def test_goes_to_standard_output(capsys):
    assert show_tape(leaf(1.0).exp()) is None
    assert "exp" in capsys.readouterr().out


def test_gradients_after_a_retained_backward():
    x = leaf(1.0, 2.0)
    y = x * 3
    y.retain_grad()
    z = y.sum()
    assert tape_table(z)[0].operands[0].gradient is None
    z.backward(retain_graph=True)
    rows = tape_table(z)
    assert rows[0].operands[0].gradient.tolist() == [3.0, 3.0]
    assert rows[0].outputs[0].gradient.tolist() == [1.0, 1.0]
    text = "\n".join(shown(z))
    assert "[3., 3.]" in text
    assert "[1., 1.]" in text


def test_large_gradients_are_summed_up():
    x = torch.ones(100, requires_grad=True)
    z = (x * 2).sum()
    z.backward(retain_graph=True)
    assert any("2 .. 2, norm 20" in line for line in shown(z))


def test_views():
    x = torch.ones(2, 6, requires_grad=True)
    rows = tape_table(x.reshape(3, 4).t()[1:, 0])
    assert rows[0].attributes == {"shape": (3, 4)}
    assert rows[1].attributes["along"] == (1, 0)
    assert rows[2].attributes["start"] == (1, 0)
    assert rows[-1].outputs[0].shape == (3,)


def test_custom_functions_with_several_outputs():
    a, b = Pair.apply(leaf(1.0, 2.0))
    rows = tape_table(a * b)
    assert rows[0].op == "Pair"
    assert names(rows[0].outputs) == ["%1.0", "%1.1"]
    assert names(rows[1].operands) == ["%1.0", "%1.1"]


def test_operand_that_was_left_out():
    row = tape_table(torch.nn.functional.linear(torch.ones(2, 3), torch.ones(4, 3, requires_grad=True)))[0]
    assert names(row.operands)[2] is None
    assert (
        " - " in shown(torch.nn.functional.linear(torch.ones(2, 3), torch.ones(4, 3, requires_grad=True)))[-2]
    )


def test_many_leaves_have_names_of_their_own():
    total = leaf(0.0)
    for _ in range(60):
        total = total + leaf(1.0)
    found = [v.name for r in tape_table(total) for v in r.operands if v.kind == "leaf"]
    assert len(found) == len(set(found)) == 61


def test_freed_graph_says_so():
    x = leaf(1.0, 2.0)
    y = (x * 2).sum()
    y.backward()
    assert tape_table(y) == []
    (line,) = shown(y)
    assert "freed by backward()" in line
    assert "SumBackward0" in line
    assert "retain_graph=True" in line


def test_operand_whose_own_history_is_freed():
    x = leaf(1.0)
    y = x.exp()
    y.backward()
    rows = tape_table(y * 2)
    assert rows[0].operands[0].kind == "freed ExpBackward0"


def test_leaf_and_constant_have_no_rows():
    x = leaf(1.0)
    (x * 2).backward()
    assert shown(x) == ["float32[1]: a leaf, no operation made it; gradient [2.]"]
    assert "does not require grad" in shown(torch.ones(2))[0]


def test_looking_changes_nothing():
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    before = usage()
    for _ in range(3):
        shown(y)
        tape_table(y)
    assert usage() == before
    y.backward()
    assert x.grad.tolist() == [4.0, 8.0]


def test_anything_but_a_tensor_is_refused():
    with pytest.raises(TypeError, match="show_tape: expected a Tensor, got list"):
        torch.show_tape([1.0])


def test_colours_are_for_terminals_only(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    x = leaf(1.0, 2.0)
    out = Terminal()
    torch.show_tape((x * 2).sum(), out)
    coloured = out.getvalue()
    assert "\x1b[32m" in coloured
    plain = re.sub(r"\x1b\[\d+m", "", coloured)
    assert [line.rstrip() for line in plain.splitlines()] == shown((x * 2).sum())
    monkeypatch.setenv("NO_COLOR", "1")
    out = Terminal()
    torch.show_tape((x * 2).sum(), out)
    assert "\x1b" not in out.getvalue()


def test_reductions_show_the_dimensions_that_there_are():
    (row,) = tape_table(torch.ones(2, 3, requires_grad=True).sum())
    assert row.attributes["dim"] == (0, 1)
    (row,) = tape_table(torch.ones(2, 3, 4, requires_grad=True).sum(dim=(0, 2), keepdim=True))
    assert row.attributes == {"dim": (0, 2), "keepdim": True}


def test_layers_read_well():
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU())
    lines = shown(model(torch.randn(2, 3, 8, 8)), names=dict(model.named_parameters()))
    assert any("leaf" in line and "0.weight: float32[4, 3, 3, 3]" in line for line in lines)
    assert max(map(len, lines)) < 150
    out = shown(torch.nn.LSTM(4, 6)(torch.randn(5, 3, 4))[0])
    norm = torch.nn.functional.layer_norm(torch.ones(2, 3, requires_grad=True), (3,), eps=1e-3)
    assert "words=(2,3,0.001)" in "".join(shown(norm))
    assert any("words=(5,3,0," in line and "..." in line for line in out)
    assert max(map(len, out)) < 160


def test_places_in_memory_are_not_shown_as_numbers():
    x = torch.randn(4, 3, requires_grad=True)
    loss = torch.nn.functional.mse_loss(x, torch.zeros(4, 3)) + x.topk(2)[0].sum()
    words = [row.attributes["words"] for row in tape_table(loss) if "words" in row.attributes]
    assert any("address" in w for w in words)
    assert all(isinstance(v, str) or abs(v) < 1 << 32 for w in words for v in w)
    assert "words=(address,1,1)" in "".join(shown(loss))
