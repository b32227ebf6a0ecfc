"""Files that are damaged or mean harm: an error that names what is wrong, never code that runs, never a crash."""

import builtins
import contextlib
import io
import os
import pickle
import random
import resource
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest

import jitgrad as jg

ERRORS = (pickle.UnpicklingError, RuntimeError, EOFError)


def archive(pickled, records=(), compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as out:
        out.writestr("x/data.pkl", pickled)
        out.writestr("x/byteorder", "little")
        for name, data in records:
            out.writestr(f"x/{name}", data)
        out.writestr("x/version", "3\n")
    return file.getvalue()


def load_pickle(pickled, records=()):
    return jg.load(io.BytesIO(archive(pickled, records)))


class Calls:
    """An object whose pickle calls a function."""

    def __init__(self, function, *arguments, state=None):
        self.call = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.call


# code ------------------------------------------------------------------------------------------------------


@pytest.fixture
def mark(tmp_path, monkeypatch):
    """A file that only exists if code from a pickle ran."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path / "ran"
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (os.system, ("touch ran",), "posix.system"),
        (subprocess.Popen, (["touch", "ran"],), "Popen"),
        (builtins.eval, ("open('ran', 'w')",), "builtins.eval"),
        (builtins.exec, ("open('ran', 'w')",), "builtins.exec"),
        (builtins.getattr, (os, "system"), None),
        (builtins.getattr, ("", "join"), "builtins.getattr"),
        (builtins.__import__, ("os",), "builtins.__import__"),
        (builtins.open, ("ran", "w"), None),
        (np.array, ([1],), "numpy.array"),
        (io.BytesIO, (b"x",), "_io.BytesIO"),
    ],
)
def test_functions_are_refused_by_name_and_never_called(mark, protocol, function, arguments, name):
    try:
        pickled = pickle.dumps({"w": [Calls(function, *arguments)]}, protocol)
    except TypeError:  # a module cannot be pickled: ask for its function by another way
        pickled = b"\x80\x02cbuiltins\ngetattr\n(cos\n__dict__\nX\x06\x00\x00\x00systemtR."
    with pytest.raises(pickle.UnpicklingError) as error:
        load_pickle(pickled)
    if name and protocol >= 2:
        assert name in str(error.value)


CODE = b"X\x09\x00\x00\x00touch ran"
ATTACKS = {
    "a global deep within arguments": b"\x80\x02ccollections\nOrderedDict\n](K\x01cos\nsystem\neatR.",
    "stack global": b"\x80\x04\x8c\x02os\x8c\x06system\x93" + CODE + b"\x85R.",
    "inst": b"(S'touch ran'\nios\nsystem\n.",
    "obj": b"\x80\x02(cos\nsystem\n" + CODE + b"o.",
    "newobj": b"\x80\x02ctorch\nTensor\n)\x81.",
    "newobj of a subclass": b"\x80\x04cbuiltins\ntype\n)}\x92.",
    "extension registry": b"\x80\x02\x82\x01.",
    "calling a container": b"\x80\x02]" + CODE + b"\x85R.",
    "calling text": b"\x80\x02" + CODE + b")R.",
    "calling a tensor": b"\x80\x02ctorch\nTensor\n)R.",
    "calling with no tuple": b"\x80\x02ccollections\nOrderedDict\n]R.",
    "a dotted name": b"\x80\x02ccollections\nOrderedDict.fromkeys\n)R.",
    "a dotted name of ours": b"\x80\x02cjitgrad.serialization.rebuild\nMaker\n)R.",
    "our own pickles": pickle.dumps(jg.ones(1), 2),
    "attributes": b"\x80\x02ccollections\nOrderedDict\n)R}X\x05\x00\x00\x00itemsX\x01\x00\x00\x00xsb.",
    "attributes of a list": b"\x80\x02]}b.",
    "attributes by a class": b"\x80\x02ctorch\nTensor\n}X\x0c\x00\x00\x00__reduce_ex__Nsb.",
    "appending to a dict": b"\x80\x02}K\x01a.",
    "setting in a list": b"\x80\x02]K\x01K\x02s.",
    "setting in a global": b"\x80\x02ctorch\nTensor\nX\x01\x00\x00\x00aK\x01s.",
    "a storage that is none": b"\x80\x02(X\x07\x00\x00\x00storageK\x01K\x02K\x03K\x04tQ.",
    "something else outside": b"\x80\x02X\x05\x00\x00\x00otherQ.",
    "an empty name outside": b"\x80\x02)Q.",
    "persistent text": b"Pstorage\n.",
    "a wrapped function": b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nN)}tR.",
    "a container as a function": b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(}N)}tR.",
    "a memory bomb of bytes": b"\x80\x02cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R.",
    "a codec": b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x04\x00\x00\x00zlib\x86R.",
    "a set of lists": b"\x80\x02cbuiltins\nset\n]]a\x85R.",
    "a key without a hash": b"\x80\x02}]K\x01s.",
    "a key nested beyond the stack": b"\x80\x02})" + b"\x85" * 200_000 + b"K\x01s.",
    "a name nested beyond the stack": b"\x80\x02)" + b"\x85" * 200_000 + b"Q.",
    "a device that is not there": b"\x80\x02ctorch\ndevice\nX\x04\x00\x00\x00nope\x85R.",
    "an element type that is not there": b"\x80\x02ctorch\nComplexFloatStorage\n.",
    "no values": b"\x80\x02.",
    "a mark that is missing": b"\x80\x02K\x01t.",
    "a memo that is missing": b"\x80\x02h\x07.",
    "text that is longer than the file": b"\x80\x02X\xff\xff\xff\xffab",
    "text that is none": b"\x80\x02X\x01\x00\x00\x00\xff.",
    "an old protocol": b"\x80\x01N.",
    "a future protocol": b"\x80\x09N.",
    "an unknown instruction": b"\x80\x02\xfe.",
    "no end": b"\x80\x02N",
}


@pytest.mark.parametrize("name", ATTACKS)
def test_hostile_pickles_are_refused(mark, name):
    with pytest.raises(ERRORS, match=r"load|device"):
        load_pickle(ATTACKS[name])


def test_what_is_refused_is_named():
    for pickled, says in (
        (b"\x80\x02cmy.models\nNet\n)\x81.", "my.models.Net"),
        (b"\x80\x02ctorch\nComplexFloatStorage\n.", "torch.ComplexFloatStorage"),
        (b"\x80\x02ctorch.nn.modules.linear\nLinear\n.", "torch.nn.modules.linear.Linear"),
    ):
        with pytest.raises(pickle.UnpicklingError, match="unsupported global") as error:
            load_pickle(pickled)
        assert says in str(error.value) and "state_dict" in str(error.value)


# tensors that do not fit their memory ----------------------------------------------------------------------


def tensor_pickle(
    offset=b"K\x00", size=b"K\x02\x85", stride=b"K\x01\x85", count=b"K\x04", kind=b"Float", end=b""
):
    storage = (
        b"(X\x07\x00\x00\x00storagectorch\n"
        + kind
        + b"Storage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
        + count
    )
    return (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"tQ" + offset + size + stride
            + b"\x89ccollections\nOrderedDict\n)R" + end + b"tR.")  # fmt: skip


def long(value):
    return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)


FOUR = [("data/0", np.arange(4, dtype=np.float32).tobytes())]


def test_the_plain_tensor_of_these_tests_loads():
    assert load_pickle(tensor_pickle(), FOUR).tolist() == [0.0, 1.0]
    assert load_pickle(tensor_pickle(offset=b"K\x02"), FOUR).tolist() == [2.0, 3.0]
    assert load_pickle(tensor_pickle(stride=b"K\x03\x85"), FOUR).tolist() == [0.0, 3.0]


@pytest.mark.parametrize(
    "change",
    [
        {"offset": b"K\x03"}, {"offset": b"J\xff\xff\xff\xff"}, {"offset": long(2**63)}, {"offset": b"N"},
        {"offset": b"\x88"}, {"size": b"K\x05\x85"}, {"size": b"J\xff\xff\xff\xff\x85"},
        {"size": long(2**62) + b"\x85"},
        {"size": b"G" + bytes(8) + b"\x85"}, {"size": b"]"}, {"size": b"K\x02K\x02\x86"}, {"stride": b"K\x04\x85"},
        {"stride": b"J\xff\xff\xff\xff\x85"}, {"stride": long(2**61) + b"\x85"}, {"stride": b")"},
        {"stride": b"N"},
        {"size": (b"K\x01" * 9).join([b"(", b"t"]), "stride": (b"K\x01" * 9).join([b"(", b"t"])},
        {"size": (long(2**40) * 2).join([b"(", b"t"]), "stride": (b"K\x00" * 2).join([b"(", b"t"])},
        {"count": b"K\x05"}, {"count": b"K\x03"}, {"count": b"J\xff\xff\xff\xff"}, {"count": long(2**62)},
        {"count": b"N"}, {"kind": b"Double"}, {"kind": b"Byte"}, {"end": b"NN"},
    ],
    ids=str,
)  # fmt: skip
def test_tensors_outside_their_storage_are_refused(change):
    with pytest.raises(ERRORS, match="load"):
        load_pickle(tensor_pickle(**change), FOUR)


def test_a_missing_storage_is_named():
    with pytest.raises(RuntimeError, match="data/0"):
        load_pickle(tensor_pickle())


def test_whole_number_tensors_cannot_require_gradients():
    pickled = tensor_pickle(kind=b"Int").replace(b"\x89ccollections", b"\x88ccollections")
    with pytest.raises(RuntimeError, match="floating point"):
        load_pickle(pickled, FOUR)


def test_bools_are_made_sound():
    made = load_pickle(tensor_pickle(kind=b"Bool"), [("data/0", bytes([0, 7, 1, 255]))])
    assert made.numpy().tobytes() == b"\x00\x01"


def test_a_tensor_of_another_device_needs_a_map():
    pickled = tensor_pickle().replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
    with pytest.raises(RuntimeError, match="map_location='cpu'"):
        load_pickle(pickled, FOUR)
    for target in ("cpu", {"cuda:0": "cpu"}, lambda storage, place: storage):
        assert jg.load(io.BytesIO(archive(pickled, FOUR)), map_location=target).tolist() == [0.0, 1.0]
    for target in ({"cuda:1": "cpu"}, lambda storage, place: None):
        with pytest.raises(RuntimeError, match="map_location='cpu'"):
            jg.load(io.BytesIO(archive(pickled, FOUR)), map_location=target)


# archives --------------------------------------------------------------------------------------------------


def test_a_zip_bomb_is_refused_before_it_is_unpacked():
    bomb = archive(
        tensor_pickle(count=b"J\x00\x00\x00\x10"), [("data/0", bytes(1 << 26))], zipfile.ZIP_DEFLATED
    )
    assert len(bomb) < 100_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(RuntimeError, match="compressed"):
        jg.load(io.BytesIO(bomb))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 14


def test_records_that_overlap_are_refused():
    data = bytearray(archive(b"\x80\x02N.", [(f"data/{k}", bytes(1000)) for k in range(9)]))
    with zipfile.ZipFile(io.BytesIO(data)) as whole:
        first = whole.getinfo("x/data/0").header_offset
    at = data.index(b"PK\x01\x02")
    while data[at : at + 4] == b"PK\x01\x02":  # every entry of the directory leads to the same long record
        name, extra, comment = struct.unpack("<HHH", data[at + 28 : at + 34])
        data[at + 20 : at + 28] = struct.pack("<II", 9000, 9000)
        data[at + 42 : at + 46] = struct.pack("<I", first)
        at += 46 + name + extra + comment
    with pytest.raises(RuntimeError, match="larger than the file"):
        jg.load(io.BytesIO(data))


def test_archives_of_another_kind_are_refused():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as out:
        out.writestr("a.npy", b"")
    file.seek(0)
    with pytest.raises(RuntimeError, match=r"data\.pkl"):
        jg.load(file)
    with pytest.raises(RuntimeError, match="TorchScript"):
        load_pickle(b"\x80\x02N.", [("constants.pkl", b"")])


def sample():
    file = io.BytesIO()
    jg.save({"a": jg.ones(3, 2).T, "b": [nn_parameter(), 1.5, "text", {"c": jg.arange(4)}]}, file)
    return file.getvalue()


def nn_parameter():
    return jg.nn.Parameter(jg.zeros(2))


def test_every_truncation_is_an_error():
    whole = sample()
    for length in range(0, len(whole), 7):
        with pytest.raises(ERRORS):
            jg.load(io.BytesIO(whole[:length]))


def test_damaged_bytes_give_an_error_or_an_intact_object():
    whole, rng = sample(), random.Random(0)
    for _ in range(1500):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 1, 1, 4))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        with contextlib.suppress(*ERRORS):
            repr(jg.load(io.BytesIO(data)))


def test_damaged_pickles_give_an_error_or_plain_objects():
    with zipfile.ZipFile(io.BytesIO(sample())) as whole:
        name = "archive"
        pickled = whole.read(f"{name}/data.pkl")
        records = [(n.removeprefix(f"{name}/"), whole.read(n)) for n in whole.namelist() if "/data/" in n]
    rng = random.Random(1)
    for _ in range(1500):
        data = bytearray(pickled)
        for _ in range(rng.choice((1, 1, 2, 8))):
            data[rng.randrange(len(data))] = rng.choice((rng.randrange(256), *b"cRQbt().\x85\x86\x87h"))
        try:
            made = load_pickle(bytes(data), records)
        except ERRORS:
            continue
        repr(made)


# files from before PyTorch 1.6 -----------------------------------------------------------------------------


def legacy(pickled, keys=("0",), elements=((4, FOUR[0][1]),)):
    head = b"".join(pickle.dumps(v, 2) for v in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    tail = b"".join(struct.pack("<q", count) + data for count, data in elements)
    return head + pickled + pickle.dumps(list(keys), 2) + tail


OLD = tensor_pickle().replace(b"K\x04tQ", b"K\x04NtQ")


def test_old_files_are_read():
    assert jg.load(io.BytesIO(legacy(OLD))).tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    "data",
    [
        legacy(ATTACKS["a global deep within arguments"]), legacy(OLD, keys=()), legacy(OLD, keys=("1",)),
        legacy(OLD, keys=(1,)), legacy(OLD, elements=()), legacy(OLD, elements=((5, FOUR[0][1]),)),
        legacy(OLD, elements=((4, b"short"),)), legacy(OLD)[:-1], legacy(OLD)[:60],
        legacy(OLD.replace(b"K\x04NtQ", long(2**50) + b"NtQ")), legacy(OLD, keys=(0,)),
        legacy(OLD.replace(b"NtQ", b"(K\x01K\x02K\x03ttQ")),
        pickle.dumps({"a": 1}, 2), pickle.dumps(1) * 3, b"\x80", b"\x80\x02",
    ],
)  # fmt: skip
def test_damaged_old_files_are_refused(data):
    with pytest.raises(ERRORS, match="load"):
        jg.load(io.BytesIO(data))


def test_loading_a_hostile_file_in_a_fresh_process_leaves_no_trace(tmp_path):
    (tmp_path / "bad.pt").write_bytes(archive(pickle.dumps(Calls(os.system, "touch ran"), 2)))
    code = "import jitgrad; jitgrad.load('bad.pt', weights_only=False)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "posix.system" in done.stderr
    assert os.listdir(tmp_path) == ["bad.pt"]
