"""Recordings of what a policy computes while it plays: tensors on disk as safetensors, with a Parquet index.

A recording is a folder. Each batch of levels has a file ``NUMBER.safetensors`` with one row for each pass of the
policy, and a file ``NUMBER.parquet`` with the same rows, which describes them:

- ``level``, ``step`` (of the episode), ``thought`` (0, 1, ... for extra passes before the step; -1 for the deciding
  pass, which chooses the action), ``action`` and ``waits`` (of the deciding pass; -1 and false for extra passes);
- ``solved``, ``length``, ``optimal`` of the level's episode, the same in all its rows.

Tensors are named as in `drc_lab.interpretation.hooks`: ``0.1.h`` is [rows, C, H, W]. ``obs`` holds the observations.
``boards.NAME`` (the game's own arrays) and ``returns`` have T + 1 entries for each level instead: one before each of
its T steps and one at its end.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.numpy import load_file, save_file
from torch import Tensor

from drc_lab.envs.vector import LevelVectorEnv
from drc_lab.errors import ConfigError, UserError
from drc_lab.evaluation.play.evaluator import Thinking, evaluate
from drc_lab.evaluation.play.sweep import batches
from drc_lab.evaluation.watchers.watcher import Watcher
from drc_lab.files import written
from drc_lab.interpretation.episodes import Episode
from drc_lab.interpretation.hooks import read_names, tapping
from drc_lab.interpretation.spec import RECORDED_AS
from drc_lab.models.policy import Policy, PolicyValue
from drc_lab.models.taps import Point, Taps

DECIDES = -1  # value of `thought` in the rows of deciding passes
ABOUT = "recording.json"
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
        self.taps = Taps(self._keep, frozenset(point.what for point in self.points))

    def _keep(self, point: Point, value: Tensor) -> Tensor:
        if any(each.means(point) for each in self.wanted):
            self.now[point.name] = value.detach().cpu().numpy().astype(self.dtype)
        return value

    def seen(self, envs: np.ndarray, obs: np.ndarray, info: dict[str, Any]) -> None:
        self.step += 1
        if self.step == 0:
            self.level, self.optimal = info["level"].copy(), info["optimal"].copy()
            self.solved, self.length = np.zeros(len(obs), bool), np.zeros(len(obs), np.int64)
            self.thoughts = np.zeros(len(obs), np.int64)
        self.obs = obs.copy()
        self.solved[envs], self.length[envs] = info["solved"][envs], info["length"][envs]
        batch = self.env.batch
        self.boards.append({
            "level": self.level[envs], "step": np.full(len(envs), self.step), "returns": info["return"][envs].copy(),
            **{f"boards.{name}": getattr(batch, name)[envs].copy() for name in batch.STATE},
        })  # fmt: skip
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


@dataclass(frozen=True)
class Recording:
    """What was recorded of a policy's episodes.

    Args:
        index: one row for each pass of the policy, with the columns that the module docstring lists.
        tensors: by name.
        about: where the recording comes from: ``game``, ``height``, ``width``, ``weights`` (a digest), ``names`` and
            more.
    """

    index: pd.DataFrame
    tensors: Mapping[str, np.ndarray]
    about: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> "Recording":
        """Reads a complete recording from its folder.

        Raises:
            UserError: the folder has no recording, or it cannot be read.
        """
        try:
            about = json.loads((folder / ABOUT).read_text())
            parts = sorted(folder.glob("*.parquet"))
            index = pd.concat([pd.read_parquet(part) for part in parts], ignore_index=True)
            shards = [load_file(part.with_suffix(".safetensors")) for part in parts]
        except Exception as error:  # which exception a damaged file raises depends on the library and the damage
            raise UserError(f"{folder}: found no whole recording of drc_lab ({type(error).__name__})") from error
        return cls(index, {name: np.concatenate([shard[name] for shard in shards]) for name in shards[0]}, about)

    def tensor(self, name: str) -> np.ndarray:
        """Returns a recorded tensor as float32 [rows, ...].

        Raises:
            ConfigError: no tensor of that name was recorded.
        """
        if name not in self.tensors:
            raise ConfigError("names", name, " | ".join(self.names))
        return np.asarray(self.tensors[name], np.float32)

    @property
    def board(self) -> tuple[int, int]:
        """Height and width of the policy's observations."""
        return self.tensors["obs"].shape[2], self.tensors["obs"].shape[3]

    @property
    def names(self) -> list[str]:
        """Names of the recorded tensors that the policy computed: all but observations, returns and boards."""
        own = [name for name in self.tensors if name not in ("obs", "returns") and not name.startswith("boards.")]
        return sorted(own, key=_place)

    @cached_property
    def deciding(self) -> np.ndarray:
        """bool [rows]: which rows are deciding passes, each followed by a step."""
        return (self.index["thought"] == DECIDES).to_numpy()

    @cached_property
    def episodes(self) -> list[Episode]:
        """The recorded episodes, sorted by level like the rows."""
        found, at = [], 0
        boards = {
            name.removeprefix("boards."): each for name, each in self.tensors.items() if name.startswith("boards.")
        }
        steps = self.index[self.deciding]
        for level, rows in steps.groupby("level", sort=True):
            place = slice(at, at + len(rows) + 1)
            found.append(Episode(
                int(str(level)), {name: each[place] for name, each in boards.items()}, rows["action"].to_numpy(),
                rows["waits"].to_numpy(), self.tensors["returns"][place], bool(rows["solved"].iloc[0]),
                int(self.about["height"]), int(self.about["width"]),
            ))  # fmt: skip
            at = place.stop
        return found


def _place(name: str) -> tuple[int, int, str]:
    """Sort key of a name: names outside the ticks come first, the others by tick, then layer."""
    layer, tick, what = name.split(".") if name.count(".") == 2 else ("-1", "-1", name)
    return int(tick), int(layer), what


def size_of(env: LevelVectorEnv) -> tuple[int, int]:
    """Returns height and width of the game's boards, which observations may show without their border."""
    width = env.batch.width  # type: ignore[attr-defined]
    cells = next(each.shape[1] for name, each in vars(env.batch).items() if name in ("tiles", "walls"))
    return cells // width, width


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
    own = [batch.observation, *(getattr(batch, name) for name in batch.STATE)]
    return bytes_computed(policy, names, dtype) + sum(array[:1].nbytes for array in own)


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
            choose = None if actions is None else _as_told(recorder, actions)
            with tapping(policy, recorder.taps):
                evaluate(policy, env, thinking, seed=seed, watchers=[recorder], choose=choose, levels=levels)
            index, tensors = recorder.shard()
            with written(path) as part:
                save_file({name: np.ascontiguousarray(each) for name, each in tensors.items()}, part)
            with written(path.with_suffix(".parquet")) as part:
                index.to_parquet(part, index=False)
        yield len(levels)


def _as_told(recorder: Recorder, actions: Mapping[int, np.ndarray]) -> Any:
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
    told = {str(level): each.tolist() for level, each in (actions or {}).items()}
    facts = {**about, "names": list(names), "thinking": repr(thinking), "dtype": dtype, "actions": told}
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
        found = json.loads(path.read_text()).get("key")
    except (OSError, ValueError):
        found = None
    if found != key:
        raise UserError(
            f"{folder}: holds a recording of other weights, levels or names; name another folder, or remove it"
        )
