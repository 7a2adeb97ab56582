"""A game from outside of the package, that of docs/extending.md: it can do all that ours can; its mistakes."""

import importlib

import gymnasium as gym
import numpy as np
import pandas as pd
import pytest
from commands import run, run_here
from examples import edit, examples_in

from drc_lab.envs.games import GAMES, find_game
from drc_lab.envs.judge import TableJudge
from drc_lab.envs.levels import identities
from drc_lab.envs.specs.game import GameSpec
from drc_lab.envs.streams import AugmentedLevels, level_stream
from drc_lab.errors import ConfigError

ID = "env.id=mine:Lights-v0"
TINY = ["policy=mlp", "policy.hidden_sizes=[8]", "algo.rollouts.frames=1280", "algo.rollouts.num_envs=16",
        "algo.rollouts.num_steps=4", "evaluation.num_levels=20", "evaluation.every_frames=640",
        "env.id=mine:Lights-v0", "+env.max_steps=6"]  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    with examples_in(tmp_path, monkeypatch) as folder:
        monkeypatch.syspath_prepend(str(folder))
        yield folder


@pytest.fixture
def mine(folder):
    return importlib.import_module("mine")


def test_all_games_are_registered_in_the_same_way(mine):
    assert set(GAMES) == {"drc_lab/RicochetRobots-v0", "drc_lab/Sokoban-v0", "Lights-v0"}
    for game_id, game in GAMES.items():
        assert find_game(game_id) is game and issubclass(game.spec, object)
        batch, single = gym.make_vec(game_id, num_envs=2), gym.make(game_id)
        assert batch.reset(seed=0)[0].shape == (2, *single.reset(seed=0)[0].shape)
        assert batch.step(np.zeros(2, int))[0].dtype == single.step(0)[0].dtype
    assert find_game("mine:Lights-v0") is GAMES["Lights-v0"] and find_game("CartPole-v1") is None


