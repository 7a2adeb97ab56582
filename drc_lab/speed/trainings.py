"""The trainings of task=benchmark. Light to import."""

import re
from collections.abc import Iterator, Sequence

import hydra
from omegaconf import DictConfig

from drc_lab.app.specs import BenchmarkSpec
from drc_lab.arguments import from_mapping, plain
from drc_lab.targets import drop_replaced


def trainings(config: DictConfig, overrides: Sequence[str]) -> Iterator[tuple[str, DictConfig]]:
    """Yields name and config of each training to time; ``overrides`` of the command line replace a training's own."""
    spec = from_mapping(BenchmarkSpec, plain(config.benchmark), "benchmark")
    common = [one for one in overrides if not re.match(r"\+experiment=|task=|benchmark\.", one)]
    for name in spec.only or spec.trainings:
        own = [*spec.trainings[name], f"study={config.study}", f"name={name}", *common, "resume=never"]
        yield name, drop_replaced(hydra.compose("config", own), own)
