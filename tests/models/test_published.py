"""Published weights answer as the code that they were trained with, and what is written is read back."""

import hydra
import msgpack
import numpy as np
import pytest
import torch
from published_files import bush_state, change_config, change_model, drc, leaf, resnet, written
from reference_cleanba import original

from drc_lab.arguments import plain
from drc_lab.envs.sokoban import level as sokoban
from drc_lab.envs.sokoban.env import SokobanVectorEnv
from drc_lab.errors import UserError
from drc_lab.models.drc import DRCPolicy
from drc_lab.models.mlp import MLPPolicy
from drc_lab.models.published import load, read, save_flax
from drc_lab.models.resnet import ResNetPolicy
from drc_lab.paths import CONF

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
FOLDERS = ["drc33_c8", "drc11_c8_8x6", "drc22_c8_full_same", "drc22_c8_sigmoid_nofence", "resnet_small"]


def preset(name):
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return plain(hydra.compose("config", overrides=[f"policy={name}"]).policy)


def check_expected(policy, expected, obs, to_theirs):
    """As a sequence and step by step, with resets; carries too, where there are any."""
    starts = torch.from_numpy(expected["episode_starts"])
    assert starts[1:].any() and not starts[1:].all()
    state = policy.init_state(starts.shape[1])
    steps = []
    with torch.no_grad():
        whole = policy.unroll(obs, state, starts)
        for t in range(len(obs)):
            out, state = policy.unroll(obs[t : t + 1], state, starts[t : t + 1])
            steps.append(out)
    one_by_one = [torch.cat(parts) for parts in zip(*steps, strict=True)], state
    for (logits, value), carry in (whole, one_by_one):
        torch.testing.assert_close(logits, torch.from_numpy(expected["logits"]), **CLOSE)
        torch.testing.assert_close(value[..., 0], torch.from_numpy(expected["values"]), **CLOSE)
        for name, maps in zip(("final_h", "final_c"), carry, strict=False):
            theirs = torch.from_numpy(expected[name])
            torch.testing.assert_close(torch.stack([to_theirs(x) for x in maps]), theirs, **CLOSE)


@pytest.mark.parametrize("name", FOLDERS)
def test_the_original_jax_code_gives_the_same(reference, name):
    folder = reference / "learned_planner" / name
    expected = np.load(folder / "expected.npz")
    obs = torch.from_numpy(expected["obs"])
    policy = load(folder, board=obs.shape[-2:])
    assert not policy.training
    check_expected(policy, expected, obs, lambda x: x.permute(0, 2, 3, 1))


@pytest.mark.parametrize("suffix", ["npz", "tar", "pt"])
def test_the_original_torch_code_gives_the_same(reference, tmp_path, suffix):
    folder = reference / "bush2025/drc33_c8"
    expected, path = np.load(folder / "expected.npz"), folder / "weights.npz"
    if suffix != "npz":
        weights = {name: torch.from_numpy(array) for name, array in np.load(path).items()}
        path = tmp_path / f"weights.{suffix}"
        torch.save(weights if suffix == "pt" else {"real_step": 1, "actor_net_state_dict": weights}, path)
    check_expected(load(path), expected, torch.from_numpy(expected["obs"]).float(), lambda x: x)


VARIANTS = {
    "published": {"pool_projection": "per_channel"},
    "full": {},
    "overall": {"pool_projection": "overall"},
    "max": {"pool_projection": "max"},
    "mean": {"pool_projection": "mean"},
    "vertical": {"pool_source": "below"},
    "no pooling": {"pool_and_inject": False, "pool_projection": "linear"},
    "ring on the edge": {"boundary_ring": "edge"},
    "no ring": {"use_boundary_channel": False},
    "5x5 gates": {"kernel_size": 5, "encoder_kernel_size": 3},
    "sigmoid": {"output_gate": "sigmoid"},
    "residual": {"residual": "layers"},
    "residual in the carry": {"residual": "layers_and_carry", "encoding_to_head": "none", "num_layers": 3},
    "no encoding to the head": {"encoding_to_head": "none"},
    "ReLU, three convolutions": {"encoder_layers": 3, "encoder_relu": True},
    "one of each, non-square": {"num_layers": 1, "repeats_per_step": 1, "encoder_layers": 1, "obs_shape": (5, 4, 7)},
}


