"""Ricochet Robots: boards, rules, solver, generator, splits, envs."""

import itertools

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_boards import plain_distance, plain_slide, random_board

import drc_lab
from drc_lab.envs.levels import SPLITS, split_of
from drc_lab.envs.ricochet import Board, BoardGenerator, Boards, SearchLimitReached, border, layout, solve
from drc_lab.envs.ricochet.identity import identities
from drc_lab.envs.ricochet.level import wall_bits
from drc_lab.envs.streams import FixedLevels, GeneratedLevels, draw_distinct
from drc_lab.errors import ConfigError, UserError

ENV = "drc_lab/RicochetRobots-v0"


def boards(count=20, seed=0, **kwargs) -> Boards:
    return BoardGenerator(**kwargs)(np.random.default_rng(seed), count)


def mirrored(board: Board, transpose: bool, flip: bool, order) -> Board:
    """A symmetric copy with renumbered robots."""
    h, v, W = board.h_walls, board.v_walls, board.width
    robots, goal = [board.robots[i] for i in order], board.goal
    if flip:
        h, v = h[:, ::-1], v[:, ::-1]
        robots, goal = [(r, W - 1 - c) for r, c in robots], (goal[0], W - 1 - goal[1])
    if transpose:
        h, v = v.T, h.T
        robots, goal = [(c, r) for r, c in robots], goal[::-1]
    return Board(h, v, tuple(robots), goal, list(order).index(board.target))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 5), st.integers(2, 5), st.integers(1, 3))
def test_solver_equals_plain_search_and_its_solution_solves(seed, height, width, robots):
    board = random_board(np.random.default_rng(seed), height, width, robots)
    expected, solution = plain_distance(board), solve(board)
    assert (None if solution is None else len(solution)) == expected
    if solution is not None:
        env = gym.make(ENV, board=board, max_steps=100)
        env.reset(seed=0)
        ends = [env.step(action)[2] for action in solution.actions]
        assert ends == [False] * (len(solution) - 1) + [True]


def test_solver_says_when_it_gave_up():
    board = boards(1, height=8, width=8, num_robots=3, min_optimal=6).board(0)
    with pytest.raises(SearchLimitReached):
        solve(board, max_states=10)
    assert len(solve(board)) >= 6


