"""Plays the same levels with one policy at several settings: kinds and amounts of thinking, and controls."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from drc_lab.envs.interface import BatchEnv
from drc_lab.evaluation.kinds.first_passes import BASELINE
from drc_lab.evaluation.kinds.kind import Setting
from drc_lab.evaluation.play.episodes import Episodes
from drc_lab.evaluation.play.evaluator import evaluate
from drc_lab.evaluation.play.thinking import Thinking
from drc_lab.evaluation.watchers.cycles import Cycles
from drc_lab.evaluation.watchers.watcher import Watcher
from drc_lab.models.policy import Policy

NewWatchers = Callable[[Setting], Sequence[Watcher]]  # makes the watchers of one evaluation at a setting


@dataclass(frozen=True)
class Played:
    """The result of a setting: its episodes, and the record columns of its watchers, arrays [N] by column name."""

    setting: Setting
    episodes: Episodes
    columns: dict[str, np.ndarray]


def play(
    policy: Policy,
    env: BatchEnv,
    settings: Sequence[Setting],
    levels: range | None = None,
    seed: int = 0,
    watchers: NewWatchers = lambda setting: (),
) -> Iterator[Played]:
    """Plays the same levels at each setting.

    The baseline policy is played once for all settings that play as it does, and so is each control without extra
    thinking: their results are the same.

    Args:
        policy, env, levels, seed: see `evaluate`.
        settings: ways to play.
        watchers: makes new watchers for a setting, in addition to `Cycles`, which always watches. For all settings
            that play as the baseline policy does, they are those of BASELINE.

    Yields:
        the result of each setting, in order.
    """

    def played(setting: Setting, thinking: Thinking) -> Played:
        control = setting.kind.control
        player, choose = (policy, None) if control is None else control.player(policy, env, seed)
        all_watchers = [Cycles(), *watchers(setting)]
        episodes = evaluate(player, env, thinking, seed=seed, watchers=all_watchers, choose=choose, levels=levels)
        columns: dict[str, np.ndarray] = {}
        for watcher in all_watchers:
            columns |= watcher.columns()
        return Played(setting, episodes, columns)

    without_thinking: dict[str, Played] = {}  # results without extra thinking, by the name of the player

    def once(player: str, setting: Setting) -> Played:
        if player not in without_thinking:
            without_thinking[player] = played(setting, Thinking())
        return without_thinking[player]

    def baseline() -> Played:
        return once("", BASELINE)

    for setting in settings:
        kind = setting.kind
        if setting.is_baseline:
            yield replace(baseline(), setting=setting)
            continue
        thinking = kind.thinking(setting.amount, baseline() if kind.follows_baseline else None)
        if kind.control is not None and not kind.follows_baseline and thinking == Thinking():
            yield replace(once(kind.control.label, setting), setting=setting)
        else:
            yield played(setting, thinking)
