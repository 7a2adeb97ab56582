"""The ``report`` group of the config, checked."""

from dataclasses import dataclass
from pathlib import Path

from drc_lab.arguments import Spec
from drc_lab.errors import ConfigError
from drc_lab.pictures import DEFAULT_CELL_SIZE, CellSize, Fps, check_video
from drc_lab.rules import NotNegative, Positive


@dataclass(frozen=True)
class ReportSpec(Spec):
    """What the reports of evaluations show; conf/report/default.yaml explains each key."""

    failures: NotNegative = 60
    video: str | None = "side_by_side.gif"
    video_levels: list[NotNegative] | None = None
    video_passes: Positive | None = None
    fps: Fps = 3
    cell_size: CellSize = DEFAULT_CELL_SIZE

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
