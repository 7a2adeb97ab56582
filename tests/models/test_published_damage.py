"""Foreign, damaged and hostile files of weights: one line that says what was found, and nothing is executed."""

import io
import json
import pickle
import zipfile

import msgpack
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from published_files import Payload, bush_state, change_config, change_model, drc, leaf, resnet, written

from drc_lab.errors import UserError
from drc_lab.models.policy import Policy
from drc_lab.models.published import load

MUCH = 10**6  # bytes; what a reader may not be made to take from a file of some hundred


def refused(path, *words):
    """The one line."""
    with pytest.raises(UserError) as error:
        load(path)
    line = str(error.value)
    assert "\n" not in line and line.startswith(str(path)) and len(line) < 500
    for word in words:
        assert word in line, line
    return line


def bush(path, **changes):
    """A file of Bush et al.'s weights; None takes an array away."""
    state = {name: array.numpy() for name, array in bush_state().items()} | changes
    np.savez(path, **{name: array for name, array in state.items() if array is not None})
    return path


CONFIGS = {
    "another net": (lambda c: c["cfg"]["net"].update(_type_="os:system"), "net._type_: found 'os:system', allowed: "),
    "no kind of net": (lambda c: c["cfg"]["net"].pop("_type_") and None, "net._type_: found None"),
    "no net": (lambda c: {"cfg": {"seed": 1}}, "found no net in it"),
    "a list": (lambda c: [c], "found no net in it"),
    "normalised input": (lambda c: c["cfg"]["net"].update(normalize_input=True), "net.normalize_input: found True"),
    "another norm": (
        lambda c: c["cfg"]["net"].update(norm={"_type_": "cleanba.network:RMSNorm"}),
        "net.norm._type_: found 'cleanba.network:RMSNorm'",
    ),
    "two hidden layers": (lambda c: c["cfg"]["net"].update(mlp_hiddens=[8, 8]), "net.mlp_hiddens: found [8, 8]"),
    "no convolution": (lambda c: c["cfg"]["net"].update(embed=[]), "net.embed: found []"),
    "strides": (lambda c: c["cfg"]["net"]["embed"][0].update(strides=[2, 2]), "net.embed.0.strides.0: found 2"),
    "padding": (lambda c: c["cfg"]["net"]["embed"][1].update(padding="VALID"), "net.embed.1.padding: found 'VALID'"),
    "a flat kernel": (
        lambda c: c["cfg"]["net"]["embed"][1].update(kernel_size=[3, 4]),
        "net.embed.1.kernel_size: found [3, 4], allowed: ",
    ),
    "two kernel sizes": (
        lambda c: c["cfg"]["net"]["embed"][1].update(kernel_size=[3, 3]),
        "net.embed.1: found 4 features, kernel 3, allowed: 4 features, kernel 4",
    ),
    "other features": (lambda c: c["cfg"]["net"]["embed"][0].update(features=5), "net.embed.0: found 5 features"),
    "no cell": (lambda c: c["cfg"]["net"].update(recurrent=3), "net.recurrent: found 3"),
    "an unknown fence": (lambda c: cell(c).update(fence_pad="high"), "net.recurrent.fence_pad: found 'high'"),
    "a forget bias that is none": (lambda c: cell(c).update(forget_bias=float("nan")), "net.recurrent.forget_bias"),
    "too many layers": (lambda c: c["cfg"]["net"].update(n_recurrent=10**6), "found no network_params.cell_list_2"),
    "too few layers": (lambda c: c["cfg"]["net"].update(n_recurrent=1), "found 'network_params.cell_list_1."),
    "huge layers": (
        lambda c: c["cfg"]["net"].update(mlp_hiddens=[10**12]),
        "net.mlp_hiddens.0: found 1000000000000",
    ),
    "minus one layer": (lambda c: c["cfg"]["net"].update(n_recurrent=-1), "net.n_recurrent: found -1"),
    "the other pooling": (
        lambda c: cell(c).update(pool_projection="per-channel"),
        "found no network_params.cell_list_0",
    ),
    "a boundary that is not there": (lambda c: cell(c).update(fence_pad="no"), "which its configuration has no place"),
    "a kernel that is not there": (lambda c: cell(c)["conv"].update(kernel_size=[4, 4]), "of shape (3, 3, 12, 16)"),
}


