"""Finds which moves are optimal, with the games' exact solvers."""

import numpy as np

from drc_lab.envs.batch import Batch
from drc_lab.envs.search import LIMIT


class Judge:
    """Finds the fewest remaining steps of boards. Each position of a level is solved once, as players return to them.

    Args:
        game: its boards are judged in their positions at the time of each call.
        max_states: positions that the solver searches for one board before giving up.
        threads: boards solved in parallel.
    """

    def __init__(self, game: Batch, max_states: int, threads: int = 1):
        self.game, self.max_states, self.threads = game, max_states, threads
        self.known: list[dict[bytes, int]] = [{} for _ in game.solved]  # of each board, by position

    def steps_to_solve(self, envs: np.ndarray) -> np.ndarray:
        """int64 [n], see `Batch.steps_to_solve`. Boards that have got new levels must go through `forget` first."""
        keys = [(env, self.game.observation[env].tobytes()) for env in envs.tolist()]
        new = np.array([key not in self.known[env] for env, key in keys], bool)
        answers = iter(self.game.steps_to_solve(envs[new], self.max_states, self.threads).tolist())
        for (env, key), is_new in zip(keys, new, strict=True):
            if is_new:
                self.known[env][key] = next(answers)
        return np.array([self.known[env][key] for env, key in keys], np.int64)

    def optimal_moves(self, envs: np.ndarray) -> np.ndarray:
        """float64 [n, A]: 1 for each action that brings a board one step closer to its solution, 0 for the others.

        A board's row is nan if this is undefined or unknown: the board is solved, unsolvable, or too hard to solve.
        """
        now = self.steps_to_solve(envs)

        def after() -> np.ndarray:
            steps = np.full(len(self.game.solved), LIMIT)
            steps[envs] = self.steps_to_solve(envs)
            return steps

        after_each = self.game.after_each_action(after)[envs]  # (n, A)
        optimal = (after_each == now[:, None] - 1).astype(float)
        optimal[(now < 1) | (after_each == LIMIT).any(axis=1)] = np.nan
        return optimal

    def forget(self, envs: np.ndarray) -> None:
        """Drops what is known about boards (int64 [n]) that have got new levels."""
        for env in envs.tolist():
            self.known[env].clear()


class TableJudge(Judge):
    """A `Judge` for many steps on each level.

    It computes all positions of a level at once if the game can and there are not too many, and otherwise searches from
    each position.
    Its answers depend on the board alone, not on earlier calls.

    Args:
        game, max_states, threads: see `Judge`.
        max_positions: the most positions of a level that is computed at once.
    """

    def __init__(self, game: Batch, max_positions: int, max_states: int, threads: int = 1):
        super().__init__(game, max_states, threads)
        self.tables = game.distance_tables(max_positions)
        self.begun, self.at_once = (np.zeros(len(game.solved), bool) for _ in range(2))

    def steps_to_solve(self, envs: np.ndarray) -> np.ndarray:
        if self.tables is None:
            return super().steps_to_solve(envs)
        if len(new := envs[~self.begun[envs]]):
            self.at_once[new], self.begun[new] = self.tables.fill(new, self.threads), True
        at_once = self.at_once[envs]
        if at_once.all():
            return self.tables.look_up(envs)
        steps = np.empty(len(envs), np.int64)
        steps[at_once] = self.tables.look_up(envs[at_once])
        steps[~at_once] = super().steps_to_solve(envs[~at_once])
        return steps

    def forget(self, envs: np.ndarray) -> None:
        super().forget(envs)
        self.begun[envs] = False
