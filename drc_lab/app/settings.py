"""The settings of a run: the groups of its config, each checked once. Light to import."""

from dataclasses import dataclass, fields
from functools import cached_property
from typing import TypeVar

from omegaconf import DictConfig

from drc_lab.app.specs import BenchmarkSpec, PlaySpec, PolicySpeedSpec, SearchSpec, SpeedSpec
from drc_lab.arguments import from_mapping, plain
from drc_lab.deploy.spec import ExportSpec
from drc_lab.evaluation.report_spec import ReportSpec
from drc_lab.evaluation.spec import EvaluationSpec
from drc_lab.evaluation.thinking_spec import ThinkingSpec
from drc_lab.interpretation.spec import ProbeSpec, SaliencySpec, SteerSpec
from drc_lab.learning.specs import GROUPS_OF_ALGO, AlgoSpec, CheckpointSpec
from drc_lab.process_spec import ProcessSpec
from drc_lab.tracking.spec import CompareSpec, RegisterSpec, TrackingSpec

T = TypeVar("T")

CONFIG = "config.yaml"  # file of the config, in a run's folder


@dataclass(frozen=True, eq=False)
class Settings:
    """A config, with its groups as frozen, typed objects.

    A group is checked when it is first read, as a task uses few of them; it raises a ConfigError about the key that is
    wrong. The config must not be changed afterwards: settings that differ are a new object.

    Args:
        config: the whole config, for what is instantiated from it or recorded.
    """

    config: DictConfig

    def check(self, *groups: str) -> None:
        """Checks groups by reading them."""
        for group in groups:
            getattr(self, group)

    def _group(self, spec: type[T], name: str) -> T:
        return from_mapping(spec, plain(getattr(self.config, name)), name)

    @cached_property
    def process(self) -> ProcessSpec:
        """Keys at the top level of the config."""
        keys = [field.name for field in fields(ProcessSpec)]
        return from_mapping(ProcessSpec, {key: self.config[key] for key in keys if key in self.config}, "")

    @cached_property
    def algo(self) -> AlgoSpec:
        """The keys of the group itself, without its subgroups."""
        values = {key: value for key, value in plain(self.config.algo).items() if key not in GROUPS_OF_ALGO}
        return from_mapping(AlgoSpec, values, "algo")

    @cached_property
    def tracking(self) -> TrackingSpec:
        """The group; its defaults if the config has none."""
        return self._group(TrackingSpec, "tracking") if "tracking" in self.config else TrackingSpec()

    @cached_property
    def checkpoints(self) -> CheckpointSpec:
        return self._group(CheckpointSpec, "checkpoints")

    @cached_property
    def evaluation(self) -> EvaluationSpec:
        return self._group(EvaluationSpec, "evaluation")

    @cached_property
    def thinking(self) -> ThinkingSpec:
        return ThinkingSpec.from_group(plain(self.config.thinking))

    @cached_property
    def report(self) -> ReportSpec:
        return self._group(ReportSpec, "report")

    @cached_property
    def probe(self) -> ProbeSpec:
        return self._group(ProbeSpec, "probe")

    @cached_property
    def steer(self) -> SteerSpec:
        return self._group(SteerSpec, "steer")

    @cached_property
    def saliency(self) -> SaliencySpec:
        return self._group(SaliencySpec, "saliency")

    @cached_property
    def play(self) -> PlaySpec:
        return self._group(PlaySpec, "play")

    @cached_property
    def export(self) -> ExportSpec:
        return self._group(ExportSpec, "export")

    @cached_property
    def compare(self) -> CompareSpec:
        return self._group(CompareSpec, "compare")

    @cached_property
    def register(self) -> RegisterSpec:
        return self._group(RegisterSpec, "register")

    @cached_property
    def benchmark(self) -> BenchmarkSpec:
        return self._group(BenchmarkSpec, "benchmark")

    @cached_property
    def speed(self) -> SpeedSpec:
        return self._group(SpeedSpec, "speed")

    @cached_property
    def search_speed(self) -> SearchSpec:
        return self._group(SearchSpec, "search_speed")

    @cached_property
    def policy_speed(self) -> PolicySpeedSpec:
        return self._group(PolicySpeedSpec, "policy_speed")