def test_moves_equal_the_plain_rule_on_thousands_of_steps():
    B = 64
    env = gym.make_vec(ENV, num_envs=B, height=6, width=7, num_robots=3, max_steps=10**6, goal_reward=0.0, copy=False)
    env.reset(seed=3)
    batch, rng = env.batch, np.random.default_rng(0)
    shown = [
        Boards(batch.walls.reshape(B, 6, 7), batch.robots, batch.goal, batch.target, batch.optimal).board(b)
        for b in range(B)
    ]
    robots = [b.robots for b in shown]
    for _ in range(60):
        actions = rng.integers(0, 12, B)
        _, reward, terminated, *_ = env.step(actions)
        for b in range(B):
            moved = list(robots[b])
            moved[actions[b] // 4] = plain_slide(shown[b], robots[b], actions[b] // 4, actions[b] % 4)
            assert terminated[b] == (moved[shown[b].target] == shown[b].goal)
            robots[b] = tuple(moved)
            if terminated[b]:
                state = Boards(batch.walls.reshape(B, 6, 7), batch.robots, batch.goal, batch.target, batch.optimal)
                shown[b] = state.board(b)
                robots[b] = shown[b].robots
        assert [tuple(divmod(int(x), 7) for x in row) for row in batch.robots] == robots
        np.testing.assert_allclose(reward, -0.01)


def test_observation_planes_by_hand_and_after_moves():
    h, v = border(3, 4)
    h[1, 2] = v[2, 1] = True
    board = Board(h, v, ((2, 3), (0, 0)), (0, 2), target=1)
    env = gym.make_vec(ENV, num_envs=1, board=board, num_robots=2)
    obs, _ = env.reset(seed=0)
    expected = np.zeros((8, 3, 4), bool)
    expected[0], expected[1], expected[2], expected[3] = h[:-1], h[1:], v[:, :-1], v[:, 1:]
    expected[4, 0, 2] = expected[5, 0, 0] = expected[6, 2, 3] = expected[7, 0, 0] = True
    np.testing.assert_array_equal(obs[0], expected * np.uint8(255))
    for action, plane, old, new in ((4 * 1 + 1, 7, (0, 0), (2, 0)), (4 * 0 + 2, 6, (2, 3), (2, 1))):
        obs, *_ = env.step(np.array([action]))
        expected[plane][old], expected[plane][new] = False, True
        expected[5] = expected[7]
        np.testing.assert_array_equal(obs[0], expected * np.uint8(255))


def test_passing_over_the_goal_does_not_count_and_rewards_are_exact():
    board = Board(*border(1, 4), robots=((0, 0),), goal=(0, 2))
    assert solve(board) is None
    env = gym.make(ENV, board=board, max_steps=3)
    _, info = env.reset(seed=0)
    assert info["optimal"] == -1
    assert [env.step(3)[1:4] for _ in range(3)] == [(-0.01, False, False)] * 2 + [(-0.01, False, True)]
    env = gym.make(ENV, layout="v0", step_penalty=0.25, goal_reward=2.0)
    env.reset(seed=0)
    assert env.step(3)[1:4] == (1.75, True, False)


def test_solving_on_the_last_step_is_termination_not_truncation():
    env = gym.make_vec(ENV, num_envs=2, layout="v0", max_steps=1)
    env.reset(seed=0)
    _, _, terminated, truncated, info = env.step(np.array([3, 0]))
    assert terminated.tolist() == [True, False] and truncated.tolist() == [False, True]
    assert info["final_info"]["solved"].tolist() == [True, False]


def test_noop_is_last_and_changes_nothing():
    env = gym.make(ENV, noop=True, num_robots=2)
    before, _ = env.reset(seed=5)
    assert env.action_space.n == 9
    after, reward, terminated, *_ = env.step(8)
    np.testing.assert_array_equal(before, after)
    assert reward == -0.01 and not terminated


@pytest.mark.parametrize(("name", "answers"), [("v0", [3]), ("v1", [0, 1, 2, 3])])
def test_milestone_layouts_take_one_move_in_the_stated_direction(name, answers):
    assert [solve(board).actions for board in layout(name)] == [(answer,) for answer in answers]


def test_text_form_round_trips_and_shows_walls_robots_and_goal():
    text = "+--+--+--+\n|A   b   |\n+--+  +  +\n|     |B |\n+--+--+--+"
    board = Board.from_text(f"\n  {text.replace(chr(10), chr(10) + '  ')}\n\n")
    assert (board.robots, board.goal, board.target) == (((0, 0), (1, 2)), (0, 1), 1)
    assert board.h_walls[1].tolist() == [True, False, False] and board.v_walls[1].tolist() == [True, False, True, True]
    assert str(board) == text
    for i, made in enumerate([boards(10, num_robots=3).board(i) for i in range(10)]):
        back = Board.from_text(str(made))
        np.testing.assert_array_equal(back.h_walls, made.h_walls, err_msg=str(i))
        np.testing.assert_array_equal(back.v_walls, made.v_walls)
        assert (back.robots, back.goal, back.target) == (made.robots, made.goal, made.target)


def test_packing_loses_nothing():
    many = boards(10, height=4, width=6)
    again = Boards.pack([many.board(i) for i in range(10)], many.optimal.tolist())
    for name in ("walls", "robots", "goal", "target", "optimal"):
        np.testing.assert_array_equal(getattr(again, name), getattr(many, name))


BAD_BOARDS = {
    "the border is open": lambda h, v: Board(h * False, v, ((0, 0),), (1, 1)),
    "are not": lambda h, v: Board(h, h, ((0, 0),), (1, 1)),
    "two robots share": lambda h, v: Board(h, v, ((0, 0), (0, 0)), (1, 1)),
    "is off the 3 x 3 board": lambda h, v: Board(h, v, ((0, 3),), (1, 1)),
    "already stands on the goal": lambda h, v: Board(h, v, ((1, 1),), (1, 1)),
    "target 2 is not one": lambda h, v: Board(h, v, ((0, 0),), (1, 1), 2),
    "line 2: unknown or repeated": lambda h, v: Board.from_text("+--+--+\n|?  A |\n+--+--+"),
    "line 1 has no \\+": lambda h, v: Board.from_text("|--+--+\n|A   a|\n+--+--+"),
    "line 2: 'x' is no edge": lambda h, v: Board.from_text("+--+--+\n|A xa |\n+--+--+"),
    "without a gap": lambda h, v: Board.from_text("+--+--+\n|A   b|\n+--+--+"),
    "lines of edges": lambda h, v: Board.from_text("nonsense"),
}


@pytest.mark.parametrize("message", BAD_BOARDS)
def test_bad_boards_are_refused_in_one_line(message):
    with pytest.raises(UserError, match=message) as error:
        BAD_BOARDS[message](*border(3, 3))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("kwargs", "key"),
    [
        ({"height": 0}, "height"),
        ({"height": 1, "width": 1}, "height"),
        ({"num_robots": 25}, "num_robots"),
        ({"wall_density": 1.0}, "wall_density"),
        ({"min_optimal": 3, "max_optimal": 2}, "max_optimal"),
        ({"split": "training"}, "split"),
        ({"order": "random", "num_levels": 3}, "order"),
        ({"layout": "v2"}, "layout"),
        ({"max_steps": 0}, "max_steps"),
        ({"height": 1, "width": 2, "num_robots": 1, "num_levels": 50}, "num_levels"),
    ],
)
def test_impossible_settings_name_the_key(kwargs, key):
    with pytest.raises(ConfigError) as error:
        gym.make_vec(ENV, num_envs=2, **kwargs)
    assert error.value.key == key