@pytest.mark.parametrize("switches", VARIANTS.values(), ids=VARIANTS)
def test_every_wiring_is_written_as_the_originals_equations_mean_it_and_read_back_exactly(tmp_path, switches):
    policy = drc(**switches)
    folder = written(tmp_path / "cp", policy)
    check_original(folder, policy, policy.obs_shape)
    check_original(folder, load(folder), policy.obs_shape)
    check_same(load(folder), policy)


def test_the_resnet_too(tmp_path):
    policy = resnet((3, 5, 6), 3)
    folder = written(tmp_path / "cp", policy)
    check_original(folder, policy, policy.obs_shape)
    check_same(load(folder), policy)


def check_original(folder, policy, obs_shape):
    obs = torch.randint(0, 256, (5, 3, *obs_shape), dtype=torch.uint8)
    starts = torch.rand(5, 3) < 0.3
    logits, values, carry = original(folder, obs, starts)
    with torch.no_grad():
        out, state = policy.unroll(obs, policy.init_state(3), starts)
    torch.testing.assert_close(out.policy_logits, logits, **CLOSE)
    torch.testing.assert_close(out.value[..., 0], values, **CLOSE)
    for maps, part in zip(state, (1, 0), strict=False):  # they keep (c, h), here it is (h, c)
        for ours, theirs in zip(maps, carry, strict=True):
            size = max(1.0, float(theirs[part].abs().max()))  # sums of large numbers are rounded by as much
            torch.testing.assert_close(ours.permute(0, 2, 3, 1) / size, theirs[part] / size, **CLOSE)


def check_same(one, other):
    weights = other.state_dict()
    assert one.state_dict().keys() == weights.keys() and one.repeats_per_step == other.repeats_per_step
    for name, weight in one.state_dict().items():
        assert torch.equal(weight, weights[name]), name


def test_what_the_original_adds_or_multiplies_at_run_time_is_folded_in(tmp_path):
    """The forget bias, the value's scale, and the features that a ResNet with their own initialisation doubles."""

    def scales(config):
        net = config["cfg"]["net"]
        net["head_scale"], net["yang_init"] = 0.25, True
        if "recurrent" in net:
            net["recurrent"]["forget_bias"] = 1.5

    for name, policy in {"drc": drc(), "resnet": resnet()}.items():
        folder = written(tmp_path / name, policy)
        change_config(folder, scales)
        check_original(folder, load(folder), (3, 6, 6))


def test_convolutions_without_bias_have_zeros(tmp_path):
    def no_biases(config):
        for conv in (config["cfg"]["net"]["embed"][0], config["cfg"]["net"]["recurrent"]["conv"]):
            conv["use_bias"] = False

    folder = written(tmp_path / "cp")
    change_config(folder, no_biases)
    without = ("conv_list_0", "bias"), ("ih", "bias")
    change_model(folder, lambda path, array: None if path[-2:] in without else leaf(array))
    check_original(folder, load(folder), (3, 6, 6))


OLD = {
    "the bare configuration": (lambda config: config["cfg"], None),
    "keys that nobody knows": (
        lambda config: (
            config["cfg"]["net"].update(novelty=3) or config["cfg"]["net"]["recurrent"].update(later={"a": 1})
        ),
        None,
    ),
    "a copy for a device": (None, lambda path, array: leaf(array[None])),
    "a copy for each of three devices": (None, lambda path, array: leaf(np.stack([array] * 3))),
    "arrays in chunks": (
        None,
        lambda path, array: {
            "__msgpack_chunked_array__": True,
            "shape": {str(i): n for i, n in enumerate(array.shape)},
            "chunks": {str(i): leaf(part) for i, part in enumerate(np.array_split(array.ravel(), 13))},
        },
    ),
    "double precision": (None, lambda path, array: leaf(array.astype(np.float64))),
}


@pytest.mark.parametrize(("config", "model"), OLD.values(), ids=OLD)
def test_other_layouts_hold_the_same_policy(tmp_path, config, model):
    policy = drc()
    folder = written(tmp_path / "cp", policy)
    if config:
        change_config(folder, config)
    if model:
        change_model(folder, model)
    check_same(load(folder), policy)


