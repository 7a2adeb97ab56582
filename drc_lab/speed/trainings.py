"""The trainings of task=benchmark. Light to import."""

import re
from collections.abc import Iterator, Sequence

import hydra

from drc_lab.app.settings import Settings
from drc_lab.targets import drop_replaced


def trainings(settings: Settings, overrides: Sequence[str]) -> Iterator[tuple[str, Settings]]:
    """Yields name and settings of each training to time; ``overrides`` of the command line replace a training's own."""
    spec = settings.benchmark
    common = [one for one in overrides if not re.match(r"\+experiment=|task=|benchmark\.", one)]
    for name in spec.only or spec.trainings:
        own = [*spec.trainings[name], f"study={settings.config.study}", f"name={name}", *common, "resume=never"]
        yield name, Settings(drop_replaced(hydra.compose("config", own), own))
