"""What holds for every game: Gymnasium's rules, one board = many, written by cells = written whole, exact state."""

import pickle
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

import drc_lab  # noqa: F401
from drc_lab.errors import ConfigError

RICOCHET, SOKOBAN = "drc_lab/RicochetRobots-v0", "drc_lab/Sokoban-v0"
CURRICULUM = {"stages": [{"height": 4, "width": 4}], "window": 5, "advance_at": 0.01, "review": 0.3}
VARIANTS = {
    "ricochet": (RICOCHET, {"max_steps": 9}),
    "ricochet rgb": (RICOCHET, {"observation": "rgb", "height": 4, "width": 6, "noop": True, "max_steps": [3, 12]}),
    "ricochet symbolic": (RICOCHET, {"observation": "symbolic", "num_robots": 3, "null_move_penalty": 0.5}),
    "ricochet augmented set": (RICOCHET, {"num_levels": 30, "augment": True, "order": "shuffled"}),
    "ricochet curriculum": (
        RICOCHET,
        {"num_robots": 3, "curriculum": {**CURRICULUM, "stages": [{"height": 3, "num_robots": 1}, {"width": 4}]}},
    ),
    "ricochet thinks": (RICOCHET, {"thinks": 2, "max_steps": [3, 6]}),
    "sokoban": (SOKOBAN, {"max_steps": 15}),
    "sokoban thinks": (SOKOBAN, {"thinks": 0, "noop": True, "max_steps": 7}),
    "sokoban planes": (SOKOBAN, {"observation": "planes", "height": 6, "width": 8, "num_boxes": 3, "noop": True}),
    "sokoban cropped": (SOKOBAN, {"crop_border": True, "max_steps": [5, 20], "num_levels": 30, "augment": True}),
    "sokoban curriculum": (SOKOBAN, {"curriculum": {**CURRICULUM, "stages": [{"height": 5, "num_boxes": 1}]}}),
}
each_variant = pytest.mark.parametrize(("env_id", "settings"), VARIANTS.values(), ids=VARIANTS)


def same(a, b):
    """Compares two step or reset results deeply."""
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            same(a[key], b[key])
    elif isinstance(a, tuple | list) or (isinstance(a, np.ndarray) and a.dtype == object):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            same(x, y)
    else:
        np.testing.assert_array_equal(a, b)


@each_variant
def test_check_env_has_nothing_to_say(env_id, settings):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(env_id, render_mode="rgb_array", action_masks=True, **settings).unwrapped)


def at_level(env, seed, number):
    """Puts a single env before level ``number`` of the stream that starts from ``seed``."""
    state = env.get_state()
    state["levels"] = rewound(state["levels"], seed, number)
    state["episodes"] |= {"seed": seed, "begun": number}
    env.set_state(state)


def rewound(stream, seed, number):
    inner = {"stream": rewound(stream["stream"], seed, number)} if "stream" in stream else {}
    return stream | inner | {"seed": seed, "position": number}


@pytest.mark.parametrize(("env_id", "settings"), [v for k, v in VARIANTS.items() if "curriculum" not in k])
def test_each_board_of_a_batch_equals_a_single_env_step_for_step_over_thousands_of_levels(env_id, settings):
    """Through autoresets: whenever a board gets its next level, a single env gets the same one."""
    B, rng, played = 48, np.random.default_rng(0), 0
    many = gym.make_vec(env_id, num_envs=B, action_masks=True, **settings)
    ones = [gym.make(env_id, action_masks=True, **settings).unwrapped for _ in range(B)]
    obs, info = many.reset(seed=11)
    for b, one in enumerate(ones):
        one.reset(seed=11)
        at_level(one.vector, many.seed, b)
        first, first_info = one.reset()
        same(first, obs[b])
        same(first_info, {key: info[key][b] for key in first_info})
    while played < 600:
        actions, begun = rng.integers(0, many.single_action_space.n, B), many.episodes
        obs, reward, terminated, truncated, info = many.step(actions)
        for b, one in enumerate(ones):
            now, *rest, left = one.step(int(actions[b]))
            assert rest == [reward[b], terminated[b], truncated[b]]
            if terminated[b] or truncated[b]:
                same(now, info["final_obs"][b])
                final = {key: info["final_info"][key][b] for key in left}
                same(left, final)
                at_level(one.vector, many.seed, begun)
                begun, played = begun + 1, played + 1
                now, left = one.reset()
            same(now, obs[b])
            same(left, {key: info[key][b] for key in left})


