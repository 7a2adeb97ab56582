"""Plays the same levels with one policy at several settings: kinds and amounts of thinking, and controls."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from drc_lab.envs.interface import BatchEnv
from drc_lab.evaluation.kinds.first_passes import BASELINE
from drc_lab.evaluation.kinds.kind import Setting
from drc_lab.evaluation.play.episodes import Episodes
from drc_lab.evaluation.play.evaluator import evaluate
from drc_lab.evaluation.play.thinking import Thinking
from drc_lab.evaluation.watchers.cycles import Cycles
from drc_lab.evaluation.watchers.watcher import Columns, Watcher
from drc_lab.models.policy import Policy

NewWatchers = Callable[[Setting], Sequence[Watcher]]  # makes the watchers of one evaluation at a setting


@dataclass(frozen=True)
class Played:
    """The result of a setting: its episodes, and the record columns of its watchers, by name."""

    setting: Setting
    episodes: Episodes
    columns: Columns


def play(
    policy: Policy,
    env: BatchEnv,
    settings: Sequence[Setting],
    levels: range | None = None,
    seed: int = 0,
    watchers: NewWatchers = lambda setting: (),
) -> Iterator[Played]:
    """Plays the same levels at each setting.

    Settings without extra thinking whose player and watchers are the same have the same result, and are played once.

    Args:
        policy, env, levels, seed: see `evaluate`.
        settings: ways to play.
        watchers: makes new watchers for a setting, in addition to `Cycles`, which always watches. For all settings
            that play as the baseline policy does, they are those of BASELINE.

    Yields:
        the result of each setting, in order.
    """

    def played(setting: Setting, thinking: Thinking, watching: Sequence[Watcher]) -> Played:
        control = setting.kind.control
        player, choose = (policy, None) if control is None else control.player(policy, env, seed)
        all_watchers = [Cycles(), *watching]
        episodes = evaluate(player, env, thinking, seed=seed, watchers=all_watchers, choose=choose, levels=levels)
        columns: Columns = {}
        for watcher in all_watchers:
            columns |= watcher.columns()
        return Played(setting, episodes, columns)

    without_thinking: dict[tuple[str, ...], Played] = {}  # by the player and the classes of its watchers

    def once(setting: Setting) -> Played:
        """The result of a setting without extra thinking."""
        player, watching = "" if setting.kind.control is None else setting.kind.control.label, watchers(setting)
        key = (player, *(type(watcher).__qualname__ for watcher in watching))
        if key not in without_thinking:
            without_thinking[key] = played(setting, Thinking(), watching)
        return without_thinking[key]

    for setting in settings:
        kind = setting.kind
        if setting.is_baseline:
            yield replace(once(BASELINE), setting=setting)
        elif kind.follows_baseline:
            yield played(setting, kind.thinking(setting.amount, once(BASELINE)), watchers(setting))
        elif (thinking := kind.thinking(setting.amount, None)) == Thinking():
            yield replace(once(setting), setting=setting)
        else:
            yield played(setting, thinking, watchers(setting))
