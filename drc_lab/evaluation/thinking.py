"""The thinking sweep: one policy, the same levels, several amounts of thinking."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from drc_lab.envs.interface import BatchEnv
from drc_lab.evaluation.evaluator import Episodes, Thinking, evaluate
from drc_lab.evaluation.intervals import Interval, paired_difference, rate_interval
from drc_lab.models.policy import Policy
from drc_lab.models.random import RandomPolicy

FIRST_PASSES, REPEATS, RANDOM = "first_passes", "repeats", "random"


@dataclass(frozen=True)
class Setting:
    """One amount of thinking and what came of it.

    kind: "first_passes" (extra passes on the frozen first observation), "repeats" (ticks at every step) or "random"
    (the random policy); amount: how many; is_baseline: whether that is the policy's own amount of this kind; episodes:
    one for each level, the same levels in every setting.
    """

    kind: str
    amount: int
    is_baseline: bool
    episodes: Episodes


def sweep(
    policy: Policy,
    env: BatchEnv,
    first_passes: Sequence[int],
    repeats: Sequence[int] = (),
    control: bool = False,
    seed: int = 0,
    watch: Callable[..., None] | None = None,
) -> Iterator[Setting]:
    """Evaluates greedily at each setting.

    Args:
        first_passes: amounts of extra first passes; 0 is the baseline.
        repeats: amounts of ticks at every step; the policy's own number is the baseline.
        control: whether the random policy comes last, under the same step limit.
        seed, watch: see `evaluate`.
    """
    for amount in first_passes:
        episodes = evaluate(policy, env, Thinking(first_passes=amount), seed=seed, watch=watch)
        yield Setting(FIRST_PASSES, amount, amount == 0, episodes)
    for amount in repeats:
        episodes = evaluate(policy, env, Thinking(repeats=amount), seed=seed, watch=watch)
        yield Setting(REPEATS, amount, amount == policy.repeats_per_step, episodes)
    if not control:
        return
    actions = int(env.single_action_space.n)
    random = RandomPolicy(env.single_observation_space.shape, actions)  # type: ignore[arg-type]
    yield Setting(RANDOM, 0, False, evaluate(random, env, greedy=False, seed=seed, watch=watch))


@dataclass(frozen=True)
class Row:
    """A line of thinking.csv: one setting on the levels of one optimal length ("all" for all of them).

    difference: solve rate minus that of the same kind's baseline on the same levels, with its paired interval.
    """

    kind: str
    amount: int
    optimal: str
    levels: int
    solve_rate: float
    low: float
    high: float
    difference: float
    difference_low: float
    difference_high: float
    mean_length: float
    mean_return: float


def table(settings: Sequence[Setting], confidence: float = 0.95, by_length: bool = True) -> list[Row]:
    """All settings, also by optimal length. The random policy is compared with no baseline (difference nan)."""
    baselines = {s.kind: s.episodes for s in settings if s.is_baseline}
    rows = []
    for setting in settings:
        episodes, baseline = setting.episodes, baselines.get(setting.kind)
        everything = {"all": np.ones(len(episodes.level), bool)}
        for name, chosen in (groups(episodes.optimal) if by_length else everything).items():
            solved = episodes.solved[chosen]
            interval, difference, gain = rate_interval(solved, confidence), Interval(np.nan, np.nan), np.nan
            if baseline is not None:
                difference = paired_difference(solved, baseline.solved[chosen], confidence)
                gain = float(solved.mean() - baseline.solved[chosen].mean())
            rows.append(Row(setting.kind, setting.amount, name, int(chosen.sum()), float(solved.mean()), *interval,
                            gain, *difference, float(episodes.length[chosen].mean()),
                            float(episodes.returns[chosen].mean())))  # fmt: skip
    return rows


def groups(optimal: np.ndarray, longest: int = 10) -> dict[str, np.ndarray]:
    """Levels by optimal length: "all", "1", "2", ..., then "10+"; only groups that have levels. Masks bool [N]."""
    masks = {"all": np.ones(len(optimal), bool)}
    masks |= {str(k): optimal == k for k in range(1, longest)}
    masks |= {f"{longest}+": optimal >= longest, "unknown": optimal < 0}
    return {name: mask for name, mask in masks.items() if mask.any()}
