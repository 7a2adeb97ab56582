"""Labels of hand-made episodes, cell by cell."""

import numpy as np
import pytest

from drc_lab.envs.sokoban import SokobanVectorEnv
from drc_lab.errors import ConfigError
from drc_lab.interpretation.episodes import Episode
from drc_lab.interpretation.labels import find_labels, labels_of, register_label, ricochet, sokoban
from drc_lab.interpretation.labels.backward import next_event, next_only, number_left

UP, DOWN, LEFT, RIGHT, NOOP = range(5)
NEVER, TO_UP, TO_DOWN, TO_LEFT, TO_RIGHT = range(5)

CORRIDOR = """
########
#      #
# @$ . #
#      #
########
"""


def played(env, actions, level=0, waits=()):
    """The episode of these actions on the env's first board."""
    batch, boards, returns = env.batch, [], [0.0]
    env.reset(seed=0)
    boards.append(batch.get_state())
    for action in actions:
        info = env.step(np.array([action]))[4]
        boards.append(batch.get_state())
        returns.append(float(info["return"][0]))
    names = batch.STATE
    size = env.batch.tiles if hasattr(batch, "tiles") else batch.walls
    width = batch.width
    return Episode(
        level,
        {name: np.stack([board[name][0] for board in boards]) for name in names},
        np.array(actions),
        np.isin(np.arange(len(actions)), waits),
        np.array(returns),
        bool(batch.solved[0]),
        size.shape[1] // width,
        width,
    )


@pytest.fixture
def corridor(tmp_path):
    path = tmp_path / "levels.txt"
    path.write_text(CORRIDOR)
    return SokobanVectorEnv(num_envs=1, levels=str(path), max_steps=50, autoreset=False, noop=True)


def label(game, name, episode):
    return labels_of(game)[name].of(episode)


def test_where_the_agent_comes_from_and_boxes_go(corridor):
    """Right twice solves it: the player steps onto the box's cell and onto the next one."""
    episode = played(corridor, [RIGHT, RIGHT])
    assert episode.solved
    approach, push = (label(sokoban.GAME, f"{name}_direction", episode) for name in ("agent_approach", "box_push"))
    assert approach.shape == (2, 5, 8)
    expected = np.zeros((2, 5, 8))
    expected[0, 2, 3] = expected[0, 2, 4] = expected[1, 2, 4] = TO_RIGHT
    assert (approach == expected).all()
    expected[:] = 0
    expected[0, 2, 3] = expected[0, 2, 4] = expected[1, 2, 4] = TO_RIGHT  # the box is pushed off these two
    assert (push == expected).all()
    assert label(sokoban.GAME, "pushes_left", episode).tolist() == [2, 1]


def test_the_next_visit_counts_and_not_a_later_one(corridor):
    """Up, down, up: the cell above is entered twice from below, the player's own once from above."""
    approach = label(sokoban.GAME, "agent_approach_direction", played(corridor, [UP, DOWN, UP, LEFT, DOWN, RIGHT]))
    assert approach[:, 1, 2].tolist() == [TO_UP, TO_UP, TO_UP, NEVER, NEVER, NEVER]
    assert approach[:, 2, 2].tolist() == [TO_DOWN, TO_DOWN, TO_RIGHT, TO_RIGHT, TO_RIGHT, TO_RIGHT]


def test_a_move_into_a_wall_is_none(corridor):
    episode = played(corridor, [UP, UP, UP])
    approach = label(sokoban.GAME, "agent_approach_direction", episode)
    assert (approach > 0).sum() == 1 and approach[0, 1, 2] == TO_UP


def test_the_next_box_is_marked_where_it_stands_and_the_target_where_it_will(corridor):
    episode = played(corridor, [UP, DOWN, RIGHT, RIGHT])
    box, target = (label(sokoban.GAME, name, episode) for name in ("next_box", "next_target"))
    assert [np.argwhere(step).tolist() for step in box] == [[[2, 3]], [[2, 3]], [[2, 3]], [[2, 4]]]
    assert [np.argwhere(step).tolist() for step in target] == [[[2, 5]]] * 4


