"""Python functions that play held-out levels with a policy."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from drc_lab.api.loading import command_config, evaluation_config
from drc_lab.app.fits import check_fits
from drc_lab.app.settings import Settings
from drc_lab.envs.interface import BatchEnv
from drc_lab.errors import ConfigError
from drc_lab.evaluation.kinds.controls import Control, Sampled
from drc_lab.evaluation.kinds.kind import Kind, Setting
from drc_lab.evaluation.means import metrics
from drc_lab.evaluation.measures.shipped import measures_of
from drc_lab.evaluation.measures.table import frame_of, table
from drc_lab.evaluation.play.played import Played
from drc_lab.evaluation.play.sweep import sweep
from drc_lab.evaluation.play.thinking import Thinking
from drc_lab.hydra_errors import hydra_in_one_line
from drc_lab.models.policy import Policy, num_actions
from drc_lab.paths import CONF
from drc_lab.progress import working
from drc_lab.rules import at_least
from drc_lab.studies.levels import count_levels, report_env
from drc_lab.tracking.datasets import fixed_levels


@dataclass(frozen=True)
class Evaluation:
    """The results of playing levels.

    Args:
        levels: a record for each level, see `drc_lab.evaluation.play.records`.
        metrics: means over levels by name: ``return``, ``length`` and, where known, ``solve_rate``, ``optimality_gap``
            and ``thinks``; each has the ends of its confidence interval as ``NAME_low`` and ``NAME_high``.
    """

    levels: pd.DataFrame
    metrics: dict[str, float]

    @property
    def solve_rate(self) -> float:
        """The share of solved levels; nan if the env reports no success."""
        return self.metrics.get("solve_rate", float("nan"))

    def __str__(self) -> str:
        means = {name: x for name, x in self.metrics.items() if f"{name}_low" in self.metrics}
        shown = (
            f"{name} {x:.4g} [{self.metrics[f'{name}_low']:.4g}, {self.metrics[f'{name}_high']:.4g}]"
            for name, x in means.items()
        )
        return f"{len(self.levels):,} levels: {', '.join(shown)}"


def evaluate(
    policy: Policy,
    env: BatchEnv | None = None,
    *,
    num_levels: int | None = None,
    thinking: Thinking | None = None,
    greedy: bool = True,
    split: str | None = None,
    seed: int = 0,
    confidence: float = 0.95,
) -> Evaluation:
    """Plays each level once, like task=evaluate.

    Args:
        policy: the policy; it must be a loaded one if there is no ``env``.
        env: the batch env, which plays as many levels in parallel as it has envs. It should have a split: with endless
            levels, the levels depend on the seed. None is the env that the policy was trained in, with a no-op if the
            game can have one.
        num_levels: number of levels; None is as many as the env has, or as the policy's training evaluates.
        thinking: extra thinking, beyond what the policy was trained with; None is none.
        greedy: whether the policy takes the most probable action; else actions are sampled from its probabilities.
        split: the split that is played if there is no ``env``; None is the one that tasks report on, "test".
        seed: seed of sampled actions.
        confidence: confidence level of the intervals.

    Raises:
        ConfigError: the policy cannot play in this env or with this thinking, or the env has fewer levels.
    """
    thinking = Thinking() if thinking is None else thinking
    _check(thinking)
    env, num_levels = _levels(policy, env, num_levels, split)
    if thinking.noops and env.noop_action is None:
        raise ConfigError("thinking.noops", thinking.noops, "0, as the env has no action that does nothing (noop=True)")
    records = _played(policy, env, [Setting(_Given(given=thinking, greedy=greedy))], num_levels, seed)
    records["baseline"] = True  # others would be compared with it
    return Evaluation(records, metrics(records, confidence))


@dataclass(frozen=True)
class _Given(Kind):
    """The one way to play of `evaluate`."""

    given: Thinking = field(default_factory=Thinking, kw_only=True)
    greedy: bool = field(default=True, kw_only=True)

    @property
    def label(self) -> str:
        return "greedy" if self.greedy else Sampled().label

    @property
    def control(self) -> Control | None:
        return None if self.greedy else Sampled()

    def thinking(self, amount: float, baseline: Played | None = None) -> Thinking:
        return self.given


def thinking_sweep(
    policy: Policy,
    env: BatchEnv | None = None,
    *,
    num_levels: int | None = None,
    first_passes: Sequence[int] = (),
    noops: Sequence[int] = (),
    repeats: Sequence[int] = (),
    passes_at: Sequence[int] = (),
    passes_at_step: int = 3,
    cycle_passes: Sequence[float] = (),
    cycle_noops: Sequence[float] = (),
    adaptive: Sequence[float] = (),
    adaptive_max_ticks: int = 48,
    adaptive_every_step: bool = False,
    controls: Sequence[str] = (),
    kinds: Sequence[Kind] = (),
    split: str | None = None,
    seed: int = 0,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Plays the same levels with several amounts of thinking, like task=thinking.

    docs/thinking.md explains the kinds of thinking. Only those for which amounts are given are played, and always the
    baseline policy.

    Args:
        policy, env, num_levels, split: see `evaluate`.
        first_passes: numbers of extra passes on the first observation.
        noops: numbers of no-ops at the start of each episode.
        repeats: numbers of ticks at every step.
        passes_at, passes_at_step: numbers of extra passes before step ``passes_at_step``.
        cycle_passes, cycle_noops: extra passes or no-ops at the start of a level's first cycle, in multiples of the
            cycle's length.
        adaptive, adaptive_max_ticks, adaptive_every_step: single ticks until two successive ones agree within this many
            nats (``adaptive``), up to a maximum; before the first step alone, or before every step.
        controls: any of random, sampled, no_memory, distance and never_thinks.
        kinds: further kinds of thinking and controls, see docs/extending.md.
        seed: seed of everything that is sampled.
        confidence: confidence level of the intervals.

    Returns:
        the content of thinking.csv: for each setting a row for all levels (``optimal`` is "all") and one for the levels
        of each optimal length. The columns are the fields of `drc_lab.evaluation.measures.table.Row`.

    Raises:
        ConfigError: a setting is invalid, or not possible in this env.
    """
    given: dict[str, Any] = {
        "first_passes": first_passes, "noops": noops, "repeats": repeats, "passes_at": passes_at,
        "cycle_passes": cycle_passes, "cycle_noops": cycle_noops, "adaptive": adaptive, "controls": controls,
    }  # fmt: skip
    config = command_config()
    with hydra_in_one_line((), [CONF]):
        config.thinking = OmegaConf.merge(
            config.thinking,
            {
                **{key: list(values) for key, values in given.items()},
                "passes_at_step": passes_at_step,
                "adaptive_max_ticks": adaptive_max_ticks,
                "adaptive_every_step": adaptive_every_step,
            },
        )
    spec = Settings(config).thinking
    spec = replace(spec, kinds=spec.kinds | {kind.name_in_config: kind for kind in kinds})
    env, num_levels = _levels(policy, env, num_levels, split)
    records = _played(policy, env, spec.settings(policy, env), num_levels, seed)
    return frame_of(table(records, confidence))


