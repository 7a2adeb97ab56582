"""Records what a policy computes while it plays; `drc_lab.interpretation.recording` describes and reads the files."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.numpy import save
from torch import Tensor

from drc_lab.envs.vector import LevelVectorEnv
from drc_lab.errors import UserError
from drc_lab.evaluation.play.evaluator import evaluate
from drc_lab.evaluation.play.sweep import batches
from drc_lab.evaluation.play.thinking import Thinking
from drc_lab.evaluation.watchers.watcher import Watcher
from drc_lab.files import written
from drc_lab.interpretation.hooks import read_names, tapping
from drc_lab.interpretation.recording import ABOUT, DECIDES
from drc_lab.interpretation.spec import RECORDED_AS
from drc_lab.models.policy import Policy, PolicyValue
from drc_lab.models.taps import Point, Taps
from drc_lab.untrusted import as_mapping, read_json

DTYPES = dict(zip(RECORDED_AS, (np.float32, np.float16), strict=True))


class Recorder(Watcher):
    """Collects what a policy computes in one evaluation, in the layout of `Recording`.

    Args:
        policy: the policy that plays.
        env: the env that it plays in.
        names: of the tensors to keep, see `drc_lab.interpretation.hooks`.
        dtype: of the kept tensors, float32 or float16.
    """

    def __init__(self, policy: Policy, env: LevelVectorEnv, names: Sequence[str], dtype: Any = np.float32):
        self.wanted, self.points = read_names(policy, names)
        self.env, self.dtype = env, dtype
        self.now: dict[str, np.ndarray] = {}
        self.rows: list[dict[str, np.ndarray]] = []  # one entry for each run of the policy: columns of the index
        self.kept: list[dict[str, np.ndarray]] = []  # for the same runs: tensors
        self.boards: list[dict[str, np.ndarray]] = []
        self.step = -1
        N = env.num_envs
        self.level, self.optimal, self.length, self.thoughts = (np.zeros(N, np.int64) for _ in range(4))
        self.solved = np.zeros(N, bool)
        self.obs = np.empty(0)
        self.taps = Taps(self._keep, frozenset(point.what for point in self.points))

    def _keep(self, point: Point, value: Tensor) -> Tensor:
        if any(each.means(point) for each in self.wanted):
            self.now[point.name] = value.detach().cpu().numpy().astype(self.dtype)
        return value

    def seen(self, envs: np.ndarray, obs: np.ndarray, info: dict[str, Any]) -> None:
        self.step += 1
        if self.step == 0:
            self.level, self.optimal = info["level"].copy(), info["optimal"].copy()
        self.obs = obs.copy()
        self.solved[envs], self.length[envs] = info["solved"][envs], info["length"][envs]
        batch = self.env.batch
        self.boards.append(
            {
                "level": self.level[envs],
                "step": np.full(len(envs), self.step),
                "returns": info["return"][envs].copy(),
                **{f"boards.{name}": getattr(batch, name)[envs].copy() for name in batch.STATE},
            }
        )
        self.thoughts[:] = 0

    def thought(self, envs: np.ndarray, out: PolicyValue) -> None:
        nothing = np.full(len(envs), DECIDES)
        self._row(envs, self.thoughts[envs], nothing, np.zeros(len(envs), bool))
        self.thoughts[envs] += 1

    def decided(self, envs: np.ndarray, out: PolicyValue, actions: np.ndarray, waits: np.ndarray) -> None:
        self._row(envs, np.full(len(envs), DECIDES), actions, waits)

    def _row(self, envs: np.ndarray, thought: np.ndarray, actions: np.ndarray, waits: np.ndarray) -> None:
        self.rows.append({"env": envs, "level": self.level[envs], "step": np.full(len(envs), self.step),
                          "thought": thought, "action": actions.copy(), "waits": waits.copy()})  # fmt: skip
        self.kept.append({"obs": self.obs[envs], **self.now})
        self.now = {}

    def shard(self) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
        """Returns the index and the tensors, sorted by level, step and thought (the deciding pass last)."""
        index = pd.concat([pd.DataFrame(row) for row in self.rows], ignore_index=True)
        for name, column in (("solved", self.solved), ("length", self.length), ("optimal", self.optimal)):
            index[name] = column[index["env"]]
        last = index["thought"].where(index["thought"] != DECIDES, np.iinfo(np.int64).max)
        order = np.lexsort((last, index["step"], index["level"]))
        tensors = {name: np.concatenate([kept[name] for kept in self.kept])[order] for name in self.kept[0]}
        names = [name for name in self.boards[0] if name not in ("level", "step")]
        level, step = (np.concatenate([each[name] for each in self.boards]) for name in ("level", "step"))
        by_level = np.lexsort((step, level))
        tensors |= {name: np.concatenate([each[name] for each in self.boards])[by_level] for name in names}
        return index.iloc[order].drop(columns="env").reset_index(drop=True), tensors


def size_of(env: LevelVectorEnv) -> tuple[int, int]:
    """Returns height and width of the game's boards, which observations may show without their border."""
    return env.batch.board_size


