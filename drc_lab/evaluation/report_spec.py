"""The ``report`` group of the config, checked."""

from dataclasses import dataclass
from pathlib import Path

from drc_lab.errors import ConfigError
from drc_lab.pictures import check_cell_size, check_video
from drc_lab.rules import all_at_least, at_least


@dataclass(frozen=True)
class ReportSpec:
    """What the reports of evaluations show; conf/report/default.yaml explains each key."""

    failures: int
    video: str | None
    video_levels: list[int] | None
    video_passes: int | None
    fps: float
    cell_size: int

    def __post_init__(self) -> None:
        all_at_least(self, 0, "failures")
        at_least("video_levels", self.video_levels or [], 0)
        all_at_least(self, 1, "video_passes")
        check_cell_size(self.cell_size)
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
