"""The arguments of other packages' envs, with the checks that do not need the env itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from drc_lab.arguments import Spec
from drc_lab.envs.specs.levels import NumLevels, Order, Split
from drc_lab.errors import ConfigError
from drc_lab.rules import NotNegative, Positive, PositiveReal, Real

Layout = Literal["auto", "hwc", "chw"]
Scale = Annotated[Literal["auto"] | PositiveReal, "auto, or a number above 0"]


@dataclass(frozen=True)
class GymSpec(Spec):
    """Arguments of `drc_lab.envs.external.GymVectorEnv`.

    Args:
        id: of a registered env, or ``package:id`` if the package has to be imported first.
        num_envs: B.
        kwargs: arguments for ``gymnasium.make``.
        max_steps: a step limit on top of the env's own.
        observation: key of the entry that is used of a Dict observation; None uses the only Box of rank 1 to 3.
        layout: of observations of rank 3: "hwc", "chw", or "auto" to infer it from their shape.
        scale: what observations are divided by, or "auto": 255 for images (they stay uint8), for grids the declared
            limit or else the largest value seen, 1 for vectors of floats.
        split, num_levels, level_seed, order: the seeds that episodes start from: an endless stream, or, if
            ``num_levels`` is given, a fixed set of them drawn from ``level_seed``, "shuffled" or "sequential".
        autoreset: whether a finished env starts its next episode at once.
        copy: whether returned observations are copies; if not, the next step overwrites them.
        render_mode: of every copy of the env.
        noop_action: the action that does nothing, counted from 0, if the env has one.
        solved_return: the lowest return of an episode that counts as solved if the env's info does not report success.
    """

    id: str
    num_envs: Positive = 1
    kwargs: Mapping[str, Any] | None = None
    max_steps: Annotated[Positive | None, "at least 1, or null for the env's own limit alone"] = None
    observation: str | None = None
    layout: Layout = "auto"
    scale: Scale = "auto"
    split: Split = "train"
    num_levels: NumLevels = None
    level_seed: NotNegative = 0
    order: Order = "shuffled"
    autoreset: bool = True
    copy: bool = True
    render_mode: str | None = None
    noop_action: NotNegative | None = None
    solved_return: Real | None = None

    @property
    def io(self) -> None:
        """None: only the env itself knows the shape of its observations and the number of its actions."""

    @classmethod
    def resized(cls, arguments: dict[str, Any], height: int, width: int) -> dict[str, Any]:
        """Always a ConfigError: no setting controls the size of another package's boards."""
        raise ConfigError("board", [height, width], f"null, as {arguments['id']} has a size of its own")

    @classmethod
    def held_out(
        cls, arguments: dict[str, Any], split: str, num_levels: int, level_seed: NotNegative
    ) -> dict[str, Any]:
        """The arguments of an env that deals each held-out seed once, from those of the training env.

        Autoreset is off, because these envs are slow: one whose episode has ended is not stepped any more.
        """
        return arguments | {"split": split, "num_levels": num_levels, "level_seed": level_seed, "order": "sequential",
                            "copy": False, "autoreset": False}  # fmt: skip