@each_variant
def test_an_observation_written_cell_by_cell_is_the_one_written_whole(env_id, settings):
    env = gym.make_vec(env_id, num_envs=256, copy=False, **settings)
    obs, _ = env.reset(seed=0)
    rng = np.random.default_rng(2)
    for _ in range(40):
        obs, *_ = env.step(rng.integers(0, env.single_action_space.n, 256))
        written = obs.copy()
        env.batch.observe(np.arange(256))
        np.testing.assert_array_equal(written, obs)
        assert env.observation_space.contains(obs)


@each_variant
def test_masks_tell_which_actions_change_the_board(env_id, settings):
    env = gym.make_vec(env_id, num_envs=64, autoreset=False, **settings)
    env.reset(seed=0)
    rng = np.random.default_rng(3)
    for _ in range(20):
        state, before, masks = env.get_state(), env.batch.observation.copy(), env.action_masks()
        for action, name in enumerate(env.batch.action_names):
            env.set_state(state)
            after, *_ = env.step(np.full(64, action))
            changed = (after != before).reshape(64, -1).any(1)
            np.testing.assert_array_equal(masks[:, action], changed | (name == "no-op"))
        env.set_state(state)
        env.step(rng.integers(0, env.single_action_space.n, 64))


@each_variant
def test_a_seed_starts_over_and_no_seed_goes_on(env_id, settings):
    env, other = gym.make(env_id, **settings), gym.make(env_id, **settings)
    first = [env.reset(seed=3)[0], *(env.reset()[0] for _ in range(5))]
    again = [env.reset(seed=3)[0], *(env.reset()[0] for _ in range(5))]
    same(first, again)
    same(first, [other.reset(seed=3)[0], *(other.reset()[0] for _ in range(5))])
    assert len({obs.tobytes() for obs in first}) > 1  # no reset without a seed replays the same board
    assert any((env.reset(seed=4 + i)[0] != first[0]).any() for i in range(3))


@each_variant
@pytest.mark.parametrize("how", ["state", "pickle", "torch"])
def test_state_and_pickle_go_on_exactly(env_id, settings, how, tmp_path):
    env = gym.make_vec(env_id, num_envs=20, **settings)
    env.reset(seed=0)
    rng = np.random.default_rng(4)
    actions = rng.integers(0, env.single_action_space.n, (60, 20))
    for action in actions[:30]:
        env.step(action)
    if how == "pickle":
        other = pickle.loads(pickle.dumps(env))
    else:
        state = env.get_state()
        if how == "torch":  # tensors and plain types only, as in a checkpoint
            import torch
            from torch.utils._pytree import tree_map

            as_tensors = tree_map(lambda x: torch.from_numpy(x) if isinstance(x, np.ndarray) else x, state)
            torch.save(as_tensors, tmp_path / "state")
            loaded = torch.load(tmp_path / "state", weights_only=True)
            state = tree_map(lambda x: x.numpy() if isinstance(x, torch.Tensor) else x, loaded)
        other = gym.make_vec(env_id, num_envs=20, **settings)
        other.set_state(state)
    expected = [env.step(action) for action in actions[30:]]
    same(expected, [other.step(action) for action in actions[30:]])


