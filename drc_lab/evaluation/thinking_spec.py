"""The ``thinking`` group of the config, checked: the settings at which a policy is played."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from drc_lab.errors import ConfigError
from drc_lab.rules import at_least, one_of

if TYPE_CHECKING:
    from drc_lab.envs.interface import BatchEnv
    from drc_lab.evaluation.play.settings import Setting
    from drc_lab.models.policy import Policy

NO_MEMORY, DISTANCE, NEVER_THINKS = "no_memory", "distance", "never_thinks"
CONTROLS = ("random", "sampled", NO_MEMORY, DISTANCE, NEVER_THINKS)
NO_MEMORY_PASSES = "no_memory_passes"  # added to NO_MEMORY if there are extra first passes
NOOPS_BY_DEFAULT = (1, 2, 4, 8)
MOST_POWER = 0.999  # the number of levels needed grows without bound towards 1


@dataclass(frozen=True)
class ThinkingSpec:
    """Settings of a thinking sweep; conf/thinking/default.yaml explains each key."""

    first_passes: list[int]
    noops: list[int] | None
    repeats: list[int] | None
    passes_at: list[int]
    passes_at_step: int
    cycle_passes: list[float]
    cycle_noops: list[float]
    adaptive: list[float]
    adaptive_max_ticks: int
    adaptive_every_step: bool
    controls: list[str] | None
    levels_at_once: int
    solver_levels: int
    solver_max_states: int
    trace_ticks: int
    power: float
    run: str | None
    worlds: dict[str, dict[str, Any]]

    def __post_init__(self) -> None:
        at_least("first_passes", self.first_passes, 0)
        at_least("noops", self.noops or [], 0)
        at_least("repeats", self.repeats or [], 1)
        at_least("passes_at", self.passes_at, 1)
        at_least("passes_at_step", [self.passes_at_step], 0)
        at_least("cycle_passes", self.cycle_passes, 0)
        at_least("cycle_noops", self.cycle_noops, 0)
        at_least("adaptive", self.adaptive, 0)
        at_least("adaptive_max_ticks", [self.adaptive_max_ticks], 1)
        at_least("levels_at_once", [self.levels_at_once], 1)
        at_least("solver_levels", [self.solver_levels], 0)
        at_least("solver_max_states", [self.solver_max_states], 1)
        at_least("trace_ticks", [self.trace_ticks], 0)
        if not 0 < self.power <= MOST_POWER:
            raise ConfigError("power", self.power, f"above 0, up to {MOST_POWER}")
        for name in self.controls or []:
            one_of("controls", name, CONTROLS)

    def check_possible(self, can_wait: bool, is_game: bool, can_think: bool) -> None:
        """Checks that an env supports these settings.

        Args:
            can_wait: whether it has a no-op.
            is_game: whether it is one of the project's games, in which a player can try each action one step ahead.
            can_think: whether it has the action "think".

        Raises:
            ConfigError: there are no-ops but the env has none, or a control cannot play the env.
        """
        if self.noops and not can_wait:
            raise ConfigError("thinking.noops", self.noops, "null or [], as the env has no action that does nothing")
        for name in self.controls or []:
            if name not in (others := able(is_game, can_think)):
                why = "has no action that thinks" if name == NEVER_THINKS else "cannot be tried out a step ahead"
                allowed = f"{' | '.join(others)}, as the env {why}"
                raise ConfigError("thinking.controls", name, allowed)

    def settings(self, policy: "Policy", env: "BatchEnv") -> "list[Setting]":
        """The settings for a policy in an env; the baseline policy comes first.

        Raises:
            ConfigError: see `check_possible`.
        """
        from drc_lab.envs.vector import game_of  # this import and the next take seconds
        from drc_lab.evaluation.play import settings as kinds

        own, can_wait = policy.repeats_per_step, env.noop_action is not None
        self.check_possible(can_wait, game_of(env) is not None, env.think_action is not None)
        noops = self.noops if self.noops is not None else NOOPS_BY_DEFAULT
        repeats = self.repeats if self.repeats is not None else range(1, 4 * own + 1)
        controls, most = self.control_settings(env), max([0, *self.first_passes])
        return [
            *kinds.first_passes(sorted({0, *self.first_passes})),
            *(kinds.noops(sorted({0, *noops})) if can_wait and noops else []),
            *kinds.repeats(sorted(set(repeats)), own),
            *kinds.passes_at(self.passes_at_step, sorted(set(self.passes_at))),
            *kinds.in_cycles(kinds.CYCLE_PASSES, sorted(set(self.cycle_passes))),
            *(kinds.in_cycles(kinds.CYCLE_NOOPS, sorted(set(self.cycle_noops))) if can_wait else []),
            *kinds.adaptive(
                sorted(set(self.adaptive), reverse=True), self.adaptive_max_ticks, self.adaptive_every_step
            ),
            *(kinds.at_equal_compute(sorted({0, *self.first_passes})) if env.think_action is not None else []),
            *controls,
            *(kinds.without_memory(most) if most and NO_MEMORY in [each.kind for each in controls] else []),
        ]

    def control_settings(self, env: "BatchEnv") -> "list[Setting]":
        """The settings of the controls.

        Raises:
            ConfigError: a control cannot play the env.
        """
        from drc_lab.envs.vector import game_of
        from drc_lab.evaluation.play import controls
        from drc_lab.evaluation.play.settings import Setting

        known, can_think = game_of(env) is not None, env.think_action is not None
        self.check_possible(True, known, can_think)
        names = able(known, can_think) if self.controls is None else self.controls
        return [Setting(name, 0, control=controls.CONTROLS[name]) for name in names]


def able(is_game: bool, can_think: bool) -> list[str]:
    """The controls that can play an env; see `ThinkingSpec.check_possible`."""
    left_out = {DISTANCE: not is_game, NEVER_THINKS: not can_think}
    return [name for name in CONTROLS if not left_out.get(name)]
