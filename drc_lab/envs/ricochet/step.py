"""What a move does, compiled: the one place that knows the rules, shared by envs, solver and generator."""

from dataclasses import dataclass

import numpy as np

from drc_lab.envs.ricochet.level import Boards, draw
from drc_lab.numerics import jit

PLANES = 6  # before the robots' own: walls up, down, left, right, goal, target robot
ON = np.uint8(255)


@jit
def slide(walls, width, robots, robot, direction):
    """The cell where a robot stops. walls uint8 [P], robots int [R] (cell indices), direction 0-3."""
    cell, bit = robots[robot], np.uint8(1 << direction)
    stride = -width if direction == 0 else width if direction == 1 else -1 if direction == 2 else 1
    while not walls[cell] & bit:
        following = cell + stride
        for other in robots:
            if other == following:
                return cell
        cell = following
    return cell


@jit
def _step(walls, width, robots, goal, target, actions, step_reward, goal_reward, observation, reward, solved):
    moves = 4 * robots.shape[1]
    for b in range(robots.shape[0]):
        action = actions[b]
        if action < moves:  # the no-op comes last
            robot = action // 4
            old = robots[b, robot]
            new = slide(walls[b], width, robots[b], robot, action % 4)
            robots[b, robot] = new
            planes = observation[b]
            planes[PLANES + robot, old] = 0
            planes[PLANES + robot, new] = ON
            if robot == target[b]:
                planes[5, old] = 0
                planes[5, new] = ON
        solved[b] = robots[b, target[b]] == goal[b]
        reward[b] = step_reward + (goal_reward if solved[b] else 0.0)


@jit
def _observe(envs, walls, robots, goal, target, observation):
    for b in envs:
        planes = observation[b]
        planes[4:] = 0
        for cell in range(walls.shape[1]):
            for side in range(4):
                planes[side, cell] = ON if walls[b, cell] & (1 << side) else np.uint8(0)
        planes[4, goal[b]] = ON
        planes[5, robots[b, target[b]]] = ON
        for robot in range(robots.shape[1]):
            planes[PLANES + robot, robots[b, robot]] = ON


@dataclass
class Rules:
    """Rewards and actions.

    Args:
        step_penalty: taken off at every step, the last one included.
        goal_reward: added when the target robot stops on the goal.
        noop: whether there is a last action that does nothing.
    """

    step_penalty: float = 0.01
    goal_reward: float = 1.0
    noop: bool = False


class RicochetBatch:
    """B boards and their compiled step; the arrays are those that `drc_lab.envs.vector.Batch` asks for.

    Observation planes (uint8, 0 or 255): walls up, down, left, right, goal, target robot, then one for each robot.
    """

    def __init__(self, num_envs: int, height: int, width: int, num_robots: int, rules: Rules):
        self.rules, self.width = rules, width
        self.num_actions = 4 * num_robots + rules.noop
        self.walls = np.zeros((num_envs, height * width), np.uint8)
        self.robots = np.zeros((num_envs, num_robots), np.int64)
        self.goal, self.target, self.optimal = (np.zeros(num_envs, np.int64) for _ in range(3))
        self.observation = np.zeros((num_envs, PLANES + num_robots, height, width), np.uint8)
        self._planes = self.observation.reshape(num_envs, PLANES + num_robots, height * width)
        self.reward, self.solved = np.zeros(num_envs), np.zeros(num_envs, bool)

    def load(self, envs: np.ndarray, levels: Boards) -> None:
        self.walls[envs] = levels.walls.reshape(len(envs), -1)
        for name in ("robots", "goal", "target", "optimal"):
            getattr(self, name)[envs] = getattr(levels, name)
        self.solved[envs] = False
        _observe(envs, self.walls, self.robots, self.goal, self.target, self._planes)

    def step(self, actions: np.ndarray) -> None:
        _step(self.walls, self.width, self.robots, self.goal, self.target, actions, -self.rules.step_penalty,
              self.rules.goal_reward, self._planes, self.reward, self.solved)  # fmt: skip

    def render(self, env: int) -> str:
        robots = [divmod(int(cell), self.width) for cell in self.robots[env]]
        goal = divmod(int(self.goal[env]), self.width)
        return draw(self.walls[env].reshape(-1, self.width), robots, goal, int(self.target[env]))

    def get_state(self) -> dict[str, np.ndarray]:
        return {name: getattr(self, name).copy() for name in ("walls", "robots", "goal", "target", "optimal", "solved")}

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        for name, array in state.items():
            getattr(self, name)[:] = array
        _observe(np.arange(len(self.goal)), self.walls, self.robots, self.goal, self.target, self._planes)
