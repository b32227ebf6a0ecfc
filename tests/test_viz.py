"""Pictures of the tape: their content, their drawing, and the page in a browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from custom_functions import Pair

import jitgrad as torch
from jitgrad import nn, viz
from jitgrad.viz import layers, model

SVG = "{http://www.w3.org/2000/svg}"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def network():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 3))
    net[0].weight.requires_grad_(False)
    loss = nn.functional.cross_entropy(net(torch.randn(5, 2)), torch.tensor([0, 1, 2, 0, 1]))
    return net, loss


def shared(rows):
    a = torch.tensor([0.5, -0.25], requires_grad=True)
    values = [a, a.exp()]
    for k in range(rows):
        values.append((values[-1] * values[k // 2]).tanh() if k % 3 else values[-1] + values[k // 3])
    return values[-1].sum()


def boxes(svg):
    root = ET.fromstring(svg)
    found = {}
    for g in root.iter(f"{SVG}g"):
        if "node" in g.get("class", "").split():
            r = g.find(f"{SVG}rect")
            found[g.get("id")] = tuple(float(r.get(k)) for k in ("x", "y", "width", "height"))
    return root, found


def test_workspaces_of_kernels_have_no_values_to_show():
    garbage = np.full(4 * 26 * 26, 0x7F800001, np.uint32).view(np.float32)
    held = [torch.from_numpy(garbage).clone() for _ in range(20)]
    del held  # so that the workspace comes from memory that holds no numbers
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
    (row,) = [
        n for n in model.read(net(torch.randn(1, 1, 28, 28)), {}, True, True).rows if len(n.outputs) == 2
    ]
    assert row.outputs[1].numbers is None
    assert row.outputs[1].gradient is None


@pytest.mark.parametrize("bits", [0x7F800001, 0x7FC00000, 0xFF800001])
def test_a_nan_of_any_form_is_told_without_a_warning(bits):
    told = model.numbers_of(np.array([bits, 0x3F800000], np.uint32).view(np.float32))
    assert told.strange == 1
    assert told.brief() == "1 .. 1, 1 not finite"


def test_content():
    net, loss = network()
    g = viz.graph(loss, params=dict(net.named_parameters()))
    kinds = {n.title: n.kind for n in g.model.nodes if not n.number}
    assert kinds["0.weight"] == model.FROZEN
    assert kinds["0.bias"] == kinds["2.weight"] == model.LEAF
    assert sorted(kinds.values()).count(model.CONSTANT) == 2
    assert [n.title for n in g.model.rows] == ["linear", "tanh", "linear", "cross_entropy_mean"]
    assert g.model.rows[-1].outputs[0].numbers.brief() == f"{loss.item():.4g}"
    assert g.model.root is g.model.rows[-1].outputs[0]


def test_gradients_are_those_of_backward_and_nothing_is_touched():
    net, loss = network()
    g = viz.graph(loss, params=dict(net.named_parameters()))
    assert all(p.grad is None for p in net.parameters())
    told = {v.name: v.gradient for n in g.model.nodes for v in n.outputs}
    loss.backward()
    for name, p in net.named_parameters():
        if p.requires_grad:
            np.testing.assert_allclose(told[name].low, p.grad.numpy().min(), rtol=1e-6)
            np.testing.assert_allclose(told[name].high, p.grad.numpy().max(), rtol=1e-6)
        else:
            assert told[name] is None


def test_dropped_values_are_worked_out_again():
    torch.manual_seed(1)
    x, w = torch.randn(4, 3), torch.randn(3, 3, requires_grad=True)
    b = torch.randn(3, requires_grad=True)
    first = nn.functional.linear(x, w, b)
    second = torch.nn.functional.leaky_relu(first @ w + first, 0.3).reshape(-1)
    expected = [t.detach().numpy().copy() for t in (first, second)]
    total = (second * 1.0).exp().sum()
    del first, second
    found = {n.title: n.outputs[0].numbers for n in viz.graph(total).model.rows}
    for title, values in zip(("linear", "view"), expected, strict=True):
        np.testing.assert_allclose(
            [found[title].low, found[title].high], [values.min(), values.max()], rtol=1e-5
        )
    assert all(found[t] is not None for t in ("matmul", "add", "leaky_relu"))


def test_after_backward_the_freed_rows_are_told_of():
    x = torch.tensor([2.0], requires_grad=True)
    y = x.exp()
    y.backward()
    (node,) = viz.graph(y).model.nodes
    assert node.kind == model.FREED
    z = y.detach() * 3
    assert viz.graph(z).model.nodes[0].kind == model.CONSTANT
    assert "grad 7.389" in viz.graph(x).svg()


def test_dot_names_every_node_and_points_forwards():
    net, loss = network()
    g = viz.make_dot(loss, params=dict(net.named_parameters()))
    assert g.source.startswith("digraph tape {")
    edges = re.findall(r"^  (\w+) -> (\w+)", g.source, re.MULTILINE)
    assert ("r1", "r2") in edges
    assert ("r3", "r4") in edges
    assert {a for a, b in edges} | {b for a, b in edges} == {n.key for n in g.model.nodes}
    assert str(g) == g.source


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_graphviz_reads_the_dot(tmp_path):
    _, loss = network()
    done = subprocess.run(
        ["dot", "-Tsvg"], input=viz.graph(loss).source, text=True, capture_output=True, check=True
    )
    assert "<svg" in done.stdout


def test_boxes_do_not_overlap_and_hold_their_text():
    for picture in (network()[1], shared(10), shared(100)):
        g = viz.graph(picture)
        root, found = boxes(g.svg())
        assert len(found) == len(g.model.nodes)
        places = list(found.values())
        for k, (x, y, w, h) in enumerate(places):
            for x2, y2, w2, h2 in places[k + 1 :]:
                assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y
        width, height = float(root.get("width")), float(root.get("height"))
        assert all(x >= 0 and x + w <= width and y + h <= height for x, y, w, h in places)
        for group in root.iter(f"{SVG}g"):
            if "node" in group.get("class", "").split():
                room = float(group.find(f"{SVG}rect").get("width"))
                assert all(len(t.text) * 0.602 * 12 < room for t in group.findall(f"{SVG}text"))


def test_lines_lead_down_and_pass_no_box():
    g = viz.graph(shared(40))
    root, found = boxes(g.svg())
    paths = [p for p in root.iter(f"{SVG}path") if p.get("class") == "edge"]
    assert len(paths) == len({(e.source, e.target) for e in g.model.edges})
    for path in paths:
        numbers = [float(n) for n in re.findall(r"-?[\d.]+", path.get("d"))]
        points = list(zip(numbers[::2], numbers[1::2], strict=True))
        heights = [y for _, y in points]
        assert heights == sorted(heights)
        uprights = [(a, b) for a, b in zip(points[::3], points[3::3], strict=False) if a[0] == b[0]]
        for (x, top), (_, bottom) in uprights:
            for key, (left, y, w, h) in found.items():
                if key not in (path.get("data-from"), path.get("data-to")) and y < bottom and top < y + h:
                    assert not left < x < left + w


def test_a_graph_that_needs_no_crossing_has_none():
    drawing = layers.draw([(40, 20)] * 6, [(0, 3), (1, 4), (2, 5), (0, 4)], [False] * 6)
    order = sorted(range(3, 6), key=lambda k: drawing.boxes[k].x)
    above = sorted(range(3), key=lambda k: drawing.boxes[k].x)
    assert [k + 3 for k in above] == order


def test_a_chain_is_a_straight_line():
    drawing = layers.draw([(40, 20)] * 5, [(0, 1), (1, 2), (2, 3), (3, 4)], [False] * 5)
    assert len({round(b.x, 6) for b in drawing.boxes}) == 1


def test_custom_functions_and_several_results():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    a, b = Pair.apply(x)
    g = viz.graph(a * b)
    assert [v.name for v in g.model.rows[0].outputs] == ["%1.0", "%1.1"]
    ET.fromstring(g.svg())
    assert x.grad is None


def test_texts_from_outside_are_escaped():
    x = torch.tensor([1.0, float("nan")], requires_grad=True)
    g = viz.graph(x.exp(), {'<b>"&</script>': x})
    ET.fromstring(g.svg())
    assert "</script>" not in re.search(r'id="data">(.*?)</script>', g.html(), re.DOTALL)[1]
    assert "1 not finite" in g.svg()


def test_values_and_gradients_can_be_left_out():
    _, loss = network()
    g = viz.graph(loss, values=False, gradients=False)
    assert all(v.numbers is None and v.gradient is None for n in g.model.nodes for v in n.outputs)


def test_files(tmp_path):
    g = viz.graph(shared(3))
    assert g.save(tmp_path / "a.svg").read_text() == g.svg() == g._repr_svg_()
    assert g.save(tmp_path / "a.dot").read_text() == g.source
    assert g.save(str(tmp_path / "a.html")).read_text() == g.html()
    assert g.render(tmp_path / "b", format="svg") == str(tmp_path / "b.svg")
    with pytest.raises(ValueError, match="has no ending"):
        g.save(tmp_path / "plain")


def test_other_forms_need_graphviz(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "graphviz", None)
    with pytest.raises(ImportError, match=r"pip install 'jitgrad\[viz\]'.*\.svg and \.html need neither"):
        viz.graph(shared(3)).save(tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


def test_misuse():
    with pytest.raises(TypeError, match=r"viz.graph: expected a Tensor, got list"):
        viz.graph([1])
    with pytest.raises(TypeError, match="params must map names to tensors"):
        viz.graph(shared(3), params=[shared(3)])


def test_the_page_stands_alone_and_holds_every_row():
    g = viz.graph(shared(12))
    html = g.html()
    assert not re.search(r'(src|href)="', html)
    assert not re.search(r"https?://(?!www\.w3\.org)", html)
    data = json.loads(re.search(r'id="data">(.*?)</script>', html, re.DOTALL)[1])
    assert [r["number"] for r in data["rows"]] == list(range(1, len(g.model.rows) + 1))
    assert html.count("<tr data-row=") == len(g.model.rows)
    assert "{{" not in html


SCRIPT = """<script>
const told = [];
const key = name => document.dispatchEvent(new KeyboardEvent("keydown", {key: name, bubbles: true}));
const tell = () => told.push([document.getElementById("where").textContent,
  document.querySelector("tr.now").dataset.row, document.querySelector(".node.now").id,
  document.querySelectorAll(".node.ahead").length, document.querySelector("#detail h2").textContent,
  document.querySelectorAll("#detail dd").length]);
