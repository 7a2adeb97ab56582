"""Checks of the arguments of losses, agents, callbacks and checkpoints, without importing torch or Lightning."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Gt

from drc_lab.arguments import Spec
from drc_lab.errors import ConfigError
from drc_lab.pictures import CellSize, Fps, VideoSuffix, check_video
from drc_lab.rules import INFINITE, NotNegative, NotNegativeReal, Positive, PositiveReal, Real, Share, Threads

LENGTHS = ("total_iters", "T_max", "T_0", "step_size", "milestones", "total_steps")  # arguments of torch's schedules


@dataclass(frozen=True)
class LossSpec(Spec):
    """Coefficients of every `drc_lab.learning.losses.ActorCriticLoss`.

    Args:
        gamma: discount factor.
        lam: lambda, which mixes n-step returns.
        vf_coef: weight of the value loss, the mean squared error (without a factor of 1/2).
        ent_coef: weight of the entropy bonus.
        logit_l2_coef: weight of the SUM of squared logits, including those of the bootstrap step.
        normalize_advantages: whether advantages are normalised to mean 0 and standard deviation 1.
    """

    gamma: Share = 0.97
    lam: Share = 0.95
    vf_coef: NotNegativeReal = 0.25
    ent_coef: NotNegativeReal = 0.01
    logit_l2_coef: NotNegativeReal = 0.0
    normalize_advantages: bool = False


Bound = Annotated[float, INFINITE, Gt(0)]


@dataclass(frozen=True)
class VTraceSpec(LossSpec):
    """Coefficients of `LossSpec` and those of V-trace.

    Args:
        clip_rho, clip_pg_rho: upper bounds of the importance ratios in value targets and in advantages; infinity for
            none.
    """

    clip_rho: Bound = 1.0
    clip_pg_rho: Bound = 1.0


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
    clip_ratio: PositiveReal = 0.2
    clip_value: PositiveReal | None = 0.2
    target_kl: PositiveReal | None = None


@dataclass(frozen=True)
class ImitationSpec(LossSpec):
    """Coefficients of `LossSpec` and settings for learning from the exact solver.

    Args:
        max_positions: levels with up to this many positions are solved completely in one go.
        max_states: for a board of a larger level, the solver gives no verdict after examining this many positions.
        threads: number of levels or boards solved in parallel.
    """

    ent_coef: NotNegativeReal = 0.0
    max_positions: NotNegative = 1_000_000
    max_states: Positive = 10_000
    threads: Threads = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.normalize_advantages:
            raise ConfigError("normalize_advantages", True, "false, as the policy learns from no advantages")


GROUPS_OF_ALGO = ("loss", "auxiliary", "optimizer", "schedule", "rollouts")


@dataclass(frozen=True)
class AlgoSpec(Spec):
    """The keys at the top level of the ``algo`` config group; `GROUPS_OF_ALGO` are beside them.

    Args:
        head_l2_coef: see `drc_lab.learning.agent.Agent`.
        max_grad_norm: longer gradients are shortened to this length; None leaves them.
        log_every_rollouts: see `drc_lab.learning.metrics.TrainingMetrics`.
    """

    head_l2_coef: NotNegativeReal = 0.0
    max_grad_norm: NotNegativeReal | None = None
    log_every_rollouts: Positive = 20


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
class CheckpointSpec(Spec):
    """The ``checkpoints`` config group.

    Args:
        keep_best: number of checkpoints that are kept because they are best on held-out levels.
        every_frames: frames between two writes of ``last.ckpt``, rounded to whole rollouts; None writes it as often as
            there are evaluations.
        every_minutes: most minutes of wall time between two writes of ``last.ckpt``; None is no limit.
    """

    keep_best: Positive = 3
    every_frames: Positive | None = None
    every_minutes: PositiveReal | None = 10


@dataclass(frozen=True)
class NothingSpec:
    """The spec of classes without arguments."""


@dataclass(frozen=True)
class EarlyStopSpec(Spec):
    """Arguments of `drc_lab.learning.early_stop.EarlyStop`.

    Args:
        target: the training ends once the metric is at least this; None never ends it.
        monitor: the metric; None is ``valid/solve_rate``, or ``valid/return`` where the env reports no success.
    """

    target: Real | None = None
    monitor: str | None = None


@dataclass(frozen=True)
class VideosSpec(Spec):
    """Arguments of `drc_lab.learning.videos.EpisodeVideos`.

    Args:
        levels: number of levels, shown one after the other in a video.
        every_frames: env frames between two videos, rounded to whole rollouts; None makes one at the end only.
        cell_size: width and height of a cell in pixels.
        fps: video frames per second.
        suffix: ".gif" or ".mp4".
    """

    levels: Positive = 4
    every_frames: Positive | None = None
    cell_size: CellSize = 32
    fps: Fps = 4
    suffix: VideoSuffix = ".gif"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_video(Path(f"video{self.suffix}"), self.fps)
