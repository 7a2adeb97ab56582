"""The step and the observations of Sokoban, compiled."""

from collections.abc import Mapping
from dataclasses import dataclass

import gymnasium as gym
import numpy as np

from drc_lab.envs.batch import NOOP, SKIP, Batch, extents
from drc_lab.envs.directions import stride_of
from drc_lab.envs.saved import impossible
from drc_lab.envs.sokoban.distance_tables import SokobanTables
from drc_lab.envs.sokoban.level import (
    BOX,
    BOX_ON_TARGET,
    FLOOR,
    PALETTE,
    PLAYER,
    PLAYER_ON_TARGET,
    TARGET,
    WALL,
    Levels,
)
from drc_lab.envs.sokoban.render import ansi, picture
from drc_lab.envs.sokoban.solve import solve_many
from drc_lab.envs.specs.sokoban import obs_shape
from drc_lab.numerics import jit

# What the channels of a cell show for each tile code: uint8 [7, C].
CHANNELS = {"rgb": PALETTE, "planes": np.eye(7, dtype=np.uint8) * np.uint8(255)}


@jit
def _put(tiles, observation, pixels, channels, cell, code):
    """Changes one cell, on the board and in its observation. observation: uint8 [C, pixels]."""
    tiles[cell] = code
    pixel = pixels[cell]
    if pixel >= 0:
        for c in range(channels.shape[1]):
            observation[c, pixel] = channels[code, c]


@jit
def _step(actions, width, tiles, player, boxes_off, rewards, pixels, channels, observation, reward, solved):
    step_reward, on_reward, off_reward, solved_reward = rewards
    for b in range(len(actions)):
        reward[b] = step_reward if actions[b] != SKIP else 0.0
        if actions[b] == 4 or actions[b] == SKIP:  # the no-op comes last
            continue
        board = tiles[b]
        stride = stride_of(actions[b], width)
        here = player[b]
        there = here + stride
        ahead = board[there]
        if ahead in (BOX, BOX_ON_TARGET):
            beyond = board[there + stride]
            if beyond not in (FLOOR, TARGET):
                continue
            if beyond == TARGET:
                boxes_off[b] -= 1
                reward[b] += on_reward
            ahead = FLOOR
            if board[there] == BOX_ON_TARGET:
                ahead = TARGET
                boxes_off[b] += 1
                reward[b] += off_reward
            moved = BOX_ON_TARGET if beyond == TARGET else BOX
            _put(board, observation[b], pixels, channels, there + stride, moved)
            if boxes_off[b] == 0 and not solved[b]:
                reward[b] += solved_reward
            solved[b] = boxes_off[b] == 0
        if ahead in (FLOOR, TARGET):
            left = TARGET if board[here] == PLAYER_ON_TARGET else FLOOR
            _put(board, observation[b], pixels, channels, here, left)
            _put(board, observation[b], pixels, channels, there, PLAYER_ON_TARGET if ahead == TARGET else PLAYER)
            player[b] = there


@jit
def _load(envs, rows, levels, known_optimal, tiles, player, boxes_off, optimal, solved):
    for i in range(len(envs)):
        b, row = envs[i], rows[i]
        optimal[b], boxes_off[b], solved[b] = known_optimal[row], 0, False
        for cell in range(tiles.shape[1]):
            code = levels[row, cell]
            tiles[b, cell] = code
            if code in (PLAYER, PLAYER_ON_TARGET):
                player[b] = cell
            boxes_off[b] += code == BOX


@jit
def _observe(envs, tiles, pixels, channels, observation):
    for b in envs:
        for cell in range(tiles.shape[1]):
            pixel = pixels[cell]
            if pixel >= 0:
                for c in range(channels.shape[1]):
                    observation[b, c, pixel] = channels[tiles[b, cell], c]


@jit
def _action_masks(tiles, player, width, masks):
    for b in range(len(tiles)):
        for a in range(4):
            stride = stride_of(a, width)
            ahead = tiles[b, player[b] + stride]
            if ahead in (BOX, BOX_ON_TARGET):
                ahead = tiles[b, player[b] + 2 * stride]
                masks[b, a] = ahead in (FLOOR, TARGET)
            else:
                masks[b, a] = ahead != WALL