def cell(config):
    return config["cfg"]["net"]["recurrent"]


@pytest.mark.parametrize(("change", "line"), CONFIGS.values(), ids=CONFIGS)
def test_a_configuration_that_cannot_be_names_its_key(tmp_path, change, line):
    folder = written(tmp_path / "cp")
    change_config(folder, change)
    refused(folder, line)


def test_an_even_kernel_of_the_gates_is_refused(tmp_path):
    folder = written(tmp_path / "cp", drc(kernel_size=5))
    change_config(folder, lambda c: cell(c)["conv"].update(kernel_size=[4, 4]))
    gates = ("ih", "hh", "fence")
    smaller = lambda path, array: leaf(array[:4, :4] if path[-2] in gates and array.ndim == 4 else array)  # noqa: E731
    change_model(folder, smaller)
    refused(folder, "kernel_size: found 4, allowed: an odd number")


@pytest.mark.parametrize("policy", [drc, resnet])
def test_every_array_is_needed_in_its_shape_and_finite(tmp_path, policy):
    folder = written(tmp_path / "cp", policy())
    whole = (folder / "model").read_bytes()
    names = []
    change_model(folder, lambda path, array: names.append(path) or leaf(array))
    assert len(names) > 10
    for name in names:
        dotted = ".".join(name[1:])
        for change, line in {
            lambda array: None: "found no " + dotted,
            lambda array: leaf(np.concatenate([array, array], -1)): "found ",
            lambda array: leaf(array[..., None, None]): f"found {dotted} of shape",
            lambda array: leaf(array[..., :0]): "found ",
            lambda array: leaf(np.full_like(array, np.nan)): f"found numbers in {dotted} that are not finite",
            lambda array: leaf(array.astype(np.int32)): f"{dotted} is damaged (found 'int32', allowed: float16",
            lambda array: {"deeper": leaf(array)}: f"found no {dotted}",
            lambda array: "text": f"{dotted} is damaged (found str, allowed: an array)",
        }.items():
            (folder / "model").write_bytes(whole)
            change_model(folder, lambda p, a, name=name, change=change: change(a) if p == name else leaf(a))
            refused(folder, "model: ", line)


def test_copies_of_an_array_that_differ_are_no_copies(tmp_path):
    folder = written(tmp_path / "cp")
    change_model(folder, lambda path, array: leaf(np.stack([array, array + 1])))
    refused(folder, "of shape (2, ")


def packed(*fields):
    return msgpack.ExtType(1, msgpack.packb(fields))


BIAS = ("Output", "bias")
LEAVES = {
    "a huge shape": packed([2**40, 2**40], "float32", b"1234"),
    "a negative shape": packed([-1], "float32", b"1234"),
    "a shape of texts": packed(["4"], "float32", b"1234"),
    "no shape": packed(4, "float32", b"1234"),
    "no bytes": packed([4], "float32", 16),
    "too few bytes": packed([4], "float32", b"12"),
    "objects": packed([1], "object", b"12345678"),
    "a dtype that is none": packed([1], ["<f4"], b"1234"),
    "empty and huge": packed([0, 2**62, 2**62], "float32", b""),
    "too many axes": packed([1] * 2000, "float32", b"1234"),
    "four fields": packed([1], "float32", b"1234", 0),
    "no fields": msgpack.ExtType(1, b""),
    "half a field": msgpack.ExtType(1, b"\xc9\xff\xff"),
    "a list that claims to be long": msgpack.ExtType(1, b"\xdd\xff\xff\xff\xff"),
    "a complex number": msgpack.ExtType(2, msgpack.packb((1.0, 2.0))),
    "a numpy scalar": msgpack.ExtType(3, msgpack.packb(((), "float32", b"1234"))),
    "pickle": msgpack.ExtType(1, pickle.dumps([1])),
    "a map": {"a": 1},
    "a number": 7,
    "chunks without a shape": {"__msgpack_chunked_array__": True, "chunks": {"0": leaf(np.ones(4, np.float32))}},
    "no chunks": {"__msgpack_chunked_array__": True, "shape": {"0": 4}, "chunks": {}},
    "chunks within chunks": {
        "__msgpack_chunked_array__": True,
        "shape": {"0": 4},
        "chunks": {"0": {"__msgpack_chunked_array__": True, "shape": {}, "chunks": {}}},
    },
    "chunks of another size": {
        "__msgpack_chunked_array__": True,
        "shape": {"0": 5},
        "chunks": {"0": leaf(np.ones(4, np.float32))},
    },
}


