"""The thinking sweep: plays the same levels with one policy at several kinds and amounts of thinking."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from drc_lab.envs.interface import BatchEnv
from drc_lab.evaluation.play.controls import CONTROLS, Control, never_thinks_control, no_memory_control
from drc_lab.evaluation.play.episodes import Episodes
from drc_lab.evaluation.play.evaluator import evaluate
from drc_lab.evaluation.play.thinking import Thinking
from drc_lab.evaluation.thinking_spec import NO_MEMORY_PASSES
from drc_lab.evaluation.watchers.cycles import NONE, Cycles, steps_in_place_of_cycles
from drc_lab.evaluation.watchers.watcher import Watcher
from drc_lab.models.policy import Policy

FIRST_PASSES, NOOPS, REPEATS = "first_passes", "noops", "repeats"
PASSES_AT, CYCLE_PASSES, CYCLE_NOOPS, ADAPTIVE = "passes_at", "cycle_passes", "cycle_noops", "adaptive"
FIXED, DRAWN = "fixed_passes", "drawn_passes"
NOT_MORE = (*CONTROLS, FIXED, DRAWN)  # kinds that add no thinking to the policy's own: only comparisons


@dataclass(frozen=True)
class Setting:
    """One way to play.

    Args:
        kind: the kind of thinking, or the name of a control:

            - "first_passes": extra passes on the first observation, while the env stands still;
            - "noops": no-ops at the start;
            - "repeats": ticks at every step;
            - "passes_at_STEP": extra passes before that step;
            - "cycle_passes", "cycle_noops": passes or no-ops at the start of each level's first cycle, ``amount`` times
              as many as the cycle has steps;
            - "adaptive": extra passes of one tick until successive ticks agree within ``amount`` nats;
            - "fixed_passes": as "first_passes", for a policy whose own action "think" is forbidden;
            - "drawn_passes": a random number of passes before each step, for such a policy; in the mean ``amount``
              times as many per move as the baseline policy thinks.
        amount: how much of it, in the unit of the kind.
        thinking: the same for `evaluate`. Where it depends on how the baseline policy plays, `play` computes it.
        control: makes the player that replaces the policy; None for the policy itself.
        is_baseline: whether the amount is the policy's own, so that the setting plays as the baseline policy does.
    """

    kind: str
    amount: float
    thinking: Thinking = field(default_factory=Thinking)
    control: Control | None = None
    is_baseline: bool = False

    @property
    def name(self) -> str:
        return self.kind if self.kind in CONTROLS else f"{self.kind}={self.amount:g}"

    @property
    def is_plain(self) -> bool:
        """Whether this setting plays exactly as the baseline policy does."""
        return self.control is None and self.thinking == Thinking() and not self.follows_plain

    @property
    def at_cycles(self) -> bool:
        """Whether the thinking depends on where the baseline policy enters a cycle."""
        return self.kind in (CYCLE_PASSES, CYCLE_NOOPS)

    @property
    def follows_plain(self) -> bool:
        """Whether the thinking depends on how the baseline policy plays, which has to be played first."""
        return self.at_cycles or self.kind == DRAWN


@dataclass(frozen=True)
class Played:
    """The result of a setting: its episodes, and the record columns of its watchers, arrays [N] by column name."""

    setting: Setting
    episodes: Episodes
    columns: dict[str, np.ndarray]


PLAIN = Setting(FIRST_PASSES, 0, is_baseline=True)


def first_passes(amounts: Sequence[int]) -> list[Setting]:
    return [Setting(FIRST_PASSES, n, Thinking(first_passes=n), is_baseline=n == 0) for n in amounts]


def noops(amounts: Sequence[int]) -> list[Setting]:
    return [Setting(NOOPS, n, Thinking(noops=n), is_baseline=n == 0) for n in amounts]


def repeats(amounts: Sequence[int], own: int) -> list[Setting]:
    """Numbers of ticks at every step; ``own`` is the policy's own number."""
    return [Setting(REPEATS, n, Thinking(repeats=None if n == own else n), is_baseline=n == own) for n in amounts]


