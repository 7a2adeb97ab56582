"""What a measure is: it may watch while levels are played, and makes findings from what came of it. Light to import."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import pandas as pd

    from drc_lab.envs.interface import BatchEnv
    from drc_lab.evaluation.kinds.kind import Setting
    from drc_lab.evaluation.measures.finding import Finding
    from drc_lab.evaluation.watchers.watcher import Watcher


@dataclass(frozen=True)
class Measure:
    """A question that records answer. A subclass is a frozen dataclass, whose fields are its settings in the config.

    Args:
        name: in the config.
    """

    name: str = field(default="", kw_only=True)

    of_returns: ClassVar[bool] = False
    """Whether it has an answer where the env does not report success, so that there are only returns."""

    def watchers(self, setting: "Setting", env: "BatchEnv") -> "Sequence[Watcher]":
        """New watchers for an evaluation at a setting, whose columns `findings` needs in the records.

        Which watchers these are must follow from the fields, the setting and the env alone.
        """
        return ()

    def findings(self, records: "pd.DataFrame", confidence: float) -> "Sequence[Finding]":
        """What the records of one policy say, see `drc_lab.evaluation.play.records`; () if nothing.

        ``confidence`` is that of all intervals.
        """
        return ()
