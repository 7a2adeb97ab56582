"""Ricochet Robots as Gymnasium envs: `RicochetVectorEnv` for batches, `RicochetEnv` for one board."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from drc_lab.arguments import takes
from drc_lab.envs.curriculum import curriculum_levels
from drc_lab.envs.levels import hashed
from drc_lab.envs.ricochet.bank import load_bank
from drc_lab.envs.ricochet.generate import BoardGenerator
from drc_lab.envs.ricochet.identity import identities
from drc_lab.envs.ricochet.layouts import layout
from drc_lab.envs.ricochet.level import Board, Boards
from drc_lab.envs.ricochet.solve import solve_many
from drc_lab.envs.ricochet.step import RicochetBatch, Rules
from drc_lab.envs.ricochet.symmetry import transform
from drc_lab.envs.single import LevelEnv
from drc_lab.envs.specs.levels import OneLevel
from drc_lab.envs.specs.ricochet import RicochetSpec
from drc_lab.envs.streams import AugmentedLevels, FixedLevels, LevelStream, generated_levels
from drc_lab.envs.symmetry import COUNT, TRANSPOSE
from drc_lab.envs.vector import LevelVectorEnv
from drc_lab.errors import UserError

MAX_STATES_OF_A_GIVEN_BOARD = 1_000_000  # positions; if the search needs more, the optimal length stays unknown


def build(spec: RicochetSpec) -> tuple[RicochetBatch, LevelStream[Boards]]:
    """The batch that plays the boards, and the stream that deals them."""
    stream: LevelStream[Boards]
    if spec.given:
        boards = given_boards(spec)
        stream, num_robots = FixedLevels(boards, spec.order), boards.robots.shape[1]
        height, width = boards.walls.shape[1:]
    else:
        stream, num_robots = generated(spec), spec.num_robots
        height, width = spec.height, spec.width
    if spec.augment:
        stream = AugmentedLevels(stream, augmented)
    rules = Rules(spec.step_penalty, spec.null_move_penalty, spec.goal_reward, spec.noop)
    return RicochetBatch(spec.num_envs, height, width, num_robots, rules, spec.observation), stream


def generated(spec: RicochetSpec) -> LevelStream[Boards]:
    """The boards of the generator: of a curriculum, or all alike."""
    if spec.curriculum is not None:
        return curriculum_levels(spec.curriculum, BoardGenerator, spec.of_a_stage, **spec.of_all_stages)
    generator = BoardGenerator(**spec.of_a_stage, **spec.of_all_stages)
    return generated_levels(generator, spec.num_levels, spec.level_seed, spec.order, identities)


class RicochetVectorEnv(LevelVectorEnv):
    """A batch of Ricochet Robots boards.

    Observation: see `RicochetBatch`; by default uint8 [6 + R, H, W], 0 or 255: walls up, down, left, right, goal,
    target robot, each robot. Action: 4 * robot + direction (up, down, left, right), then the no-op if there is one.
    A robot slides until a wall or another robot stops it. Reward: -step_penalty each step, +goal_reward when the target
    robot stops on the goal, which terminates the episode. Truncation after max_steps.

    Boards come, in order of precedence, from ``board`` (one, or several of one size; `Board` or text), from ``layout``
    ("v0", "v1"), from a ``bank`` (a file that ``task=make_bank`` wrote), or from a generator: endless, or a fixed
    number of distinct boards if ``num_levels`` is given.

    See `RicochetSpec` for the arguments.
    """

    @takes(RicochetSpec)  # checks the arguments and hands them over as a spec
    def __init__(self, spec: RicochetSpec):
        super().__init__(*build(spec), spec)


class RicochetEnv(LevelEnv):
    """One board of a `RicochetVectorEnv`; takes the same arguments except ``num_envs`` and ``autoreset``."""

    def __init__(self, **kwargs: Any):
        super().__init__(RicochetVectorEnv(num_envs=1, autoreset=False, **kwargs))


def given_boards(spec: RicochetSpec) -> Boards:
    """The boards that ``board``, ``layout`` or ``bank`` gives."""
    if spec.board is not None:
        return packed(spec.board)
    if spec.layout is not None:
        return packed(layout(spec.layout))
    boards = load_bank(str(spec.bank), spec.min_optimal, spec.max_optimal, spec.min_moved, spec.max_moved, spec.split)
    return boards.sample(spec.num_levels, spec.level_seed)


def packed(boards: OneLevel | str | Sequence[OneLevel | str]) -> Boards:
    """Boards that are given as objects or text, solved for their optimal lengths.

    A length is -1 where there is no solution or the solver does not find it within its limits.
    """
    if isinstance(boards, OneLevel | str):
        boards = [boards]
    read: list[Any] = [Board.from_text(each) if isinstance(each, str) else each for each in boards]
    result = Boards.pack(read, [-1] * len(read))
    with suppress(UserError):  # more robots than the solver can handle
        lengths, _ = solve_many(result, MAX_STATES_OF_A_GIVEN_BOARD)
        result.optimal[:] = np.maximum(lengths, -1)
    return result


def augmented(random: np.ndarray, boards: Boards) -> Boards:
    """Applies a random symmetry that keeps the size to each board and renumbers its robots, by its number of
    ``random``, uint64 [N]."""
    height, width = boards.walls.shape[1:]
    symmetry = random % np.uint64(COUNT if height == width else TRANSPOSE)  # those below do not transpose
    ranks = [hashed(robot + 1, random) for robot in range(boards.robots.shape[1])]
    return transform(boards, symmetry.astype(np.int64), np.argsort(np.stack(ranks, axis=1), axis=1))