def test_files_with_params_below_each_module_hold_the_same_policy(tmp_path):
    policy = drc()
    folder = written(tmp_path / "cp", policy)
    state = msgpack.unpackb((folder / "model").read_bytes())
    modules = state["params"]["params"]
    state["params"] = {name: {"params": module} for name, module in modules.items()}
    (folder / "model").write_bytes(msgpack.packb(state))
    check_same(load(folder), policy)


def test_a_boundary_kernel_for_as_many_equal_planes_as_channels_is_their_sum(tmp_path):
    policy = drc()
    folder = written(tmp_path / "cp", policy)
    parts = np.array([2, -1, 0, 0], np.float32)[:, None]  # sums to one, exactly
    change_model(folder, lambda path, array: leaf(array * parts if path[-2] == "fence" else array))
    check_same(load(folder), policy)


def test_half_precision_is_read(tmp_path):
    folder = written(tmp_path / "cp")
    full = load(folder).state_dict()
    change_model(folder, lambda path, array: leaf(array.astype(np.float16)))
    torch.testing.assert_close(dict(load(folder).state_dict()), dict(full), atol=1e-3, rtol=1e-3)


OLDER_THAN = {
    "fence_pad, with a boundary": ("fence_pad", {"boundary_ring": "edge"}),
    "fence_pad, without one": ("fence_pad", {"use_boundary_channel": False}),
    "pool_projection, full": ("pool_projection", {}),
    "pool_projection, per channel": ("pool_projection", {"pool_projection": "per_channel"}),
    "pool_and_inject": ("pool_and_inject", {}),
    "output_activation": ("output_activation", {"output_gate": "sigmoid"}),
    "forget_bias": ("forget_bias", {}),
    "residual": ("residual", {}),
    "skip_final": ("skip_final", {}),
    "use_relu": ("use_relu", {"encoder_relu": True}),
    "head_scale": ("head_scale", {}),
    "norm": ("norm", {}),
}


@pytest.mark.parametrize(("key", "switches"), OLDER_THAN.values(), ids=OLDER_THAN)
def test_keys_that_are_newer_than_a_configuration_have_their_original_defaults(tmp_path, key, switches):
    policy = drc(**switches)
    folder = written(tmp_path / "cp", policy)

    def forget(config):
        net = config["cfg"]["net"]
        net.pop(key, None), net["recurrent"].pop(key, None)

    before = read(folder).config
    change_config(folder, forget)
    check_same(load(folder), policy)
    assert read(folder).config == before


def test_an_added_action_is_never_taken_and_the_others_are_as_before(tmp_path):
    folder = written(tmp_path / "cp")
    four, five = load(folder), load(folder, num_actions=5)
    obs = torch.randint(0, 256, (9, 3, 6, 6), dtype=torch.uint8)
    with torch.no_grad():
        before, after = four(obs)[0], five(obs)[0]
    torch.testing.assert_close(after.policy_logits[:, :4], before.policy_logits)
    torch.testing.assert_close(after.value, before.value)
    assert (after.policy_logits[:, 4] == -1000).all() and (after.policy_logits.softmax(-1)[:, 4] == 0).all()
    with pytest.raises(UserError, match=r"^num_actions: found 3, allowed: at least 4"):
        load(folder, num_actions=3)


def test_the_number_of_ticks_can_be_chosen(tmp_path):
    np.savez(tmp_path / "bush.npz", **bush_state())
    written(tmp_path / "cp")
    for path, own in {"bush.npz": 3, "cp": 2}.items():
        assert load(tmp_path / path).repeats_per_step == own
        assert load(tmp_path / path, repeats_per_step=5).repeats_per_step == 5


def test_a_board_that_is_not_square_has_to_be_said(tmp_path):
    policy = drc((3, 4, 9))
    folder = written(tmp_path / "cp", policy)
    check_same(load(folder), policy)  # what is written here says it
    change_config(folder, lambda config: config["cfg"].pop("train_env") and None)
    assert load(folder).obs_shape == (3, 6, 6)
    check_same(load(folder, board=(4, 9)), policy)
    for board in ((5, 7), (0, 0), (-4, -9)):
        with pytest.raises(UserError, match=r"model: found weights for a board of 36 cells, and"):
            load(folder, board=board)


