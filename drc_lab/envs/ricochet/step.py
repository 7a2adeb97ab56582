"""The step and the observations of Ricochet Robots, compiled."""

from collections.abc import Mapping
from dataclasses import dataclass

import gymnasium as gym
import numpy as np

from drc_lab.envs.batch import NOOP, SKIP, Batch, extents
from drc_lab.envs.directions import stride_of
from drc_lab.envs.render import COLOURS
from drc_lab.envs.ricochet.distance_tables import RicochetTables
from drc_lab.envs.ricochet.level import CLOSED, Boards, draw
from drc_lab.envs.ricochet.render import picture
from drc_lab.envs.ricochet.slide import slide
from drc_lab.envs.ricochet.solve import solve_many
from drc_lab.envs.saved import impossible
from drc_lab.envs.search import LIMIT
from drc_lab.envs.specs.ricochet import OBSERVATIONS, PLANES, ROBOT_NAMES, most_robots, obs_shape
from drc_lab.numerics import jit

ON = np.uint8(255)
PLANES_VIEW, SYMBOLIC_VIEW, RGB_VIEW = range(3)  # in the order of OBSERVATIONS
DIRECTION_NAMES = ("up", "down", "left", "right")

FLOOR_COLOUR, WALL_COLOUR = (243, 248, 238), (0, 0, 0)


