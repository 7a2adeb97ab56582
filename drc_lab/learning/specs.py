"""Checks of the arguments of losses, agents, callbacks and checkpoints, without importing torch or Lightning."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drc_lab.errors import ConfigError
from drc_lab.pictures import SUFFIXES, check_cell_size, check_video
from drc_lab.rules import all_at_least, at_least, one_of

LENGTHS = ("total_iters", "T_max", "T_0", "step_size", "milestones", "total_steps")  # arguments of torch's schedules


@dataclass(frozen=True)
class LossSpec:
    """Coefficients of every `drc_lab.learning.losses.ActorCriticLoss`.

    Args:
        gamma: discount factor.
        lam: lambda, which mixes n-step returns.
        vf_coef: weight of the value loss, the mean squared error (without a factor of 1/2).
        ent_coef: weight of the entropy bonus.
        logit_l2_coef: weight of the SUM of squared logits, including those of the bootstrap step.
        normalize_advantages: whether advantages are normalised to mean 0 and standard deviation 1.
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
    """Coefficients of `LossSpec` and those of V-trace.

    Args:
        clip_rho, clip_pg_rho: upper bounds of the importance ratios in value targets and in advantages.
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
    """Coefficients of `LossSpec` and those of PPO.

    Args:
        clip_ratio: a probability ratio gains nothing from leaving the range 1 - clip_ratio to 1 + clip_ratio.
        clip_value: a value gains nothing from moving further than this from the one estimated while acting; None does
            not clip.
        target_kl: the remaining minibatches of a rollout are skipped once a minibatch's mean KL divergence from the
            policy that acted exceeds 1.5 times this; None never skips any.
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
    """Coefficients of `LossSpec` and settings for learning from the exact solver.

    Args:
        max_positions: levels with up to this many positions are solved completely in one go.
        max_states: for a board of a larger level, the solver gives no verdict after examining this many positions.
        threads: number of levels or boards solved in parallel.
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
    """The keys at the top level of the ``algo`` config group.

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
    """The arguments of a schedule that are lengths, in frames.

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
    """The ``checkpoints`` config group.

    Args:
        keep_best: number of checkpoints that are kept because they are best on held-out levels.
        every_frames: frames between two writes of ``last.ckpt``, rounded to whole rollouts; None writes it as often as
            there are evaluations.
        every_minutes: most minutes of wall time between two writes of ``last.ckpt``; None is no limit.
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
    """The spec of classes without arguments."""


@dataclass(frozen=True)
class EarlyStopSpec:
    """Arguments of `drc_lab.learning.early_stop.EarlyStop`.

    Args:
        target: the training ends once the metric is at least this; None never ends it.
        monitor: the metric; None is ``valid/solve_rate``, or ``valid/return`` where the env reports no success.
    """

    target: float | None = None
    monitor: str | None = None


@dataclass(frozen=True)
class VideosSpec:
    """Arguments of `drc_lab.learning.videos.EpisodeVideos`.

    Args:
        levels: number of levels, shown one after the other in a video.
        every_frames: env frames between two videos, rounded to whole rollouts; None makes one at the end only.
        cell_size: width and height of a cell in pixels.
        fps: video frames per second.
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