@pytest.mark.parametrize("stored", LEAVES.values(), ids=LEAVES)
def test_what_is_no_array_is_refused(tmp_path, stored):
    folder = written(tmp_path / "cp")
    change_model(folder, lambda path, array: stored if path[-2:] == BIAS else leaf(array))
    refused(folder, "model: ")


@pytest.mark.parametrize("shape", [[2**40, 2**40], [4], [3, 0], []])
def test_an_array_has_the_bytes_of_its_shape(tmp_path, shape):
    folder = written(tmp_path / "cp")
    stored = packed(shape, "float32", b"12345")
    change_model(folder, lambda path, array: stored if path[-2:] == BIAS else leaf(array))
    refused(folder, "Output.bias is damaged (its bytes are not the ", f" of {shape} float32)")


def test_lists_cannot_claim_much_more_memory_than_the_file_has_bytes(tmp_path):
    """msgpack takes the memory of a list when it begins; by itself it stops at one entry for each byte of the file."""
    folder = written(tmp_path / "cp")
    (folder / "model").write_bytes(nested(900, b"\xdd" + (60_000).to_bytes(4, "big")) + bytes(60_000))
    refused(folder, "60000 exceeds max_array_len(1024)")


def nested(levels, of):
    return of * levels + b"\xc0"