@pytest.mark.parametrize(
    ("name", "obs_shape", "num_actions", "count"),
    [
        ("drc_taufeeque2024", (3, 10, 10), 4, 1_285_125),
        ("resnet", (3, 10, 10), 4, 3_068_421),
        ("drc_bush2025", (7, 8, 8), 5, 1_606_150),
    ],
)
def test_the_presets_are_the_networks_of_the_published_weights(tmp_path, name, obs_shape, num_actions, count):
    config = preset(name)
    if name == "drc_bush2025":
        path = tmp_path / "weights.npz"
        np.savez(path, **bush_state(32, 3, 7, 64, 5, 256))
    else:
        arguments = {key: value for key, value in config.items() if key != "_target_"}
        policy = (ResNetPolicy if name == "resnet" else DRCPolicy)(obs_shape, num_actions, **arguments)
        path = written(tmp_path / "cp", policy)
    found = read(path)
    assert found.config == config and found.obs_shape == obs_shape and found.num_actions == num_actions
    assert sum(weight.numel() for weight in found.build().state_dict().values()) == count


def test_the_drc_of_bush_et_al_sees_and_moves_in_this_projects_sokoban_as_in_its_own(tmp_path):
    """Its planes and actions by what they mean, in the order of thinker's sokoban.h."""
    np.savez(tmp_path / "weights.npz", **bush_state())
    found = read(tmp_path / "weights.npz")
    env = SokobanVectorEnv(8, height=8, width=8, observation="planes", crop_border=True, noop=True)
    ours = torch.from_numpy(env.reset(seed=1)[0])  # (8, 7, 6, 6)
    their_planes = [sokoban.WALL, sokoban.FLOOR, sokoban.BOX, sokoban.BOX_ON_TARGET, sokoban.PLAYER,
                    sokoban.PLAYER_ON_TARGET, sokoban.TARGET]  # fmt: skip
    with torch.no_grad():
        theirs = found.build()(ours[:, their_planes].float() / 255)[0]
        here = found.for_sokoban().build()(ours)[0]
    their_actions = dict(zip(("no-op", "up", "down", "left", "right"), theirs.policy_logits.unbind(1), strict=True))
    for name, logits in zip(env.batch.action_names, here.policy_logits.unbind(1), strict=True):
        torch.testing.assert_close(logits, their_actions[name])
    torch.testing.assert_close(here.value, theirs.value)
    assert theirs.policy_logits.std(0).min() > 1e-3


@pytest.mark.parametrize(
    ("switches", "line"),
    [
        ({"top_to_bottom": False}, "policy.top_to_bottom: found False, allowed in a checkpoint"),
        ({"pool_projection": "linear"}, "policy.pool_projection: found 'linear'"),
        ({"pool_projection": "per_channel_bias"}, "policy.pool_projection: found 'per_channel_bias'"),
        ({"unused_gate": True}, "policy.unused_gate: found True"),
        ({"encoding_to_head": "concat"}, "policy.encoding_to_head: found 'concat'"),
        ({"residual": "layers", "encoding_to_head": "none"}, "policy.encoding_to_head: found 'none'"),
        ({"residual": "layers_and_carry"}, "policy.encoding_to_head: found 'add'"),
        ({"head": "pool"}, "policy.head: found 'PooledHead'"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_switch_that_the_original_does_not_have_is_refused_and_nothing_is_written(tmp_path, switches, line):
    with pytest.raises(UserError) as error:
        save_flax(drc(**switches), tmp_path / "cp")
    assert str(error.value).startswith(line) and not list(tmp_path.iterdir())


def test_another_policy_and_a_place_that_is_taken_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"found a MLPPolicy, allowed in flax: DRCPolicy \| ResNetPolicy"):
        save_flax(MLPPolicy((4,), 2), tmp_path / "cp")
    (tmp_path / "cp").mkdir()
    (tmp_path / "cp/mine.txt").write_text("keep")
    with pytest.raises(UserError, match=r"cp: Directory not empty"):
        save_flax(drc(), tmp_path / "cp")
    assert [path.name for path in tmp_path.rglob("*")] == ["cp", "mine.txt"]