@jit
def _show(observation, view, width, colours, robot, cell, goal, target, here):
    """Updates the observation of a cell that a robot has entered (``here``) or left.

    observation: [K, pixels], see `RicochetBatch`.
    """
    if view == PLANES_VIEW:
        shown = ON if here else np.uint8(0)
        observation[PLANES + robot, cell] = shown
        if robot == target:
            observation[5, cell] = shown
    elif view == SYMBOLIC_VIEW:
        if here:
            place = observation.shape[0] - 2 * len(colours) + 2 * robot
            observation[place, 0], observation[place + 1, 0] = cell // width, cell % width
    else:
        pixel = (2 * (cell // width) + 1) * (2 * width + 1) + 2 * (cell % width) + 1
        for c in range(3):
            # The goal is a light shade of the target robot's colour; a robot on it is blended with it in equal parts.
            floor = np.int64(FLOOR_COLOUR[c])
            if cell == goal:
                floor = (floor + np.int64(colours[target, c])) // 2
            colour = np.int64(colours[robot, c])
            if here and cell == goal:
                colour = (colour + floor) // 2
            observation[c, pixel] = colour if here else floor


@jit
def _step(actions, view, width, colours, walls, robots, goal, target, step_reward, null_reward, goal_reward,
          observation, reward, solved):  # fmt: skip
    moves = 4 * robots.shape[1]
    for b in range(len(actions)):
        action = actions[b]
        if action == SKIP:
            reward[b] = 0.0
            continue
        reward[b] = step_reward
        if action < moves:  # the no-op comes last
            robot = action // 4
            old = robots[b, robot]
            new = slide(walls[b], width, robots[b], robot, action % 4)
            if new == old:
                reward[b] += null_reward
            else:
                robots[b, robot] = new
                _show(observation[b], view, width, colours, robot, old, goal[b], target[b], False)
                _show(observation[b], view, width, colours, robot, new, goal[b], target[b], True)
        solved[b] = robots[b, target[b]] == goal[b]
        if solved[b]:
            reward[b] += goal_reward


@jit
def _observe(envs, view, width, colours, walls, robots, goal, target, observation):
    num_robots = robots.shape[1]
    for b in envs:
        seen = observation[b]
        if view == PLANES_VIEW:
            seen[4:] = 0
            for cell in range(walls.shape[1]):
                for side in range(4):
                    seen[side, cell] = ON if walls[b, cell] & (1 << side) else np.uint8(0)
            seen[4, goal[b]] = ON
        elif view == SYMBOLIC_VIEW:
            seen[0, 0], seen[1, 0] = goal[b] // width, goal[b] % width
            for robot in range(num_robots):
                seen[2 + robot, 0] = robot == target[b]
            seen[2 + num_robots :] = -1
        else:
            across = 2 * width + 1
            for pixel in range(seen.shape[1]):
                r, c = pixel // across, pixel % across
                cell = min(r // 2, walls.shape[1] // width - 1) * width + min(c // 2, width - 1)
                bits = walls[b, cell]
                if r % 2 and c % 2:
                    wall = bits == 15
                elif r % 2:
                    wall = bits & 4 if c < across - 1 else bits & 8
                elif c % 2:
                    wall = bits & 1 if r < seen.shape[1] // across - 1 else bits & 2
                else:
                    wall = True
                for channel in range(3):
                    seen[channel, pixel] = WALL_COLOUR[channel] if wall else FLOOR_COLOUR[channel]
            _show(seen, view, width, colours, 0, goal[b], goal[b], target[b], False)
        for robot in range(num_robots):
            if robots[b, robot] >= 0:
                _show(seen, view, width, colours, robot, robots[b, robot], goal[b], target[b], True)


@jit
def _load(
    envs, rows, set_walls, set_robots, set_goal, set_target, set_optimal, walls, robots, goal, target, optimal, solved
):
    for i in range(len(envs)):
        b, row = envs[i], rows[i]
        walls[b], robots[b] = set_walls[row], set_robots[row]
        goal[b], target[b], optimal[b], solved[b] = set_goal[row], set_target[row], set_optimal[row], False


@jit
def _action_masks(walls, width, robots, masks):
    for b in range(len(walls)):
        for action in range(4 * robots.shape[1]):
            cell, direction = robots[b, action // 4], action % 4
            masks[b, action] = cell >= 0 and not walls[b, cell] & (1 << direction)
            if masks[b, action]:
                stride = stride_of(direction, width)
                for other in robots[b]:
                    if other == cell + stride:
                        masks[b, action] = False


@dataclass
class Rules:
    """Rewards and actions.

    Args:
        step_penalty: subtracted at every step, the last one included.
        null_move_penalty: also subtracted if the chosen robot cannot move in that direction; not for the no-op.
        goal_reward: added when the target robot stops on the goal.
        noop: whether there is a last action that does nothing.
    """

    step_penalty: float = 0.01
    null_move_penalty: float = 0.0
    goal_reward: float = 1.0
    noop: bool = False


class RicochetBatch(Batch):
    """B boards and their compiled step; for the arrays see `drc_lab.envs.batch.Batch`.

    Args:
        num_envs, height, width, num_robots: B boards of that size.
        rules: see `Rules`.
        observation:
            "planes": uint8 [6 + R, H, W], 0 or 255: walls up, down, left, right, goal, target robot, each robot.
            "symbolic": float32 [2 + 3R]: row and column of the goal, one-hot target, row and column of each robot
                (-1 if it is absent). Walls are not in it.
            "rgb": uint8 [3, 2H + 1, 2W + 1], one pixel for each cell, and for each edge and corner between cells.
    """

    STATE = ("walls", "robots", "goal", "target", "optimal", "solved")

    def __init__(
        self, num_envs: int, height: int, width: int, num_robots: int, rules: Rules, observation: str = "planes"
    ):
        self.rules, self.width, self.view = rules, width, OBSERVATIONS.index(observation)
        self.colours = np.array(COLOURS[:num_robots], np.uint8)
        moves = [f"{name} {direction}" for name in ROBOT_NAMES[:num_robots] for direction in DIRECTION_NAMES]
        shape = obs_shape(observation, height, width, num_robots)
        space: gym.spaces.Box = gym.spaces.Box(0, 255, shape, np.uint8)
        if self.view == SYMBOLIC_VIEW:
            space = gym.spaces.Box(-1, max(height, width, 2) - 1, shape, np.float32)
        super().__init__(num_envs, space, (*moves, *([NOOP] if rules.noop else [])))
        self.walls = np.zeros((num_envs, height * width), np.uint8)
        self.robots = np.zeros((num_envs, num_robots), np.int64)
        self.goal, self.target = (np.zeros(num_envs, np.int64) for _ in range(2))

    @property
    def _flat(self) -> np.ndarray:
        """A view of the observation as [B, K, pixels]; a symbolic one has one pixel."""
        return self.observation.reshape(*self.observation.shape[:2], -1)

    def check_state(self, state: Mapping[str, np.ndarray], count: int | None = None) -> None:
        super().check_state(state, count)
        walls = state["walls"].reshape(-1, *self.board_size)
        ranges = {
            "robots": (-1, self.walls.shape[1] - 1),
            "goal": (0, self.walls.shape[1] - 1),
            "target": (0, self.robots.shape[1] - 1),
            "walls": (0, CLOSED),
        }
        for name, (least, most) in ranges.items():
            if state[name].min(initial=most) < least or state[name].max(initial=least) > most:
                raise impossible(f"{name} out of range")
        edges = (walls[:, 0] & 1, walls[:, -1] & 2, walls[:, :, 0] & 4, walls[:, :, -1] & 8)
        if not all(edge.all() for edge in edges):
            raise impossible("an open border")
        if state["robots"][np.arange(len(walls)), state["target"]].min(initial=0) < 0:
            raise impossible("a target robot that is absent")

    def load(self, envs: np.ndarray, levels: Boards, rows: np.ndarray) -> None:
        _load(envs, rows, levels.walls.reshape(len(levels), -1), levels.robots, levels.goal, levels.target,
              levels.optimal, self.walls, self.robots, self.goal, self.target, self.optimal, self.solved)  # fmt: skip
        self.observe(envs)

    def step(self, actions: np.ndarray) -> None:
        rules = self.rules
        _step(actions, self.view, self.width, self.colours, self.walls, self.robots, self.goal, self.target,
              -rules.step_penalty, -rules.null_move_penalty, rules.goal_reward, self._flat, self.reward,
              self.solved)  # fmt: skip

    def observe(self, envs: np.ndarray) -> None:
        _observe(envs, self.view, self.width, self.colours, self.walls, self.robots, self.goal, self.target, self._flat)

    def action_masks(self) -> np.ndarray:
        masks = np.ones((len(self.walls), len(self.action_names)), bool)
        _action_masks(self.walls, self.width, self.robots, masks)
        return masks

    @property
    def board_size(self) -> tuple[int, int]:
        return self.walls.shape[1] // self.width, self.width

    def sizes(self) -> np.ndarray:
        """The extents of the cells that are not closed: closed cells pad a smaller board."""
        return extents(self.walls.reshape(len(self.walls), -1, self.width) != CLOSED)

    def steps_to_solve(self, envs: np.ndarray, max_states: int, threads: int = 1) -> np.ndarray:
        todo = ~self.solved[envs]
        steps, envs = np.where(todo, LIMIT, 0), envs[todo]
        boards = Boards(
            self.walls.reshape(len(self.walls), -1, self.width)[envs],
            self.robots[envs],
            self.goal[envs],
            self.target[envs],
            self.optimal[envs],
        )
        if self.robots.shape[1] <= most_robots(self.walls.shape[1]):
            steps[todo], _ = solve_many(boards, max_states, threads)
        return steps

    def distance_tables(self, max_positions: int) -> RicochetTables:
        return RicochetTables(self.walls, self.robots, self.goal, self.target, self.width, max_positions)

    def distance_estimate(self) -> np.ndarray:
        """The rows plus the columns between the target robot and the goal."""
        cell = self.robots[np.arange(len(self.robots)), self.target]
        rows, columns = cell // self.width - self.goal // self.width, cell % self.width - self.goal % self.width
        return (np.abs(rows) + np.abs(columns)).astype(np.float64)

    def text(self, env: int) -> str:
        robots = [divmod(int(cell), self.width) if cell >= 0 else None for cell in self.robots[env]]
        goal = divmod(int(self.goal[env]), self.width)
        return draw(self.walls[env].reshape(-1, self.width), robots, goal, int(self.target[env]))

    def picture(self, env: int, cell_size: int) -> np.ndarray:
        return picture(
            self.walls[env].reshape(-1, self.width),
            self.robots[env],
            int(self.goal[env]),
            int(self.target[env]),
            cell_size,
        )
