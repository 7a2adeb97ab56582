"""The ``report`` group of the config, checked."""

from dataclasses import dataclass
from pathlib import Path

from drc_lab.arguments import Spec
from drc_lab.errors import ConfigError
from drc_lab.pictures import CellSize, check_video
from drc_lab.rules import NotNegative, Positive, PositiveReal


@dataclass(frozen=True)
class ReportSpec(Spec):
    """What the reports of evaluations show; conf/report/default.yaml explains each key."""

    failures: NotNegative
    video: str | None
    video_levels: list[NotNegative] | None
    video_passes: Positive | None
    fps: PositiveReal
    cell_size: CellSize

    def __post_init__(self) -> None:
        super().__post_init__()
        check_video(Path(self.video or "none.gif"), self.fps)
        if self.video and Path(self.video).name != self.video:
            raise ConfigError("video", self.video, "a name without folders")

    def check_levels(self, levels: int | None) -> None:
        """Checks that the levels of the video exist; ``levels`` is how many there are, None if that is not known.

        Raises:
            ConfigError: about ``report.video_levels``.
        """
        for level in self.video_levels or []:
            if levels is not None and level >= levels:
                raise ConfigError("report.video_levels", level, f"0 to {levels - 1}")