def bytes_computed(policy: Policy, names: Sequence[str], dtype: str) -> int:
    """Returns the bytes of all tensors that ``names`` select in one pass of the policy on one board."""
    sizes: dict[str, int] = {}

    def measure(point: Point, value: Tensor) -> Tensor:
        sizes[point.name] = value[0].numel() * np.dtype(DTYPES[dtype]).itemsize
        return value

    _, points = read_names(policy, names)
    weight = next(policy.parameters())
    with tapping(policy, Taps(measure)), torch.no_grad():
        policy(torch.zeros(1, *policy.obs_shape, device=weight.device))
    return sum(sizes[point.name] for point in points)


def bytes_of(policy: Policy, env: LevelVectorEnv, names: Sequence[str], dtype: str) -> int:
    """Returns the bytes that one pass on one board takes in a recording, observation and board included."""
    batch = env.batch
    game_arrays = [batch.observation, *(getattr(batch, name) for name in batch.STATE)]
    return bytes_computed(policy, names, dtype) + sum(array[:1].nbytes for array in game_arrays)


def record(
    policy: Policy,
    env: LevelVectorEnv,
    names: Sequence[str],
    num_levels: int,
    folder: Path,
    about: Mapping[str, Any],
    thinking: Thinking | None = None,
    dtype: str = "float32",
    actions: Mapping[int, np.ndarray] | None = None,
    seed: int = 0,
) -> Iterator[int]:
    """Plays levels greedily and records what the policy computes. Batches that are on disk already are skipped, so
    that an interrupted recording can be resumed.

    Args:
        policy: in evaluation mode.
        env: without autoreset; ``env.num_envs`` levels are played at a time.
        names: of the tensors to record, see `drc_lab.interpretation.hooks`.
        num_levels: how many levels to play, from the first.
        folder: of the recording.
        about: everything else that the recording depends on; part of the digest that identifies it (`key_of`).
        thinking: extra passes, which are recorded too.
        dtype: float32 | float16.
        actions: int64 [T] by level, one for each step: played in place of the policy's own actions.
        seed: of the env.

    Yields:
        how many levels were finished since the last value.

    Raises:
        UserError: the folder holds another recording, or cannot be written to.
    """
    key = key_of(about, names, thinking, dtype, actions)
    check_folder(folder, key)
    with written(folder / ABOUT) as part:
        part.write_text(json.dumps({**about, "names": list(names), "dtype": dtype, "key": key}, indent=1, default=str))
    for levels in batches(num_levels, env.num_envs):
        path = folder / f"{levels.start:07}.safetensors"
        if not (path.exists() and path.with_suffix(".parquet").exists()):
            recorder = Recorder(policy, env, names, DTYPES[dtype])
            choose = None if actions is None else _given(recorder, actions)
            with tapping(policy, recorder.taps):
                evaluate(policy, env, thinking, seed=seed, watchers=[recorder], choose=choose, levels=levels)
            index, tensors = recorder.shard()
            with written(path) as part:
                part.write_bytes(save({name: np.ascontiguousarray(each) for name, each in tensors.items()}))
            with written(path.with_suffix(".parquet")) as part:
                index.to_parquet(part, index=False)
        yield len(levels)


def _given(recorder: Recorder, actions: Mapping[int, np.ndarray]) -> Any:
    def choose(logits: Tensor, envs: Tensor) -> Tensor:
        levels = recorder.level[envs.numpy()].tolist()
        return torch.tensor([int(actions[level][recorder.step]) for level in levels])

    return choose


def key_of(
    about: Mapping[str, Any],
    names: Sequence[str],
    thinking: Thinking | None = None,
    dtype: str = "float32",
    actions: Mapping[int, np.ndarray] | None = None,
) -> str:
    """Returns a digest of everything that a recording depends on; `record` explains the arguments."""
    given = {str(level): each.tolist() for level, each in (actions or {}).items()}
    facts = {**about, "names": list(names), "thinking": repr(thinking), "dtype": dtype, "actions": given}
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def check_folder(folder: Path, key: str) -> None:
    """Checks that a recording with this key can be started or resumed in the folder.

    Raises:
        UserError: the folder holds a recording with another key.
    """
    path = folder / ABOUT
    if not path.exists():
        return
    try:
        recorded_key = as_mapping(read_json(path), str(path)).get("key")
    except UserError:
        recorded_key = None
    if recorded_key != key:
        raise UserError(
            f"{folder}: holds a recording of other weights, levels or names; name another folder, or remove it"
        )