def passes_at(step: int, amounts: Sequence[int]) -> list[Setting]:
    return [Setting(f"{PASSES_AT}_{step}", n, Thinking(passes=n, at=step)) for n in amounts]


def in_cycles(kind: str, multiples: Sequence[float]) -> list[Setting]:
    """Thinking at the start of each level's first cycle, in multiples of the cycle's length."""
    return [Setting(kind, n) for n in multiples]


def adaptive(thresholds: Sequence[float], most: int, every_step: bool = False) -> list[Setting]:
    """Extra passes of one tick until two successive ones agree within a threshold in nats, at most ``most`` of them."""
    return [
        Setting(ADAPTIVE, x, Thinking(passes=most, pass_ticks=1, agree=x, every_step=every_step)) for x in thresholds
    ]


def without_memory(amount: int) -> list[Setting]:
    """A check of the measurement: without a carry, extra first passes must not change any result."""
    return [Setting(NO_MEMORY_PASSES, amount, Thinking(first_passes=amount), no_memory_control)]


def at_equal_compute(amounts: Sequence[int]) -> list[Setting]:
    """Comparisons for a policy that chooses when to think: the same policy with a given amount of thinking instead."""
    fixed = [Setting(FIXED, n, Thinking(first_passes=n), never_thinks_control) for n in amounts]
    return [*fixed, Setting(DRAWN, 1, control=never_thinks_control)]


def play(
    policy: Policy,
    env: BatchEnv,
    settings: Sequence[Setting],
    levels: range | None = None,
    seed: int = 0,
    watchers: Callable[[Setting], Sequence[Watcher]] = lambda setting: (),
) -> Iterator[Played]:
    """Plays the same levels at each setting.

    Settings without extra thinking differ in nothing but the player, so each player is played only once for them.

    Args:
        policy, env, levels, seed: see `evaluate`.
        settings: ways to play.
        watchers: makes new watchers for a setting, in addition to `Cycles`, which always watches.

    Yields:
        the result of each setting, in order.
    """
    made: dict[Control | None, Played] = {}  # results without extra thinking, by player

    def played(setting: Setting, thinking: Thinking) -> Played:
        player, choose = policy, None
        if setting.control is not None:
            player, choose = setting.control(policy, env, seed)
        all_watchers = [Cycles(), *watchers(setting)]
        episodes = evaluate(player, env, thinking, seed=seed, watchers=all_watchers, choose=choose, levels=levels)
        columns: dict[str, np.ndarray] = {}
        for watcher in all_watchers:
            columns |= watcher.columns()
        return Played(setting, episodes, columns)

    def once(setting: Setting) -> Played:
        if setting.control not in made:
            made[setting.control] = played(setting, setting.thinking)
        return made[setting.control]

    for setting in settings:
        if setting.at_cycles:
            yield played(setting, in_place_of_cycles(setting, once(PLAIN).columns))
        elif setting.kind == DRAWN:
            yield played(setting, drawn_as_often(setting, once(PLAIN).episodes))
        elif setting.thinking == Thinking():
            yield replace(once(PLAIN if setting.is_plain else setting), setting=setting)
        else:
            yield played(setting, setting.thinking)


def in_place_of_cycles(setting: Setting, cycles: Mapping[str, np.ndarray]) -> Thinking:
    """Thinking where each level's first cycle begins, ``amount`` times as many passes or no-ops as the cycle has steps.

    Args:
        setting: of kind "cycle_passes" or "cycle_noops".
        cycles: the columns of `Cycles` for the episodes of the baseline policy.
    """
    start, length = cycles["cycle_start"], cycles["cycle_length"]
    steps = np.where(start == NONE, 0, steps_in_place_of_cycles(setting.amount, length))
    if setting.kind == CYCLE_PASSES:
        return Thinking(passes=steps, at=start)
    return Thinking(noops=steps, at=start)


def drawn_as_often(setting: Setting, plain: Episodes) -> Thinking:
    """Random passes before each step, whose mean is ``amount`` times the baseline policy's thinks per move."""
    assert plain.thinks is not None and plain.moves is not None
    moves = max(len(plain.moves), plain.moves.sum())  # or passes would never end if it only thinks
    return Thinking(drawn=setting.amount * float(plain.thinks.sum() / moves))