def _check(thinking: Thinking) -> None:
    """Checks that each setting is one number for all levels; only the evaluator accepts arrays with one per level."""
    least = {"first_passes": 0, "noops": 0, "passes": 0, "at": -1, "repeats": 1, "pass_ticks": 1, "drawn": 0}
    for name, smallest in least.items():
        if (value := getattr(thinking, name)) is not None:
            if not isinstance(value, int | float):
                raise ConfigError(f"thinking.{name}", value, "a number")
            at_least(f"thinking.{name}", [value], smallest)


def _levels(policy: Policy, env: BatchEnv | None, num_levels: int | None, split: str | None) -> tuple[BatchEnv, int]:
    """Checks or makes the env that the policy plays in; returns it with the number of levels to play."""
    if env is None:
        config = evaluation_config(policy)
        e = config.evaluation
        e.num_levels = e.num_levels if num_levels is None else num_levels
        e.report_split = e.report_split if split is None else split
        env = report_env(Settings(config), policy)
        return env, count_levels(env)
    if split is not None:
        raise ConfigError("split", split, "None with an env, which has levels of its own: make_env(..., split=...)")
    check_fits(policy, num_actions(policy), env, "env")
    fixed = fixed_levels(env)
    most = None if fixed is None else len(fixed)
    num_levels = count_levels(env) if num_levels is None else num_levels
    if num_levels < 1 or (most is not None and num_levels > most):
        raise ConfigError("num_levels", num_levels, "at least 1" if most is None else f"1 to {most}, which the env has")
    return env, num_levels


def _played(policy: Policy, env: BatchEnv, settings: Sequence[Setting], num_levels: int, seed: int) -> pd.DataFrame:
    """Plays all settings and returns the records. The exact solver judges nothing here, because it is slow."""
    measures = measures_of(Settings(command_config()).thinking, judged=False)
    with working(f"playing: {len(settings)} settings on {num_levels:,} levels", len(settings) * num_levels) as advance:
        return sweep(policy, env, settings, num_levels, seed, advance=advance, measures=measures)
