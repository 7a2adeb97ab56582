"""What the arguments of losses, agents, callbacks and checkpoints may be, without torch and Lightning."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drc_lab.errors import ConfigError
from drc_lab.pictures import SUFFIXES, check_cell_size, check_video
from drc_lab.rules import all_at_least, at_least, one_of

LENGTHS = ("total_iters", "T_max", "T_0", "step_size", "milestones", "total_steps")  # torch's names, of schedules


@dataclass(frozen=True)
class LossSpec:
    """Coefficients of every `drc_lab.learning.losses.ActorCriticLoss`.

    Args:
        gamma: discount.
        lam: of the mix of n-step returns.
        vf_coef: weight of the value loss, the mean of plain squares.
        ent_coef: weight of the entropy bonus.
        logit_l2_coef: weight of the SUM of squared logits, the last step's included.
        normalize_advantages: whether advantages are brought to mean 0 and std 1.
    """

    gamma: float = 0.97
    lam: float = 0.95
    vf_coef: float = 0.25
    ent_coef: float = 0.01
    logit_l2_coef: float = 0.0
    normalize_advantages: bool = False

    def __post_init__(self) -> None:
        for key in ("gamma", "lam"):
            if not 0 <= getattr(self, key) <= 1:
                raise ConfigError(key, getattr(self, key), "0 to 1")
        for key in ("vf_coef", "ent_coef", "logit_l2_coef"):
            if getattr(self, key) < 0:
                raise ConfigError(key, getattr(self, key), "0 or more")


@dataclass(frozen=True)
class VTraceSpec(LossSpec):
    """And of V-trace.

    Args:
        clip_rho, clip_pg_rho: upper bounds of the ratios in value targets and in advantages.
    """

    clip_rho: float = 1.0
    clip_pg_rho: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("clip_rho", "clip_pg_rho"):
            if getattr(self, key) <= 0:
                raise ConfigError(key, getattr(self, key), "more than 0")


@dataclass(frozen=True)
class PPOSpec(LossSpec):
    """And of PPO.

    Args:
        clip_ratio: a ratio earns nothing beyond 1 - clip_ratio .. 1 + clip_ratio.
        clip_value: a value earns nothing for moving further than this from the one it had while acting; None is free.
        target_kl: the rest of a rollout's minibatches is left out once the mean KL divergence of one from the policy
            that acted is above 1.5 times this; None never.
    """

    normalize_advantages: bool = True
    clip_ratio: float = 0.2
    clip_value: float | None = 0.2
    target_kl: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("clip_ratio", "clip_value", "target_kl"):
            value = getattr(self, key)
            if value is not None and value <= 0:
                raise ConfigError(key, value, "more than 0" + ", or null" * (key != "clip_ratio"))


@dataclass(frozen=True)
class ImitationSpec(LossSpec):
    """And of learning from the exact solver.

    Args:
        max_positions: of a level all of whose positions are worked out at once.
        max_states: positions that the solver looks at for one board of a larger level; beyond, it has no verdict.
        threads: levels or boards solved at a time.
    """

    ent_coef: float = 0.0
    max_positions: int = 1_000_000
    max_states: int = 10_000
    threads: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.normalize_advantages:
            raise ConfigError("normalize_advantages", True, "false, as the policy learns from no advantages")
        all_at_least(self, 0, "max_positions")
        all_at_least(self, 1, "max_states", "threads")


@dataclass(frozen=True)
class AlgoSpec:
    """What stands in the ``algo`` group itself.

    Args:
        head_l2_coef: see `drc_lab.learning.agent.Agent`.
        log_every_rollouts: see `drc_lab.learning.metrics.TrainingMetrics`.
    """

    head_l2_coef: float = 0.0
    log_every_rollouts: int = 20

    def __post_init__(self) -> None:
        if self.head_l2_coef < 0:
            raise ConfigError("head_l2_coef", self.head_l2_coef, "0 or more")
        at_least("log_every_rollouts", [self.log_every_rollouts], 1)


def schedule_lengths(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Those arguments of a schedule that are lengths, in frames.

    Raises:
        ConfigError: a length below 1.
    """
    lengths = {name: arguments[name] for name in LENGTHS if name in arguments}
    for name, frames in lengths.items():
        if min(frames if isinstance(frames, list | tuple) else [frames], default=1) < 1:
            raise ConfigError(f"schedule.{name}", frames, "at least 1, in frames")
    return lengths


@dataclass(frozen=True)
class CheckpointSpec:
    """The ``checkpoints`` group of the config, checked.

    Args:
        keep_best: so many checkpoints that are best on held-out levels are kept.
        every_frames: between two writings of the last one, rounded to whole rollouts; None is as often as evaluations.
        every_minutes: of wall time, at most, between two writings of the last one; None is no limit.
    """

    keep_best: int
    every_frames: int | None
    every_minutes: float | None

    def __post_init__(self) -> None:
        if self.keep_best < 1:
            raise ConfigError("keep_best", self.keep_best, "at least 1")
        if self.every_frames is not None and self.every_frames < 1:
            raise ConfigError("every_frames", self.every_frames, "at least 1, or null")
        if self.every_minutes is not None and self.every_minutes <= 0:
            raise ConfigError("every_minutes", self.every_minutes, "more than 0, or null")


@dataclass(frozen=True)
class NothingSpec:
    """Of what takes no arguments."""


@dataclass(frozen=True)
class EarlyStopSpec:
    """Arguments of `drc_lab.learning.early_stop.EarlyStop`.

    Args:
        target: least value of the metric; None never ends a training.
        monitor: the metric; None is ``valid/solve_rate``, or ``valid/return`` where the env says no success.
    """

    target: float | None = None
    monitor: str | None = None


@dataclass(frozen=True)
class VideosSpec:
    """Arguments of `drc_lab.learning.videos.EpisodeVideos`.

    Args:
        levels: how many, one after the other in a video.
        every_frames: between two videos, rounded to whole rollouts; None makes one at the end only.
        cell_size: pixels of a cell.
        fps: frames a second.
        suffix: ".gif" or ".mp4".
    """

    levels: int = 4
    every_frames: int | None = None
    cell_size: int = 32
    fps: float = 4
    suffix: str = ".gif"

    def __post_init__(self) -> None:
        if self.levels < 1:
            raise ConfigError("levels", self.levels, "at least 1")
        if self.every_frames is not None and self.every_frames < 1:
            raise ConfigError("every_frames", self.every_frames, "at least 1, or null")
        one_of("suffix", self.suffix, SUFFIXES)
        check_cell_size(self.cell_size)
        check_video(Path(f"video{self.suffix}"), self.fps)
