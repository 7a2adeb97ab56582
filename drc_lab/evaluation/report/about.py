"""Where results come from, for the pages that show them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from drc_lab.evaluation.measures.failures import Failure


@dataclass(frozen=True)
class About:
    """What a report says beside its results.

    Args:
        confidence: of the intervals.
        facts: by name, as they are shown: the command, the checkpoint, the levels, the machine.
        failures: unsolved levels that are shown.
        num_failures: unsolved levels that there are.
        video: a GIF or MP4 of episodes; None without it.
        video_title, video_text: what it shows.
    """

    confidence: float
    facts: Mapping[str, str]
    failures: Sequence[Failure] = ()
    num_failures: int = 0
    video: Path | None = None
    video_title: str = "Side by side"
    video_text: str = (
        "The same levels on the same clock, a forward pass a tick of it: left without extra passes, right with them. "
        "While it thinks its board stands still, and what changes is what the policy makes of it."
    )
