"""A level source that grows harder as the agent gets better."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from drc_lab.arguments import errors_under
from drc_lab.envs.levels import Levels, hashed, mix64
from drc_lab.envs.saved import impossible, saved_number
from drc_lab.envs.specs.levels import CurriculumSpec, stage_key, stages
from drc_lab.envs.streams import GeneratedLevels, LevelStream

COUNTERS = ("seed", "position", "stage", "episodes", "solved")
_STAGE_BITS = 40  # a level's id holds its stage in the bits above these


class CurriculumLevels(LevelStream[Levels]):
    """Deals levels of the current stage and some of earlier stages; a high enough solve rate starts the next stage.

    Args:
        streams: one for each stage, easiest first; all levels have the same shape.
        spec: see `CurriculumSpec`.
        seed: of the streams, and of the draw of each level's stage.
    """

    def __init__(self, streams: Sequence[LevelStream[Levels]], spec: CurriculumSpec, seed: int = 0):
        self.streams, self.spec = list(streams), spec
        self.reseed(seed)

    def reseed(self, seed: int) -> None:
        self.seed, self.position = seed, 0
        self.stage = self.episodes = self.solved = 0
        self.solve_rate = float("nan")
        for number, stream in enumerate(self.streams):
            stream.reseed(int(mix64(np.uint64(seed) + np.uint64(number)) >> np.uint64(2)))

    def take(self, count: int) -> tuple[np.ndarray, Levels, np.ndarray]:
        # Hashes of the position in the stream, so that only the position has to be saved.
        place = np.arange(self.position, self.position + count).astype(np.uint64)
        self.position += count
        drawn = hashed(self.seed, place) / 2.0**64
        stages = np.full(count, self.stage)
        if self.stage:
            review = drawn < self.spec.review
            stages[review] = (drawn[review] / self.spec.review * self.stage).astype(np.int64)
        ids, rows, parts, taken = np.zeros(count, np.int64), np.zeros(count, np.int64), [], 0
        for stage in np.unique(stages) if count else [self.stage]:
            mine = np.flatnonzero(stages == stage)
            numbers, levels, picked = self.streams[stage].take(len(mine))
            parts.append(levels[picked])
            ids[mine] = numbers + (int(stage) << _STAGE_BITS)
            rows[mine] = taken + np.arange(len(mine))
            taken += len(mine)
        return ids, parts[0] if len(parts) == 1 else type(parts[0]).concat(parts), rows

    def record(self, ids: np.ndarray, solved: np.ndarray) -> None:
        mine = ids >> _STAGE_BITS == self.stage
        self.episodes += int(mine.sum())
        self.solved += int(solved[mine].sum())
        if self.episodes < self.spec.window:
            return
        self.solve_rate = self.solved / self.episodes
        if self.solve_rate >= self.spec.advance_at and self.stage < len(self.streams) - 1:
            self.stage += 1
        self.episodes = self.solved = 0

    def metrics(self) -> dict[str, float]:
        measured = {} if np.isnan(self.solve_rate) else {"curriculum/solve_rate": self.solve_rate}
        return {"curriculum/stage": float(self.stage), **measured}

    def get_state(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in (*COUNTERS, "solve_rate")}
        return own | {"streams": [stream.get_state() for stream in self.streams]}

    def set_state(self, state: dict[str, Any]) -> None:
        if len(state["streams"]) != len(self.streams):
            raise impossible(f"a curriculum of {len(state['streams'])} stages")
        for stream, its in zip(self.streams, state["streams"], strict=True):
            stream.set_state(its)
        for name in COUNTERS:
            setattr(self, name, saved_number(state, name))
        self.solve_rate = float(state["solve_rate"])
        if self.stage >= len(self.streams):
            raise impossible(f"stage {self.stage} of {len(self.streams)}")


def curriculum_levels(
    spec: Mapping[str, Any],
    generator: Callable[..., Any],
    settings: Mapping[str, Any],
    finish: Callable[[Any], Any] = lambda generated: generated,
    **fixed: Any,
) -> CurriculumLevels[Any]:
    """A curriculum over the levels of a generator.

    Args:
        spec: arguments of `CurriculumSpec`.
        generator: class of the generator.
        own: the env's settings that a stage may replace.
        finish: is applied to each stage's generator, so that all of them make levels of the same shape.
        fixed: the settings that no stage may replace.

    Raises:
        ConfigError: about ``curriculum.KEY`` or ``curriculum.stages[i].KEY``.
    """
    curriculum, generators = stages(spec, generator, settings, **fixed)
    streams = []
    for number, generated in enumerate(generators):
        with errors_under(stage_key(number)):
            streams.append(GeneratedLevels(finish(generated)))
            streams[-1].take(1)  # a stage that cannot make levels fails now, not when training gets there
    return CurriculumLevels(streams, curriculum)  # resets all streams