def test_returns_and_cycles_of_any_game(corridor):
    episode = played(corridor, [UP, DOWN, NOOP, RIGHT, RIGHT], waits=[2])
    cycle = label(sokoban.GAME, "in_cycle", episode)
    assert cycle.tolist() == [1, 1, 0, 0, 0]
    left = label(sokoban.GAME, "return_left", episode)
    assert left[0] == pytest.approx(episode.returns[-1]) and left[-1] == pytest.approx(-0.1 + 1 + 10)


def test_robots_that_slide():
    """Robot 0 goes right along a row of three, then up; robot 1 does not move."""
    walls = np.zeros((3, 9), np.uint8)
    steps = [(3, 8), (5, 8), (2, 8)]  # cells of both robots before each step, and at the end
    boards = {"robots": np.array(steps), "walls": walls}
    episode = Episode(0, boards, np.array([RIGHT, UP]), np.zeros(2, bool), np.zeros(3), True, 3, 3)
    assert label(ricochet.GAME, "next_robot", episode).tolist() == [1, 1]
    stop, swept = (label(ricochet.GAME, name, episode) for name in ("stop_cell", "swept_cells"))
    assert [np.flatnonzero(step).tolist() for step in stop] == [[5], [2]]
    assert [np.flatnonzero(step).tolist() for step in swept] == [[2, 4, 5], [2]]
    departs = label(ricochet.GAME, "departure_direction_A", episode)
    assert departs[0].ravel().tolist() == [0, 0, 0, TO_RIGHT, 0, TO_UP, 0, 0, 0]
    assert departs[1].ravel().tolist() == [0, 0, 0, 0, 0, TO_UP, 0, 0, 0]
    assert not label(ricochet.GAME, "departure_direction_B", episode).any()
    assert (label(ricochet.GAME, "departure_direction_C", episode) == -1).all()  # there is no third robot
    assert label(ricochet.GAME, "moves_left", episode).tolist() == [2, 1]


def test_moves_to_the_goal_are_the_solvers_and_not_the_agents():
    """A 1x3 corridor: robot 0 goes to the right end and back; the goal is the left end. Walled in, it has none."""
    walls = np.array([[0b0111, 0b0011, 0b1011]] * 3, np.uint8)
    steps = {"robots": np.array([[1], [2], [0]]), "goal": np.zeros(3, int), "target": np.zeros(3, int)}
    episode = Episode(0, {"walls": walls, **steps}, np.array([RIGHT, LEFT]), np.zeros(2, bool), np.zeros(3), True, 1, 3)
    assert label(ricochet.GAME, "moves_left", episode).tolist() == [2, 1]
    assert label(ricochet.GAME, "moves_to_goal", episode).tolist() == [1, 1]
    closed = walls.copy()
    closed[:, 0] |= 0b1000
    closed[:, 1] |= 0b0100
    episode = Episode(
        0, {"walls": closed, **steps}, np.array([RIGHT, LEFT]), np.zeros(2, bool), np.zeros(3), False, 1, 3
    )
    assert np.isnan(label(ricochet.GAME, "moves_to_goal", episode)).all()


def test_events_from_the_end():
    assert next_event(3, 2, [(0, 0, 4), (2, 0, 1), (2, 1, 3)]).tolist() == [[4, 3], [1, 3], [1, 3]]
    assert next_only(3, 2, [(1, 1)]).tolist() == [[0, 1], [0, 1], [0, 0]]
    assert number_left(4, [1, 1, 3]).tolist() == [3, 3, 1, 1]


def test_a_label_of_ones_own(monkeypatch):
    from drc_lab.interpretation.labels import registry

    monkeypatch.setattr(registry, "_LABELS", {game: list(own) for game, own in registry._LABELS.items()})
    register_label("steps_left", game=sokoban.GAME)(lambda episode: np.arange(len(episode), 0, -1.0))
    assert find_labels(sokoban.GAME, ["steps_left"])[0].classes == ()
    assert "steps_left" not in labels_of(ricochet.GAME)
    with pytest.raises(ConfigError, match=r"probe\.labels: found 'stop_cell', allowed: agent_approach_direction"):
        find_labels(sokoban.GAME, ["stop_cell"])
