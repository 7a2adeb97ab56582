"""Archives whose few bytes claim to be many, or something else than numbers, are refused before they are unpacked."""

import io
import pickle
import resource
import struct
import zipfile

import numpy as np
import pytest
import torch
from published_files import Payload

from drc_lab.archives import read_npz, unpacking
from drc_lab.errors import UserError
from drc_lab.saved_tensors import read_torch
from drc_lab.untrusted import MiB, plain_tree, read_config

MANY = 2**34  # bytes


@pytest.fixture(autouse=True)
def little_memory():
    """Whoever takes what a file claims gets a MemoryError."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (8 * 2**30, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_DATA, before)


def header(shape, dtype="<f4"):
    data = io.BytesIO()
    np.lib.format.write_array_header_1_0(data, {"descr": dtype, "fortran_order": False, "shape": shape})
    return data.getvalue()


def zipped(path, members, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def claiming(path, size):
    """The archive with another size of its last member in its directory."""
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\1\2")
    data[at + 24 : at + 28] = struct.pack("<I", size)
    path.write_bytes(bytes(data))
    return path


def test_an_array_that_claims_more_than_its_part_of_the_archive_takes_no_memory(tmp_path):
    for shape in ((2**50,), (2**31, 2**31), (MANY,), (3,), (0, 2**60)):
        path = zipped(tmp_path / "a.npz", {"a.npy": header(shape) + bytes(16)})
        with pytest.raises(ValueError, match="has other bytes than its shape"):
            read_npz(path, MiB)


@pytest.mark.parametrize("dtype", ["|O", "<U4", "|V8", "<M8[s]"])
def test_an_array_of_something_else_than_numbers_is_refused(tmp_path, dtype):
    path = zipped(tmp_path / "a.npz", {"a.npy": header((1,), dtype) + pickle.dumps(Payload(str(tmp_path / "trap")))})
    with pytest.raises(ValueError, match="not numbers"):
        read_npz(path, MiB)
    assert not (tmp_path / "trap").exists()


def test_an_archive_that_unpacks_to_too_much_is_refused_by_what_it_declares(tmp_path):
    path = zipped(tmp_path / "a.npz", {"a.npy": bytes(80 * MiB)}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < MiB
    with pytest.raises(UserError, match="found 83886080 bytes when unpacked, allowed: 67108864"):
        read_npz(path, 2**40)
    with pytest.raises(UserError, match="bytes when unpacked, allowed: "), unpacking(claiming(path, 2**32 - 2), 2**40):
        pass


def test_an_archive_that_lies_about_a_size_is_not_read_beyond_it(tmp_path):
    path = zipped(tmp_path / "a.npz", {"a.npy": header((2**20,)) + bytes(2**22)}, zipfile.ZIP_DEFLATED)
    with pytest.raises((ValueError, zipfile.BadZipFile)):
        read_npz(claiming(path, 200), MiB)


def test_members_that_overlap_or_share_a_name_are_refused(tmp_path):
    path = zipped(tmp_path / "a.zip", {"a": bytes(1000)})
    data = path.read_bytes()
    at = data.index(b"PK\1\2")
    entry, end = data[at : data.index(b"PK\5\6")], bytearray(data[data.index(b"PK\5\6") :])
    end[8:12], end[12:16] = struct.pack("<HH", 9, 9), struct.pack("<I", 9 * len(entry))
    for name in (b"a", None):
        more = [entry[:46] + (name or bytes([98 + i])) + entry[47:] for i in range(8)]
        path.write_bytes(data[:at] + entry + b"".join(more) + end)
        with pytest.raises(zipfile.BadZipFile, match="its members overlap"), unpacking(path, MiB):
            pass
    path = zipped(tmp_path / "b.zip", {"a": b"1"})
    with pytest.warns(UserWarning), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("a", b"2")
    with pytest.raises(zipfile.BadZipFile, match="two members have the same name"), unpacking(path, MiB):
        pass


def test_a_directory_of_an_archive_is_bounded_too(tmp_path):
    path = tmp_path / "a.zip"
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 60000, 60000, 20 * MiB, 0, 0)
    path.write_bytes(bytes(20 * MiB) + end)
    with pytest.raises(zipfile.BadZipFile, match="a directory of more than 16,777,216 bytes"), unpacking(path, 2**30):
        pass


def repacked(path, change, method=zipfile.ZIP_STORED):
    """A file of torch whose members are ``change(name, data)``."""
    with zipfile.ZipFile(path) as archive:
        members = {name: change(name, archive.read(name)) for name in archive.namelist()}
    return zipped(path, members, method)


def refused(path, line=None):
    with pytest.raises(Exception, match=line):
        read_torch(path)


def saved(path, value):
    torch.save(value, path)
    return path


def test_a_file_of_torch_comes_back(tmp_path):
    value = {"a": torch.arange(6.0).reshape(2, 3).t(), "b": [1, "x", None, (2.5, True)], "c": torch.zeros(0, 5)}
    loaded = read_torch(saved(tmp_path / "a.pt", value))
    assert torch.equal(loaded.pop("a"), value.pop("a")) and torch.equal(loaded.pop("c"), value.pop("c"))
    assert loaded == value


def test_a_tensor_that_claims_more_than_its_part_of_the_file_takes_no_memory(tmp_path):
    def longer(name, data):
        four, many = b"K\x04", b"\x8a\x05" + (10**10).to_bytes(5, "little")
        return data.replace(b"q\x06" + four, b"q\x06" + many).replace(b"QK\x00" + four, b"QK\x00" + many)

    path = saved(tmp_path / "a.pt", {"a": torch.arange(4)})
    before = path.read_bytes()
    refused(repacked(path, longer))
    assert path.read_bytes() != before
    refused(saved(tmp_path / "b.pt", {"a": torch.zeros(1).expand(10**12)}), "of which the file holds less")


def test_a_compressed_file_of_torch_is_refused(tmp_path):
    path = repacked(saved(tmp_path / "a.pt", torch.zeros(10**6)), lambda name, data: data, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 10**5
    refused(path, "it is compressed, as torch never does")


def test_a_file_of_an_old_torch_is_refused_because_it_could_claim_any_size(tmp_path):
    torch.save(torch.zeros(3), tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    refused(tmp_path / "a.pt", "it is no file of torch 1.6 or newer")


def test_pickled_code_is_not_run(tmp_path):
    refused(saved(tmp_path / "a.pt", {"a": Payload(str(tmp_path / "trap"))}))
    assert not (tmp_path / "trap").exists()


@pytest.mark.parametrize("kind", [torch.eye(3).to_sparse(), torch.zeros(3, device="meta")])
def test_tensors_of_other_kinds_are_refused(tmp_path, kind):
    refused(saved(tmp_path / "a.pt", {"a": kind}), "a tensor of ")


def billions():
    """A tree of ten branches ten times over, each stored once."""
    node = ["x"]
    for _ in range(10):
        node = [node] * 10
    return node


def test_values_that_are_stored_once_and_occur_billions_of_times_are_refused(tmp_path):
    refused(saved(tmp_path / "a.pt", {"config": billions()}), "more than 2,000,000 values")
    with pytest.raises(ValueError, match="more than 100,000 values"):
        plain_tree(billions())
    deep = []
    for _ in range(60):
        deep = [deep]
    with pytest.raises(ValueError, match="deeper than 50"):
        plain_tree(deep)


CONFIGS = {
    "it refers to itself": "a: &a [x, x]\nb: [*a, *a]\n",
    "mapping": "- 1\n- 2\n",
    "no config of a run": "a: [1, 2",
    "could not determine a constructor": "a: !!python/object/apply:os.system ['true']\n",
    "Circular": "a: ${b",
}


@pytest.mark.parametrize("text", CONFIGS.values(), ids=CONFIGS)
def test_a_config_file_that_no_run_wrote_gets_one_line(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UserError, match="no config of a run") as error:
        read_config(tmp_path / "config.yaml")
    assert "\n" not in str(error.value)
