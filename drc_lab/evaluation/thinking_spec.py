"""The ``thinking`` group of the config, checked: the settings at which a policy is played. Light to import."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Gt, Le

from drc_lab.arguments import from_mapping
from drc_lab.building import build_each
from drc_lab.errors import ConfigError
from drc_lab.evaluation.kinds.controls import Control
from drc_lab.evaluation.kinds.first_passes import FirstPasses
from drc_lab.evaluation.kinds.kind import Kind, Setting
from drc_lab.evaluation.kinds.registry import kinds_of, register, shipped
from drc_lab.evaluation.measures.measure import Measure
from drc_lab.rules import NUMBER, NotNegative, Positive, one_of

if TYPE_CHECKING:
    from drc_lab.envs.interface import BatchEnv
    from drc_lab.models.policy import Policy

GROUP = "thinking"
MOST_POWER = 0.999  # the number of levels needed grows without bound towards 1


@dataclass(frozen=True)
class ThinkingSpec:
    """Settings of a thinking sweep; conf/thinking/default.yaml explains each key.

    Args:
        kinds: all kinds of thinking and controls, by name. In the config their keys lie beside the others, see
            `drc_lab.evaluation.kinds.registry`.
        measures: those from elsewhere, by name; None leaves out the one of this package that has the name.
    """

    kinds: dict[str, Kind]
    controls: list[str] | None
    levels_at_once: Positive
    solver_levels: NotNegative
    solver_max_states: Positive
    trace_ticks: NotNegative
    power: Annotated[float, NUMBER, Gt(0), Le(MOST_POWER), f"above 0, up to {MOST_POWER}"]
    run: str | None
    worlds: dict[str, dict[str, Any]]
    measures: dict[str, Measure | None]

    @classmethod
    def from_group(cls, group: Mapping[str, Any]) -> "ThinkingSpec":
        """Checks the config group.

        Raises:
            ConfigError: about a key of it.
        """
        values = dict(group)
        kinds = kinds_of(values, values.pop("kinds", {}), GROUP)
        measures = build_each(Measure, values.pop("measures", {}), f"{GROUP}.measures")
        return from_mapping(cls, values, GROUP, kinds=kinds, measures=measures)

    def __post_init__(self) -> None:
        for name in self.controls or []:
            one_of("controls", name, self._choices)

    @property
    def most_first_passes(self) -> int:
        """The largest number of extra first passes that is played."""
        passes = (kind.amounts for kind in self.kinds.values() if type(kind) is FirstPasses)
        return max((most for amounts in passes for most in amounts), default=0)

    @property
    def _choices(self) -> dict[str, Control]:
        """The controls that ``controls`` can name."""
        return {name: kind for name, kind in self.kinds.items() if isinstance(kind, Control) and not kind.beside}

    def _chosen(self, abilities: Collection[str]) -> list[str]:
        """The names of the controls that are played in an env with these abilities."""
        able = [name for name, control in self._choices.items() if not control.lacks(abilities)]
        return able if self.controls is None else self.controls

    def check_possible(self, abilities: Collection[str]) -> None:
        """Checks that an env supports these settings.

        Args:
            abilities: what it has, of `drc_lab.evaluation.kinds.kind.NEEDS`.

        Raises:
            ConfigError: a kind of thinking or a control cannot be played in the env.
        """
        for name, kind in self.kinds.items():
            try:
                kind.check_possible(abilities)
            except ConfigError as error:
                key = f"{GROUP}.{name}" if name in shipped() else f"{GROUP}.kinds.{name}.{error.key}"
                raise ConfigError(key, error.found, error.allowed) from None
        for name in self.controls or []:
            if why := self._choices[name].lacks(abilities):
                able = [other for other, control in self._choices.items() if not control.lacks(abilities)]
                raise ConfigError(f"{GROUP}.controls", name, f"{' | '.join(able)}, as the env {why}")

    def settings(self, policy: "Policy", env: "BatchEnv") -> list[Setting]:
        """All settings for a policy in an env: kinds of thinking, the baseline policy first, then controls.

        Raises:
            ConfigError: see `check_possible`.
        """
        abilities = abilities_of(env)
        self.check_possible(abilities)
        chosen = self._chosen(abilities)
        thinking = [kind for kind in self.kinds.values() if not kind.is_control]
        controls = [self.kinds[name] for name in chosen]
        beside = [kind for kind in self.kinds.values() if isinstance(kind, Control) and kind.beside in chosen]
        return _settings([*thinking, *controls, *beside], policy, abilities)

    def control_settings(self, policy: "Policy", env: "BatchEnv") -> list[Setting]:
        """The settings of the controls alone.

        Raises:
            ConfigError: a control cannot play the env.
        """
        abilities = abilities_of(env)
        self.check_possible({"noop", *abilities})
        return _settings([self.kinds[name] for name in self._chosen(abilities)], policy, abilities)


def _settings(kinds: Collection[Kind], policy: "Policy", abilities: Collection[str]) -> list[Setting]:
    for kind in kinds:
        register(kind)
    return [setting for kind in kinds for setting in kind.settings(policy, abilities)]


def abilities_of(env: "BatchEnv") -> set[str]:
    """What an env has of what kinds of thinking need, see `drc_lab.evaluation.kinds.kind.NEEDS`."""
    from drc_lab.envs.vector import game_of  # this import takes seconds

    game = game_of(env)
    has = {
        "noop": env.noop_action is not None,
        "think": env.think_action is not None,
        "estimate": game is not None and game.has_estimate,
    }
    return {name for name, there in has.items() if there}