tell();
key("ArrowRight"); tell();
document.getElementById("next").click(); tell();
key("End"); tell();
document.getElementById("back").click(); tell();
const slider = document.getElementById("step");
slider.value = 4; slider.dispatchEvent(new Event("input")); tell();
document.querySelector('tr[data-row="r2"]').click(); tell();
key("Home"); tell();
const wide = [...document.querySelectorAll("svg .node")].filter(g => [...g.querySelectorAll("text")].some(t =>
  t.getBBox().width > g.querySelector("rect").getBBox().width)).length;
document.body.append(Object.assign(document.createElement("pre"),
  {id: "told", textContent: JSON.stringify({told, wide,
    scroll: document.documentElement.scrollWidth - innerWidth})}));
</script>"""


@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
def test_the_page_steps_through_both_passes_in_a_browser(tmp_path):
    _, loss = network()
    page = tmp_path / "page.html"
    page.write_text(viz.graph(loss).html().replace("</body>", SCRIPT + "</body>"))
    with tempfile.TemporaryDirectory() as profile:
        done = subprocess.run(
            [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync",
             f"--user-data-dir={profile}", "--window-size=1300,800", "--dump-dom", f"file://{page}"],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
    found = ET.fromstring(re.search(r'<pre id="told">.*?</pre>', done.stdout, re.DOTALL)[0])
    result = json.loads(found.text)
    where = [t[0] for t in result["told"]]
    assert where == [
        "forward 1 of 4", "forward 2 of 4", "forward 3 of 4", "backward 4 of 4", "backward 3 of 4",
        "forward 4 of 4", "forward 2 of 4", "forward 1 of 4",
    ]  # fmt: skip
    assert [t[1] for t in result["told"]] == [t[2] for t in result["told"]]
    assert [t[1] for t in result["told"]] == ["r1", "r2", "r3", "r1", "r2", "r4", "r2", "r1"]
    assert result["told"][0][3] > 0  # what comes later is dimmed
    assert result["told"][5][3] == 0
    assert result["told"][3][4] == "Backward through row 1: linear"
    assert all(t[5] for t in result["told"])
    assert result["wide"] == 0
    assert result["scroll"] <= 0


def test_files_of_the_page_are_installed():
    assert (Path(viz.__file__).parent / "page.html").is_file()


def test_it_is_there_without_an_import_of_its_own():
    code = "import sys, jitgrad; assert 'jitgrad.viz' not in sys.modules; print(jitgrad.viz.graph)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "function graph" in done.stdout
