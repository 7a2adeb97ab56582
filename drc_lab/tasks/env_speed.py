"""task=env_speed: steps per second of the batch envs on one core, compared with EnvPool and Jumanji in the same run.

python -m drc_lab task=env_speed
"""

import csv
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from drc_lab.app.settings import Settings
from drc_lab.app.specs import SpeedSpec
from drc_lab.app.start import console
from drc_lab.errors import UserError
from drc_lab.files import written
from drc_lab.process import machine_name
from drc_lab.speed.timing import Run, timed
from drc_lab.tables import FittedTable, table_of

LEVELS: dict[str, Any] = {"num_levels": 1000, "copy": False}
OURS: dict[str, tuple[str, dict[str, Any]]] = {
    "Sokoban 10x10, tiny RGB": (
        "drc_lab/Sokoban-v0",
        {"generator": "reverse", "height": 10, "width": 10, "num_boxes": 4, "max_steps": [30, 120]},
    ),
    "Ricochet 8x8, 4 robots, planes": (
        "drc_lab/RicochetRobots-v0",
        {"height": 8, "width": 8, "num_robots": 4, "max_steps": [10, 40]},
    ),
}


def main(settings: Settings, folder: Path) -> None:
    """Times all envs, prints the table and writes env_speed.csv."""
    spec = settings.speed
    with one_core():
        runs = {name: ours(spec, *env) for name, env in OURS.items()}
        overhead = {name: ours(SpeedSpec(1, spec.steps), *env) for name, env in OURS.items()}
        if spec.peers:
            runs |= {
                "EnvPool Sokoban-v0, grid": envpool(spec),
                "Jumanji Sokoban, grid": jumanji(spec),
            }
        speeds = timed(runs, spec.timings)
        calls = {name: 1e6 / speed for name, speed in timed(overhead, spec.timings).items()}
    rows = [(name, speed, calls.get(name, float("nan"))) for name, speed in speeds.items()]
    with written(folder / "env_speed.csv") as part, part.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["env", "steps_per_second", "microseconds_a_call_with_one_board"])
        writer.writerows((name, round(speed), round(call, 1)) for name, speed, call in rows)
    console.print(speed_table(spec, rows))


def speed_table(spec: SpeedSpec, rows: Sequence[tuple[str, float, float]]) -> FittedTable:
    """Makes the printed table.

    Args:
        spec: settings of the timing.
        rows: for each env its name, steps per second, and microseconds of a call with one board (nan if not measured).
    """
    peers = [speed for name, speed, _ in rows if name not in OURS]
    cells = []
    for name, speed, call in rows:
        against = [f"{speed / peer:.2f}" for peer in (min(peers), max(peers))] if peers else ["", ""]
        cells.append([name, f"{speed:,.0f}", *against, "" if math.isnan(call) else f"{call:.1f} us"])
    titles = ("env", "steps/s", "x the slowest peer", "x the fastest peer", "a call with one board")
    caption = (
        f"{machine_name()}, median of {spec.timings} timings of {spec.steps} calls, resets and observations included"
    )
    title = f"Env steps on one core, batch of {spec.num_envs}, random play"
    return table_of(title, titles, cells, None, caption)


@contextmanager
def one_core() -> Iterator[None]:
    """Restricts this process, with all threads that libraries start, to one core within this context."""
    if not hasattr(os, "sched_setaffinity"):
        raise UserError("task=env_speed: needs Linux, to keep every env on one core")
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _play(env: Any, actions: np.ndarray) -> int:
    for action in actions:
        env.step(action)
    return actions.size


def ours(spec: SpeedSpec, env_id: str, settings: dict[str, Any]) -> Run:
    env = gym.make_vec(env_id, num_envs=spec.num_envs, **(LEVELS | settings))
    env.reset(seed=0)
    number = env.single_action_space.n  # type: ignore[attr-defined]
    actions = np.random.default_rng(0).integers(0, number, (spec.steps, spec.num_envs))
    return partial(_play, env, actions)


def envpool(spec: SpeedSpec) -> Run:
    """Makes a run of EnvPool's Sokoban on its own levels, with one thread; it observes the grid of tile codes."""
    try:
        import envpool
    except ImportError as error:
        raise UserError(
            "speed.peers: EnvPool is missing: pip install 'drc-lab[bench]', or speed.peers=false"
        ) from error
    env = envpool.make("Sokoban-v0", env_type="gymnasium", num_envs=spec.num_envs, num_threads=1)
    env.reset()
    steps = max(1, spec.steps // 20)  # it is far slower, so fewer steps are timed
    actions = np.random.default_rng(0).integers(0, env.action_space.n, (steps, spec.num_envs)).astype(np.int32)
    return partial(_play, env, actions)


def jumanji(spec: SpeedSpec) -> Run:
    """Makes a run of Jumanji's Sokoban, all steps in one compiled scan; it observes the grid of tile codes."""
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    try:
        import jax
        from jumanji.environments.routing.sokoban.env import Sokoban
        from jumanji.environments.routing.sokoban.generator import SimpleSolveGenerator
        from jumanji.wrappers import AutoResetWrapper
    except ImportError as error:
        raise UserError(
            "speed.peers: Jumanji is missing: pip install 'drc-lab[bench]', or speed.peers=false"
        ) from error
    env = AutoResetWrapper(Sokoban(generator=SimpleSolveGenerator()))
    key = jax.random.PRNGKey(0)
    state, _ = jax.vmap(env.reset)(jax.random.split(key, spec.num_envs))
    actions = jax.random.randint(key, (spec.steps, spec.num_envs), 0, 4)

    def step(state: Any, action: Any) -> Any:
        state, timestep = jax.vmap(env.step)(state, action)
        return state, timestep.reward.sum() + timestep.observation.grid.sum()

    scan = jax.jit(lambda state: jax.lax.scan(step, state, actions))

    def run() -> int:
        nonlocal state
        state, sums = scan(state)
        jax.block_until_ready(sums)
        return actions.size

    return run