def test_it_plays_by_its_rules_and_knows_the_shortest_way(mine):
    env = gym.make_vec("Lights-v0", num_envs=50, max_steps=6, thinks=1)
    obs, info = env.reset(seed=1)
    rng, ended = np.random.default_rng(0), 0
    near = np.array([[abs(a // 5 - b // 5) + abs(a % 5 - b % 5) < 2 for b in range(20)] for a in range(20)])
    for _ in range(12):
        fewest = env.batch.steps_to_solve(np.arange(50))
        actions = rng.integers(0, 21, 50)
        wanted = (obs.reshape(50, 20) > 0) ^ np.vstack([near, np.zeros(20, bool)])[actions]
        obs, reward, terminated, truncated, info = env.step(actions)
        seen = np.stack([info["final_obs"][b] if terminated[b] | truncated[b] else obs[b] for b in range(50)])
        np.testing.assert_array_equal(seen.reshape(50, 20) > 0, wanted)
        np.testing.assert_array_equal(terminated, ~wanted.any(axis=1))
        np.testing.assert_allclose(reward, np.where(actions == 20, 0, terminated - 0.1))
        assert ((fewest == 1) >= terminated).all()
        ended += int((terminated | truncated).sum())
    assert ended >= 50
    optimal = TableJudge(env.batch, 10**6, 10**6).optimal_moves(np.arange(50))
    assert (optimal.sum(axis=1) == env.batch.steps_to_solve(np.arange(50))).all()  # the order of presses is free
    assert env.action_masks().all() and env.batch.sizes().tolist() == [[4, 5]] * 50


def test_its_state_goes_on_exactly(mine):
    def steps(env, state=None):
        if state is not None:
            env.set_state(state)
        return [env.step(np.full(3, k % 20))[0].tobytes() for k in range(30)]

    first, other = (gym.make_vec("Lights-v0", num_envs=3, max_steps=[3, 7]) for _ in range(2))
    first.reset(seed=5)
    steps(first)
    state = first.get_state()
    assert steps(first) == steps(other, state)


def test_splits_and_fixed_sets_of_its_levels_are_apart(mine):
    sets = [
        gym.make_vec("Lights-v0", split=split, num_levels=500).levels.levels for split in ("train", "valid", "test")
    ]
    numbers = [set(identities(levels).tolist()) for levels in sets]
    assert [len(each) for each in numbers] == [500] * 3 and len(set.union(*numbers)) == 1500
    with pytest.raises(ConfigError, match="split: found 'valid', allowed: a split that has levels"):
        level_stream(GameSpec(split="valid"), lambda rng, count: sets[0][np.zeros(count, int)]).take(1)


def test_symmetric_copies_are_one_level_and_made_on_demand(mine):
    def turned(drawn, levels):
        flip = drawn % np.uint64(2) == 1
        return type(levels)(np.where(flip[:, None, None, None], levels.lights[:, :, ::-1], levels.lights))

    class Spec(mine.LightsSpec):
        augment = True

    lit = np.zeros((2, 1, 4, 5), np.uint8)
    lit[0, 0, 0, 0] = lit[1, 0, 3, 0] = 255  # mirrored
    levels = mine.Levels(lit)
    stream = level_stream(Spec(), lambda rng, count: levels[np.zeros(count, int)], augment=turned)
    assert isinstance(stream, AugmentedLevels)
    stream.reseed(0)
    _, dealt, rows = stream.take(20)
    assert {level.tobytes() for level in dealt.lights[rows]} == {level.tobytes() for level in lit}
    assert not isinstance(level_stream(mine.LightsSpec(), lambda rng, count: levels, augment=turned), AugmentedLevels)


def test_without_a_picture_it_is_shown_as_it_is_observed(mine):
    env = gym.make_vec("Lights-v0", num_envs=1, render_mode="rgb_array", cell_size=8)
    obs, _ = env.reset(seed=0)
    (picture,) = env.render()
    assert picture.shape == (32, 40, 3) and picture.dtype == np.uint8
    on = obs[0, 0] > 0
    colours = picture[1::8, 1::8]
    assert len({tuple(colour) for colour in colours[on]}) == len({tuple(colour) for colour in colours[~on]}) == 1
    assert [[mark == "0" for mark in row] for row in env.batch.text(0).split("\n")] == on.tolist()


@pytest.mark.slow
def test_training_report_and_play_are_those_of_any_game(folder, monkeypatch, capfd):
    words = ["task=thinking_sweep", *TINY, "folder=a", "thinking.first_passes=[1]", "thinking.trace_ticks=2"]
    result = run(folder, *words, "algo=imitation")
    assert result.returncode == 0, result.stderr
    for file in ("report.html", "thinking.png", "side_by_side.gif", "videos", "checkpoints/best.ckpt"):
        assert (folder / "a" / file).exists(), file
    records = pd.read_parquet(folder / "a/levels.parquet")
    assert (records["optimal"] > 0).all() and (records["judged_moves"] > 0).any()
    assert {"random", "sampled", "no_memory"} <= set(records["kind"]) and "distance" not in set(records["kind"])
    assert "holds this run, finished" in run(folder, *words, "algo=imitation").stdout
    best = ["checkpoint=a/checkpoints/best.ckpt", "trust=[mine]"]
    result = run(folder, "task=evaluate", *best, "evaluation.num_levels=20", "folder=b")
    assert result.returncode == 0 and (folder / "b/report.html").is_file(), result.stderr
    code, output, errors = run_here(monkeypatch, capfd, "task=play", *best, "play.episodes=1", "folder=c")
    assert (code, errors) == (0, "") and "press " in output and (folder / "c/play.gif").is_file()


MISSING = [
    (["algo=imitation"], "env.id: found 'mine:Lights-v0', allowed: a game with an exact solver (steps_to_solve), as "),
    (
        ["task=thinking_sweep", "thinking.noops=[2]"],
        "thinking.noops: found [2], allowed: null or [], as the env has no",
    ),
    (
        ["algo.rollouts.noops=[0,1]"],
        "algo.rollouts.noops: found [0, 1], allowed: null, as the env has no action that d",
    ),
    (["evaluation.board=6"], "evaluation.board: found 6, allowed: null, as this game takes no height and width"),
    (["task=make_bank", "bank.path=x.npz"], "env.id: found 'mine:Lights-v0', allowed: drc_lab/RicochetRobots-v0\n"),
    (["+env.preses=2"], "env.preses: found 2, allowed: no such key, but presses"),
    (["+env.presses=few"], "env.presses: found 'few', allowed: int"),
    (["+env.thinks=-1"], "env.thinks: found -1, allowed: 0 or more, or null"),
    (["+env.presses=1"], "evaluation.num_levels: found 20, allowed: at most about "),
]


@pytest.mark.parametrize(("words", "line"), MISSING, ids=[" ".join(words) for words, _ in MISSING])
def test_what_it_lacks_is_told_in_one_line_where_it_is_asked_for(folder, monkeypatch, capfd, words, line):
    edit(folder, "def steps_to_solve", "def own_steps")
    edit(folder, "self.steps_to_solve", "self.own_steps")
    code, output, errors = run_here(monkeypatch, capfd, *TINY, *words)
    assert (code, output) == (2, "") and errors.count("\n") == 1 and line in errors, errors
    assert not (folder / "outputs").exists()


STEP = "self.observation ^= switched.reshape(self.observation.shape)"
BROKEN = [
    (
        "return Lights(spec.num_envs), level",
        "return level",
        "a game that is built of a Batch and a LevelStream, not of ",
    ),
    ("(1, 4, 5), np.uint8)", "(4, 5), np.uint8)", "observations are (C, H, W) or (F,), not (4, 5)"),
    (STEP, "self.observation = self.observation.astype(int)", "whose observation stays uint8 (2, 1, 4, 5) with two"),
    (
        'STATE = ("observation",)',
        'STATE = ("lights",)',
        "whose STATE names arrays with a row for each board; lights is",
    ),
    (
        'STATE = ("observation",)',
        "STATE = ()",
        "whose STATE names all that the next steps depend on, from which observe",
    ),
    (" * (actions != SKIP)[:, None]", "", "whose step leaves a board with the action SKIP as it is, unrewarded"),
    ("np.where(actions == SKIP, 0, self.solved - 0.1)", "-0.1", "whose step leaves a board with the action SKIP as it"),
    ("levels.lights[rows], False", "levels.lights[rows], True", "whose levels are not solved when they are loaded"),
    (
        "~self.observation.any",
        "~self.observations.any",
        "env: mine:Lights-v0 raises AttributeError: 'Lights' object has",
    ),
    (
        "        super().__init__(num_envs",
        "        (num_envs",
        "env: AttributeError: 'Lights' object has no attribute 'ob",
    ),
    ('@register_game("Lights-v0", LightsSpec)', "", "env.id: found 'mine:Lights-v0', allowed: "),
    (
        "import gymnasium as gym",
        "import gymnasiun as gym",
        "env.id: found 'mine:Lights-v0', allowed: one that imports mi",
    ),
]


@pytest.mark.parametrize(("old", "new", "line"), BROKEN, ids=[line for *_, line in BROKEN])
def test_a_game_that_cannot_work_is_told_before_anything_is_written(folder, monkeypatch, capfd, old, new, line):
    edit(folder, old, new)
    code, output, errors = run_here(monkeypatch, capfd, *TINY)
    assert (code, output) == (2, "") and errors.count("\n") == 1 and line in errors, errors
    assert not (folder / "outputs").exists()