def test_settings_that_no_board_fulfils_are_refused_instead_of_searching_forever():
    with pytest.raises(ConfigError, match="min_optimal: found 40"):
        boards(1, height=2, width=2, num_robots=1, min_optimal=40)


@pytest.mark.parametrize("kwargs", [{}, {"height": 3, "width": 6, "num_robots": 1, "max_optimal": 3, "min_optimal": 2}])
def test_generated_boards_are_solvable_with_their_stated_optimum(kwargs):
    made = boards(40, **kwargs)
    for i in range(40):
        assert plain_distance(made.board(i)) == made.optimal[i]
    assert made.optimal.min() >= kwargs.get("min_optimal", 1)
    assert made.optimal.max() <= kwargs.get("max_optimal", 10**9)
    assert set(made.target.tolist()) == set(range(kwargs.get("num_robots", 2)))


def test_identity_is_the_same_for_symmetric_copies_and_differs_otherwise():
    rng = np.random.default_rng(0)

    def number(board):
        one = Boards.pack([board], [-1])
        return int(identities(one)[0])

    numbers = set()
    for _ in range(50):
        board = random_board(rng, 4, 5, 3)
        copies = [
            mirrored(mirrored(board, t1, f1, (0, 1, 2)), t2, f2, order)
            for t1, f1, t2, f2 in itertools.product((False, True), repeat=4)
            for order in ((0, 1, 2), (2, 0, 1))
        ]
        assert {number(copy) for copy in copies} == {number(board)}
        numbers.add(number(board))
    assert len(numbers) == 50
    other_goal = Board(board.h_walls, board.v_walls, board.robots, _free(board), board.target)
    assert number(other_goal) != number(board)


def _free(board):
    cells = itertools.product(range(board.height), range(board.width))
    return next(cell for cell in cells if cell not in board.robots and cell != board.goal)