MODELS = {
    "empty": b"",
    "pickle": pickle.dumps({"params": [1, 2, 3]}),
    "text": b"weights",
    "a number": b"\x07",
    "a list": msgpack.packb([1, 2]),
    "another map": msgpack.packb({"weights": 1}),
    "params of no kind": msgpack.packb({"params": 3}),
    "no params": msgpack.packb({"params": {}}),
    "keys that are lists": b"\x81\x91\x01\x02",
    "keys that are bytes": msgpack.packb({"params": {b"network_params": {b"\xff": 1}}}),
    "text that is none": b"\x81\xa6params\xa1\xff",
    "deep maps": b"\x81\xa6params" + nested(900, b"\x81\xa1a"),
    "deeper maps": b"\x81\xa6params" + nested(100_000, b"\x81\xa1a"),
    "deep lists": nested(100_000, b"\x91"),
    "lists that claim to be long": nested(1000, b"\xdd\x00\x0f\xff\xff"),
    "a map that claims to be long": b"\xdf\xff\xff\xff\xff",
    "bytes that claim to be many": b"\x81\xa6params\xc6\xff\xff\xff\xff",
    "something behind it": msgpack.packb({"params": {}}) * 2,
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_model_of_another_kind_is_refused(tmp_path, model):
    folder = written(tmp_path / "cp")
    (folder / "model").write_bytes(model)
    refused(folder, "model: ")


@pytest.mark.parametrize(
    "text", ["", "{", "nonsense", "[" * 100_000, "\0", b"\xff\xfe", "[1]", "3", "null", '{"cfg": 1}', "9" * 10_000]
)
def test_a_configuration_that_is_none_is_refused(tmp_path, text):
    folder = written(tmp_path / "cp")
    (folder / "cfg.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    refused(folder, "cfg.json: ")


@pytest.mark.parametrize("missing", ["cfg.json", "model"])
def test_a_file_that_is_missing_or_a_folder_is_named(tmp_path, missing):
    folder = written(tmp_path / "cp")
    (folder / missing).unlink()
    refused(folder, f"{missing}: No such file or directory")
    (folder / missing).mkdir()
    refused(folder, f"{missing}: Is a directory")
    refused(tmp_path / "nowhere", "no such file or folder")


@pytest.mark.parametrize("name", ["cfg.json", "model"])
def test_half_a_file_is_refused_wherever_it_ends(tmp_path, name):
    folder = written(tmp_path / "cp", drc(num_layers=1))
    whole = (folder / name).read_bytes()
    for end in range(0, len(whole), len(whole) // 97):
        (folder / name).write_bytes(whole[:end])
        refused(folder, f"{name}: ")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(["cfg.json", "model"]), seed=st.integers(0, 2**32 - 1), flips=st.integers(1, 4))
def test_flipped_bytes_give_one_line_or_a_policy(tmp_path, name, seed, flips):
    folder = tmp_path / "cp"
    if not folder.exists():
        written(folder, drc(num_layers=1))
    whole = (folder / name).read_bytes()
    rng, broken = np.random.default_rng(seed), bytearray(whole)
    # Half of them where the structure is, which is a small part of the file.
    places = [i for i, byte in enumerate(whole) if rng.random() < 0.5 or 32 <= byte < 127] if name == "model" else None
    for place in rng.choice(places or len(whole), flips):
        broken[place] = rng.integers(256)
    (folder / name).write_bytes(bytes(broken))
    try:
        policy = load(folder)
    except UserError as error:
        assert "\n" not in str(error) and str(error).startswith(str(folder))
    else:
        assert isinstance(policy, Policy)
        assert all(weight.isfinite().all() for weight in policy.parameters())
    finally:
        (folder / name).write_bytes(whole)


def test_every_array_of_bush_et_al_is_needed_in_its_shape_and_finite(tmp_path):
    path = tmp_path / "weights.npz"
    for name, array in bush_state().items():
        array = array.numpy()
        for changed, line in (
            (None, "found no "),
            (np.concatenate([array, array]), "allowed: "),
            (array[..., None, None], f"found {name} of shape"),
            (np.full_like(array, np.inf), f"found numbers in {name} that are not finite"),
            (array.astype(np.int64), f"found {name} of torch.int64, allowed: floats"),
        ):
            refused(bush(path, **{name: changed}), line)
    refused(bush(path, attention=np.ones(3, np.float32)), "found 'attention', which its configuration has no place for")
    refused(
        bush(path, **{"final_layer.weight": np.ones((8, 9), np.float32)}), "for 9 features, allowed: a multiple of 8"
    )
    load(bush(path, kl_beta=np.ones((), np.float32)))


def test_pickled_code_in_weights_of_bush_et_al_is_not_run(tmp_path):
    trap = tmp_path / "trap"
    refused(bush(tmp_path / "a.npz", policy=np.array([Payload(str(trap))], object)), "no whole .npz file")
    (tmp_path / "b.npz").write_bytes(pickle.dumps(Payload(str(trap))))
    refused(tmp_path / "b.npz", "no whole .npz file")
    torch.save({"actor_net_state_dict": Payload(str(trap))}, tmp_path / "c.tar")
    (tmp_path / "d.pt").write_bytes(pickle.dumps(Payload(str(trap))))
    for name in ("c.tar", "d.pt"):
        refused(tmp_path / name, "neither a cp_* folder, nor a whole .npz, .tar or .pt file of weights")
    assert not trap.exists()


def test_archives_that_unpack_to_more_than_weights_are_refused_before_they_do(tmp_path, monkeypatch):
    monkeypatch.setattr("drc_lab.models.published.bush2025.LARGEST", MUCH)
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("policy.weight.npy", bytes(10 * MUCH))
    assert path.stat().st_size < MUCH / 10
    refused(path, "found 10000000 bytes when unpacked, allowed: 1000000")
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (2**50,)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("policy.weight.npy", header.getvalue())
    refused(path, "no whole .npz file")


def test_half_a_file_of_bush_et_al_is_refused_wherever_it_ends(tmp_path):
    torch.save(bush_state(), tmp_path / "weights.pt")
    for path in (bush(tmp_path / "weights.npz"), tmp_path / "weights.pt"):
        whole = path.read_bytes()
        for end in range(0, len(whole), len(whole) // 29):
            path.write_bytes(whole[:end])
            refused(path)


@pytest.mark.parametrize("stored", [torch.zeros(3), {"weights": 3}, [1, 2], {"actor_net_state_dict": {"a": "b"}}])
def test_a_file_of_torch_that_holds_no_state_dict_is_refused(tmp_path, stored):
    torch.save(stored, tmp_path / "a.pt")
    refused(tmp_path / "a.pt", "found no state dict of tensors in it")
    (tmp_path / "b.json").write_text(json.dumps({"a": 1}))
    refused(tmp_path / "b.json", "neither a cp_* folder, nor")