@jit
def _distance_estimate(tiles, player, width, near, estimate):
    """Fills estimate, float64 [B], see `SokobanBatch.distance_estimate`; near: weight of the way to a box."""
    targets = (TARGET, BOX_ON_TARGET, PLAYER_ON_TARGET)
    for b in range(len(tiles)):
        estimate[b], nearest = 0.0, np.inf
        for box in range(tiles.shape[1]):
            if tiles[b, box] != BOX:
                continue
            walk = abs(player[b] // width - box // width) + abs(player[b] % width - box % width)
            nearest = min(nearest, np.float64(walk))
            push = np.inf
            for cell in range(tiles.shape[1]):
                if tiles[b, cell] in targets:
                    push = min(push, np.float64(abs(cell // width - box // width) + abs(cell % width - box % width)))
            estimate[b] += push
        if nearest < np.inf:
            estimate[b] += near * nearest


@dataclass
class Rules:
    """Rewards and actions; the defaults are those of the published agents.

    Args:
        step_reward: at every step.
        on_reward: added for a box pushed onto a target.
        off_reward: added for a box pushed off a target.
        solved_reward: added when the last box is pushed onto a target.
        noop: whether there is a last action that does nothing.
    """

    step_reward: float = -0.1
    on_reward: float = 1.0
    off_reward: float = -1.0
    solved_reward: float = 10.0
    noop: bool = False


class SokobanBatch(Batch):
    """B boards and their compiled step; for the arrays see `drc_lab.envs.batch.Batch`.

    Args:
        num_envs, height, width: B boards of that size.
        rules: see `Rules`.
        observation: "rgb" (uint8 [3, H, W], one pixel a cell, `PALETTE`) or "planes" (uint8 [7, H, W], 255 where the
            cell is WALL, FLOOR, TARGET, BOX_ON_TARGET, BOX, PLAYER, PLAYER_ON_TARGET).
        crop_border: leaves the outermost ring of cells, which is wall, out of the observation.
    """

    STATE = ("tiles", "player", "boxes_off", "optimal", "solved")

    def __init__(
        self, num_envs: int, height: int, width: int, rules: Rules, observation: str = "rgb", crop_border: bool = False
    ):
        self.width, self.channels = width, CHANNELS[observation]
        self.rewards = (rules.step_reward, rules.on_reward, rules.off_reward, rules.solved_reward)
        inside = np.zeros((height, width), bool)
        inside[slice(1, -1) if crop_border else slice(None), slice(1, -1) if crop_border else slice(None)] = True
        # Which pixel shows a cell, -1 for none: int64 [H * W].
        self.pixels = np.where(inside.ravel(), np.cumsum(inside.ravel()) - 1, -1)
        shape = obs_shape(observation, height, width, crop_border)
        names = ("up", "down", "left", "right", *([NOOP] if rules.noop else []))
        super().__init__(num_envs, gym.spaces.Box(0, 255, shape, np.uint8), names)
        self.tiles = np.full((num_envs, height * width), WALL, np.uint8)
        self.player, self.boxes_off = (np.zeros(num_envs, np.int64) for _ in range(2))

    @property
    def _flat(self) -> np.ndarray:
        """A view of the observation as [B, C, pixels]."""
        return self.observation.reshape(*self.observation.shape[:2], -1)

    def check_state(self, state: Mapping[str, np.ndarray], count: int | None = None) -> None:
        super().check_state(state, count)
        boards, player = state["tiles"].reshape(-1, *self.board_size), state["player"]
        if boards.max(initial=0) > PLAYER_ON_TARGET:
            raise impossible("a tile of no kind")
        if any(edge.any() for edge in (boards[:, 0], boards[:, -1], boards[:, :, 0], boards[:, :, -1])):  # WALL is 0
            raise impossible("an open border")
        if player.min(initial=0) < 0 or player.max(initial=0) >= self.tiles.shape[1]:
            raise impossible("a player off the board")
        if not np.isin(state["tiles"][np.arange(len(player)), player], (PLAYER, PLAYER_ON_TARGET)).all():
            raise impossible("a player in another place")

    def load(self, envs: np.ndarray, levels: Levels, rows: np.ndarray) -> None:
        _load(
            envs,
            rows,
            levels.tiles.reshape(len(levels), -1),
            levels.optimal,
            self.tiles,
            self.player,
            self.boxes_off,
            self.optimal,
            self.solved,
        )
        self.observe(envs)

    def step(self, actions: np.ndarray) -> None:
        _step(
            actions,
            self.width,
            self.tiles,
            self.player,
            self.boxes_off,
            self.rewards,
            self.pixels,
            self.channels,
            self._flat,
            self.reward,
            self.solved,
        )

    def observe(self, envs: np.ndarray) -> None:
        _observe(envs, self.tiles, self.pixels, self.channels, self._flat)

    def action_masks(self) -> np.ndarray:
        masks = np.ones((len(self.tiles), len(self.action_names)), bool)
        _action_masks(self.tiles, self.player, self.width, masks)
        return masks

    @property
    def board_size(self) -> tuple[int, int]:
        return self.tiles.shape[1] // self.width, self.width

    def sizes(self) -> np.ndarray:
        """The extents of the cells that are not walls, plus the wall around them: walls pad a smaller level."""
        return extents(self.tiles.reshape(len(self.tiles), -1, self.width) != WALL) + 2

    def steps_to_solve(self, envs: np.ndarray, max_states: int, threads: int = 1) -> np.ndarray:
        steps = np.zeros(len(envs), np.int64)
        todo = ~self.solved[envs]
        boards = self.tiles.reshape(len(self.tiles), -1, self.width)[envs[todo]]
        steps[todo] = solve_many(boards, "moves", max_states, threads)
        return steps

    def distance_tables(self, max_positions: int) -> SokobanTables:
        return SokobanTables(self.tiles, self.player, self.width, max_positions)

    def distance_estimate(self) -> np.ndarray:
        """The rows plus columns from each box that is off target to its nearest target, summed.

        The distance from the player to the nearest of these boxes is added, scaled so that it counts less than 1.
        """
        estimate = np.zeros(len(self.tiles))
        height = self.tiles.shape[1] // self.width
        _distance_estimate(self.tiles, self.player, self.width, 1 / (height + self.width), estimate)
        return estimate

    def text(self, env: int) -> str:
        return ansi(self.tiles[env].reshape(-1, self.width))

    def picture(self, env: int, cell_size: int) -> np.ndarray:
        return picture(self.tiles[env].reshape(-1, self.width), cell_size)
