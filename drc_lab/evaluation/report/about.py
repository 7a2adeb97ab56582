"""What a report page shows besides its results, such as where they come from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from drc_lab.evaluation.measures.failures import Failure


@dataclass(frozen=True)
class About:
    """What a report shows besides its results.

    Args:
        confidence: of the intervals.
        facts: by name, as shown: the command, the checkpoint, the levels, the machine.
        failures: the unsolved levels to show.
        num_failures: total number of unsolved levels.
        video: a GIF or MP4 of episodes; None for no video.
        video_title, video_text: its heading and description.
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