def test_splits_are_disjoint_for_any_seeds_even_up_to_symmetry():
    """On boards so small that a random split would certainly repeat some."""
    small = {"height": 3, "width": 2, "num_robots": 1, "wall_density": 0.3}
    seen = {}
    for split in SPLITS:
        made = [boards(300, seed, split=split, **small) for seed in range(3)]
        seen[split] = set(np.concatenate([identities(b) for b in made]).tolist())
        assert all(SPLITS[split_of(np.uint64(i))] == split for i in seen[split])
    assert seen["train"] and seen["valid"] and seen["test"]
    assert not seen["train"] & seen["valid"] and not seen["train"] & seen["test"] and not seen["valid"] & seen["test"]


def test_splits_have_the_stated_sizes():
    rng = np.random.default_rng(0)
    drawn = [split_of(np.uint64(i)) for i in rng.integers(0, 2**63, 20_000)]
    np.testing.assert_allclose(np.bincount(drawn) / 20_000, [0.8, 0.1, 0.1], atol=0.01)


def test_held_out_sets_have_no_level_twice():
    made = draw_distinct(BoardGenerator(3, 3, 1, split="valid"), 60, 0, identities)
    assert len(set(identities(made).tolist())) == 60


def test_streams_resume_anywhere():
    generator = BoardGenerator()
    for stream in (
        GeneratedLevels(generator, seed=4, chunk=16),
        FixedLevels(boards(10), "shuffled", seed=4),
        FixedLevels(boards(10), "sequential"),
    ):
        stream.take(13)
        state = stream.get_state()
        expected = [stream.take(n) for n in (5, 30, 1)]
        stream.take(7)
        stream.set_state(state)
        for ids, levels, rows in expected:
            again_ids, again, again_rows = stream.take(len(ids))
            np.testing.assert_array_equal(again_ids, ids)
            np.testing.assert_array_equal(again.walls[again_rows], levels.walls[rows])
            np.testing.assert_array_equal(again.robots[again_rows], levels.robots[rows])


def test_a_shuffled_set_is_gone_through_whole_in_a_new_order_each_time():
    stream = FixedLevels(boards(10), "shuffled", seed=1)
    rounds = [stream.take(10)[0].tolist() for _ in range(3)]
    assert all(sorted(r) == list(range(10)) for r in rounds)
    assert rounds[0] != rounds[1] != rounds[2]


def test_autoreset_shows_the_next_level_and_keeps_the_final_observation():
    env = gym.make_vec(ENV, num_envs=1, layout="v0")
    first, _ = env.reset(seed=0)
    obs, reward, terminated, _, info = env.step(np.array([3]))
    assert terminated[0] and reward[0] == pytest.approx(0.99)
    np.testing.assert_array_equal(obs, first)
    final = info["final_obs"][0]
    assert final[5, 0, 3] == 255 and final[5, 0, 1] == 0
    assert info["final_info"]["length"][0] == 1 and info["final_info"]["return"][0] == pytest.approx(0.99)
    assert info["length"][0] == 0 and not info["solved"][0]


def test_two_envs_without_a_seed_differ():
    assert (gym.make(ENV).reset()[0] != gym.make(ENV).reset()[0]).any()


def test_a_users_own_board_goes_in_as_object_or_text():
    h, v = border(4, 4)
    board = drc_lab.envs.ricochet.Board(h, v, ((0, 1),), (0, 3), 0)
    for form in (board, str(board)):
        env = gym.make(ENV, board=form)
        _, info = env.reset(seed=0)
        assert info["optimal"] == 1
        assert env.step(3)[2]
    assert env.observation_space.shape == (7, 4, 4) and env.action_space.n == 4


def test_ansi_render_shows_the_board_also_once_it_is_solved():
    env = gym.make(ENV, layout="v0", render_mode="ansi")
    env.reset(seed=0)
    assert env.render() == str(layout("v0")[0])
    env.step(3)
    assert "Aa" in env.render()


def test_wall_bits_are_the_four_edges():
    h, v = border(2, 2)
    np.testing.assert_array_equal(wall_bits(h, v), [[1 | 4, 1 | 8], [2 | 4, 2 | 8]])
