"""The thinking sweep: one policy, the same levels, several kinds and amounts of thinking."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from drc_lab.envs.interface import BatchEnv
from drc_lab.evaluation.play.controls import CONTROLS, Control, never_thinks_control, no_memory_control
from drc_lab.evaluation.play.evaluator import Episodes, Thinking, evaluate
from drc_lab.evaluation.thinking_spec import NO_MEMORY_PASSES
from drc_lab.evaluation.watchers.cycles import NONE, Cycles, in_its_place
from drc_lab.evaluation.watchers.watcher import Watcher
from drc_lab.models.policy import Policy

FIRST_PASSES, NOOPS, REPEATS = "first_passes", "noops", "repeats"
PASSES_AT, CYCLE_PASSES, CYCLE_NOOPS, ADAPTIVE = "passes_at", "cycle_passes", "cycle_noops", "adaptive"
FIXED, DRAWN = "fixed_passes", "drawn_passes"
NOT_MORE = (*CONTROLS, FIXED, DRAWN)  # kinds that are no more thinking than the policy's own, but compared with it


@dataclass(frozen=True)
class Setting:
    """One way to play.

    Args:
        kind: "first_passes" (extra passes on the frozen first observation), "noops" (steps at the start in which the
            env is told to do nothing), "repeats" (ticks at every step), "passes_at_STEP" (extra passes before that
            step), "cycle_passes" and "cycle_noops" (at the start of each level's first cycle, as long as it, times
            ``amount``), "adaptive" (until successive ticks agree, ``amount`` in nats), or the name of a control. Of a
            policy that can choose to think, and may not: "fixed_passes" (as first_passes) and "drawn_passes" (before
            each step a random number, ``amount`` times as many in the mean as the thinks of the baseline policy).
        amount: how much of it.
        thinking: what that is for the evaluator; what depends on how the baseline policy plays is added by `play`.
        control: in place of the policy, if it is not the policy that plays.
        is_baseline: whether this is the policy's own amount.
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
        """Whether that is the baseline policy."""
        return self.control is None and self.thinking == Thinking() and not self.follows_plain

    @property
    def at_cycles(self) -> bool:
        """Whether it depends on where the baseline policy runs in a cycle."""
        return self.kind in (CYCLE_PASSES, CYCLE_NOOPS)

    @property
    def follows_plain(self) -> bool:
        """Whether it depends on how the baseline policy plays."""
        return self.at_cycles or self.kind == DRAWN


@dataclass(frozen=True)
class Played:
    """What came of a setting: the episodes, and what its watchers add to the records, arrays [N] by column."""

    setting: Setting
    episodes: Episodes
    columns: dict[str, np.ndarray]


PLAIN = Setting(FIRST_PASSES, 0, is_baseline=True)


def first_passes(amounts: Sequence[int]) -> list[Setting]:
    return [Setting(FIRST_PASSES, n, Thinking(first_passes=n), is_baseline=n == 0) for n in amounts]


def noops(amounts: Sequence[int]) -> list[Setting]:
    return [Setting(NOOPS, n, Thinking(noops=n), is_baseline=n == 0) for n in amounts]


def repeats(amounts: Sequence[int], own: int) -> list[Setting]:
    """Ticks at every step; ``own`` is the policy's number of them."""
    return [Setting(REPEATS, n, Thinking(repeats=None if n == own else n), is_baseline=n == own) for n in amounts]


def passes_at(step: int, amounts: Sequence[int]) -> list[Setting]:
    return [Setting(f"{PASSES_AT}_{step}", n, Thinking(passes=n, at=step)) for n in amounts]


def in_cycles(kind: str, multiples: Sequence[float]) -> list[Setting]:
    """At the start of each level's first cycle; multiples of its length."""
    return [Setting(kind, n) for n in multiples]


def adaptive(thresholds: Sequence[float], most: int, every_step: bool = False) -> list[Setting]:
    """Single ticks until two that follow each other agree within a threshold in nats, ``most`` of them."""
    return [
        Setting(ADAPTIVE, x, Thinking(passes=most, pass_ticks=1, agree=x, every_step=every_step)) for x in thresholds
    ]


def without_memory(amount: int) -> list[Setting]:
    """First passes of a policy that carries nothing on: exactly as without any, or the measurement is wrong."""
    return [Setting(NO_MEMORY_PASSES, amount, Thinking(first_passes=amount), no_memory_control)]


def at_equal_compute(amounts: Sequence[int]) -> list[Setting]:
    """What thinking at will is compared with: the same policy, told how much to think."""
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
    """Plays the same levels at each setting; settings that come to the same without extra thinking are played once.

    Args:
        levels, seed: see `evaluate`.
        watchers: new ones for a setting; `Cycles` is always there.
    """
    made: dict[Control | None, Played] = {}  # by each player, without extra thinking

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
    """Thinking before the step that each level's first cycle begins with, ``amount`` times as long as it.

    Args:
        setting: of kind "cycle_passes" or "cycle_noops".
        cycles: what `Cycles` found in the episodes of the baseline policy.
    """
    start, length = cycles["cycle_start"], cycles["cycle_length"]
    steps = np.where(start == NONE, 0, in_its_place(setting.amount, length))
    if setting.kind == CYCLE_PASSES:
        return Thinking(passes=steps, at=start)
    return Thinking(noops=steps, at=start)


def drawn_as_often(setting: Setting, plain: Episodes) -> Thinking:
    """Passes before each step, drawn so that their mean is ``amount`` times that of the policy's own thinks."""
    assert plain.thinks is not None and plain.moves is not None
    moves = max(len(plain.moves), plain.moves.sum())  # one for each level where it only thinks, or it would never end
    return Thinking(drawn=setting.amount * float(plain.thinks.sum() / moves))