@pytest.mark.parametrize("env_id", [RICOCHET, SOKOBAN])
def test_autoreset_shows_the_next_level_and_keeps_what_the_last_one_left(env_id):
    env = gym.make_vec(env_id, num_envs=32, max_steps=4, action_masks=True)
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    plain = gym.make_vec(env_id, num_envs=32, max_steps=4, autoreset=False)
    env.reset(seed=0)
    plain.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(4):
        actions = rng.integers(0, 4, 32)
        _, reward, terminated, truncated, info = env.step(actions)
        old_obs, *old, old_info = plain.step(actions)
        same([reward, terminated, truncated], old)
        done = terminated | truncated
        for b in np.flatnonzero(done):
            same(info["final_obs"][b], old_obs[b])
            for key in ("level", "solved", "length", "return", "optimal"):
                assert info["final_info"][key][b] == old_info[key][b]
        if done.any():
            assert (info["length"][done] == 0).all() and (info["return"][done] == 0).all()
            break
    assert done.any()


def test_a_state_taken_at_an_episodes_end_still_counts_it():
    """A single env between its last step and reset: the curriculum has yet to hear how the episode went."""
    settings = {"curriculum": {"stages": [{"max_optimal": 1}], "window": 1, "advance_at": 0.01, "review": 0.0}}
    env, other = (gym.make(RICOCHET, max_steps=200, **settings).unwrapped for _ in range(2))
    rng = np.random.default_rng(0)
    for seed in range(20):  # until one is solved
        env.reset(seed=seed)
        ended = False
        while not ended:
            _, _, solved, truncated, _ = env.step(int(rng.integers(4)))
            ended = solved or truncated
        if solved:
            break
    other.reset(seed=0)
    other.set_state(env.get_state())
    same(env.reset(), other.reset())
    assert env.vector.levels.stage == other.vector.levels.stage == 1
    env.reset(seed=seed)
    assert env.vector.levels.stage == 0  # a seed starts over, whatever was played before


@pytest.mark.parametrize("env_id", [RICOCHET, SOKOBAN])
def test_reset_mask_leaves_the_other_boards_alone(env_id):
    env = gym.make_vec(env_id, num_envs=6, autoreset=False)
    before, _ = env.reset(seed=0)
    mask = np.array([True, False, False, True, False, False])
    after, info = env.reset(options={"reset_mask": mask})
    np.testing.assert_array_equal((before != after).reshape(6, -1).any(1), mask)
    assert info["level"].tolist() == [6, 1, 2, 7, 4, 5]
    same(env.reset(options={"reset_mask": np.zeros(6, bool)})[0], after)


