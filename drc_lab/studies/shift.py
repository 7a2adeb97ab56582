"""Evaluations under distribution shift: in the worlds that ``thinking.worlds`` names, compared with the base levels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from drc_lab.app.checked import evaluation_spec
from drc_lab.app.worlds import BASE, errors_name_world, worlds
from drc_lab.envs.interface import BatchEnv
from drc_lab.evaluation.measures.finding import Finding
from drc_lab.evaluation.measures.shift import world_findings
from drc_lab.evaluation.measures.table import Row, table
from drc_lab.evaluation.play.records import concatenated
from drc_lab.evaluation.play.thinking import Setting
from drc_lab.files import written
from drc_lab.studies.session import PARTS, Subject, lab_env, play_all
from drc_lab.tracking.run import Run

FILE = "worlds.parquet"  # records of all worlds but the base, which has a file of its own


@dataclass(frozen=True)
class World:
    """A world that the policy can play in, and the settings that it is played at there."""

    name: str
    subject: Subject
    env: BatchEnv
    settings: Sequence[Setting]


def other_worlds(subject: Subject, settings: Callable[[BatchEnv], Sequence[Setting]]) -> list[World]:
    """Makes all worlds but the base.

    Args:
        subject: the policy, with the config of its evaluation.
        settings: returns the settings to play in an env.

    Raises:
        ConfigError: a world's description is invalid, or the policy cannot play in it.
    """
    found = []
    for name, config in worlds(subject.config).items():
        if name != BASE:
            with errors_name_world(name):
                env = lab_env(config, subject.policy)
            found.append(World(name, replace(subject, config=config), env, settings(env)))
    return found


def play_elsewhere(others: Sequence[World], base: Sequence[Row], folder: Path, run: Run) -> list[Finding]:
    """Plays in the other worlds, writes and logs their records, and returns findings that compare them with the base;
    [] if there are no others."""
    if not others:
        return []
    rows, parts = {BASE: base}, []
    confidence = evaluation_spec(others[0].subject.config).confidence
    for world in others:
        played = play_all(world.subject, world.env, world.settings, folder / PARTS / world.name, world.name)
        rows[world.name] = table(played, confidence)
        parts.append(played.assign(world=world.name))
    with written(folder / FILE) as part:
        concatenated(parts).to_parquet(part, index=False)
    run.log_artifact(folder / FILE)
    return world_findings(rows, confidence)