@pytest.mark.parametrize("env_id", [RICOCHET, SOKOBAN])
def test_every_render_mode_shows_the_board_as_it_is(env_id, monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    frames = {}
    for mode in ("ansi", "rgb_array", "human"):
        env = gym.make(env_id, render_mode=mode, cell_size=16)
        env.reset(seed=0)
        before = env.render()
        masks = env.unwrapped.action_masks()
        env.step(int(masks.argmax()))
        frames[mode] = before, env.render()
        env.close()
    (text, moved), (picture, after) = frames["ansi"], frames["rgb_array"]
    assert isinstance(text, str) and text != moved and frames["human"] == (None, None)
    assert picture.dtype == np.uint8 and picture.shape == after.shape and picture.shape[2] == 3
    assert (picture != after).any()


def test_drawn_step_limits_fill_their_range_and_depend_on_the_seed_alone():
    lengths = []
    for _ in range(2):
        env = gym.make_vec(SOKOBAN, num_envs=100, max_steps=[3, 7], noop=True)
        env.reset(seed=1)
        ended = []
        for _ in range(30):
            *_, info = env.step(np.full(100, 4))
            if "final_info" in info:
                ended += info["final_info"]["length"][info["_final_info"]].tolist()
        lengths.append(ended)
    assert lengths[0] == lengths[1]
    counts = np.bincount(lengths[0], minlength=8)
    assert counts[:3].sum() == 0 and counts[3:].min() > 0.1 * counts.sum()


@pytest.mark.parametrize("env_id", [RICOCHET, SOKOBAN])
def test_a_levels_symmetry_says_nothing_about_its_step_limit(env_id):
    """Both are drawn by the number of the episode: 8 symmetries and 8 limits make 64 pairs, not 8."""
    env = gym.make_vec(env_id, num_envs=2000, num_levels=1, level_seed=3, augment=True, max_steps=[3, 10], copy=False)
    obs, _ = env.reset(seed=0)
    pairs = {(board.tobytes(), limit) for board, limit in zip(obs, env.limit.tolist(), strict=True)}
    boards = len({board for board, _ in pairs})
    assert boards >= 8 and len(pairs) == 8 * boards


def test_copies_are_safe_and_without_copies_nothing_is_allocated_anew():
    for copy in (True, False):
        env = gym.make_vec(SOKOBAN, num_envs=4, noop=True, copy=copy)
        with pytest.raises(ValueError, match="read-only"):
            env.reset(seed=0)[1]["_level"][:] = False
        obs, _ = env.reset(seed=0)
        one, two = env.step(np.zeros(4, int)), env.step(np.ones(4, int))
        for a, b in zip(one[:4], two[:4], strict=True):
            assert (a is b) is not copy
        for key in ("level", "solved", "length", "return", "optimal"):
            assert (one[4][key] is two[4][key]) is not copy
        assert (obs is two[0]) is not copy


@pytest.mark.parametrize("env_id", [RICOCHET, SOKOBAN])
@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"max_steps": 0}, "max_steps"),
        ({"max_steps": [9, 3]}, "max_steps"),
        ({"max_steps": [3, 4, 5]}, "max_steps"),
        ({"observation": "smell"}, "observation"),
        ({"split": "exam"}, "split"),
        ({"num_levels": 0}, "num_levels"),
        ({"num_levels": 3, "order": "up"}, "order"),
        ({"num_levels": 3, "level_seed": -1}, "level_seed"),
        ({"num_levels": 3, "curriculum": {"stages": [{}]}}, "num_levels"),
        ({"max_steps": 2.5}, "max_steps"),
        ({"curriculum": {}}, "curriculum.stages"),
        ({"curriculum": {"stages": [{"min_optimal": 70}]}}, "curriculum.stages[0].min_optimal"),
        ({"render_mode": "hologram"}, "render_mode"),
        ({"render_mode": "ansi", "cell_size": 0}, "cell_size"),
        ({"curriculum": {"stages": []}}, "curriculum.stages"),
        ({"curriculum": {"stages": [{}], "advance_at": 2}}, "curriculum.advance_at"),
        ({"curriculum": {"stages": [{}], "window": "long"}}, "curriculum.window"),
        ({"curriculum": {"stages": [{}], "pace": 3}}, "curriculum.pace"),
        ({"curriculum": {"stages": [{"weight": 4}]}}, "curriculum.stages[0].weight"),
        ({"curriculum": {"stages": [{"height": 40}]}}, "curriculum.stages[0].height"),
        ({"curriculum": {"stages": [{"height": "tall"}]}}, "curriculum.stages[0].height"),
        ({"curriculum": 3}, "curriculum"),
    ],
)
def test_impossible_settings_name_their_key_in_one_line(env_id, settings, key):
    with pytest.raises(ConfigError) as error:
        gym.make_vec(env_id, num_envs=2, vectorization_mode="vector_entry_point", **settings)
    assert error.value.key == key and "\n" not in str(error.value)


def test_actions_out_of_range_are_refused_before_anything_moves():
    env = gym.make_vec(SOKOBAN, num_envs=3)
    before, _ = env.reset(seed=0)
    for actions in ([0, 1, 4], [0, -1, 2], [0, 1], [[0, 1, 2]]):
        with pytest.raises(ValueError, match="allowed: 3 of 0 to 3"):
            env.step(np.array(actions))
    np.testing.assert_array_equal(before, env.batch.observation)
