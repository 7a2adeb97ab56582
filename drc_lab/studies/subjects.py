"""Which policies a task evaluates: one checkpoint, one for each of several trainings, or all of one training."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from drc_lab.app.checked import check_files, files_of_folder, subject_names, thinking_spec
from drc_lab.app.store import checkpoint_file, reading_client
from drc_lab.arguments import plain
from drc_lab.config import completed
from drc_lab.errors import ConfigError
from drc_lab.studies.session import Subject, load_subject

OF_LEVELS = ("report_split", "num_levels", "level_seed", "board", "env")  # keys of evaluation that say what is played
BEST = "best.ckpt"  # usually a copy of one of the others


def subjects(config: DictConfig) -> list[Subject]:
    """Loads the policies that the config names, at least one. Those of one training are sorted by frames.

    Raises:
        UserError: none is named, or one does not exist; or several are not from separate trainings, would be played on
            different levels, or have different numbers of ticks.
    """
    names = subject_names(config)
    if (run := thinking_spec(config).run) is not None:
        return one_of_each([load_subject(config, path, path.stem) for path in run_files(config, run)])
    found = [load_subject(config, checkpoint_file(config, name), name) for name in names]
    check_separate(found)
    check_same_levels(found)
    check_same_ticks(found)
    return found


def run_files(config: DictConfig, run: str) -> list[Path]:
    """Returns the checkpoints of a run, a folder or runs:/ID, with ``best.ckpt`` last.

    Raises:
        ConfigError: about ``thinking.run``: the run has no checkpoints.
    """
    if run.startswith("runs:/"):
        from drc_lab.tracking.fetch import fetch_run  # importing MLflow takes seconds

        found = fetch_run(reading_client(config), run, Path(config.root) / "models", "thinking.run")
    else:
        found = files_of_folder(run)
    check_files(run, found)
    return sorted(found, key=lambda path: path.name == BEST)


def one_of_each(found: Sequence[Subject]) -> list[Subject]:
    """Keeps the first of all policies with the same weights, as ``best.ckpt`` repeats another; sorts by frames."""
    by_weights: dict[str, Subject] = {}
    for subject in found:
        by_weights.setdefault(subject.digest, subject)
    return sorted(by_weights.values(), key=lambda subject: subject.frames)


def check_separate(found: Sequence[Subject]) -> None:
    """Checks that each policy is from a training of its own. Checkpoints of the same training are no independent
    samples, so that statistics over them would mislead.

    Raises:
        ConfigError: about the first policy that is not.
    """
    for number, subject in enumerate(found):
        for before in found[:number]:
            if subject.digest == before.digest:
                raise ConfigError("checkpoint", subject.name, f"other weights than those of {before.name}")
            if subject.training and subject.training == before.training:
                raise ConfigError(
                    "checkpoint", subject.name,
                    f"one of each training; all that {before.name} is from: thinking.run={subject.training[0]}",
                )  # fmt: skip


def check_same_levels(found: Sequence[Subject]) -> None:
    """Checks that all policies are played on the same levels in the same env.

    Raises:
        ConfigError: about the first policy that is not.
    """
    first, *others = found
    wanted = _played_on(first)
    for subject in others:
        own = _played_on(subject)
        for key in {**wanted, **own}:
            if wanted.get(key) != own.get(key):
                raise ConfigError(
                    "checkpoint", f"{subject.name}, with {key}={own.get(key)}",
                    f"one with {wanted.get(key)}, as {first.name} has; {key}=... here plays all on the same",
                )  # fmt: skip


def check_same_ticks(found: Sequence[Subject]) -> None:
    """Checks that all policies have the same number of ticks a step, so that they are played at the same settings.

    Raises:
        ConfigError: about the first policy with another number.
    """
    wanted = found[0].policy.repeats_per_step
    for subject in found[1:]:
        if subject.policy.repeats_per_step != wanted:
            raise ConfigError(
                "checkpoint", f"{subject.name}, with {subject.policy.repeats_per_step} ticks a step",
                f"one with {wanted}, as {found[0].name} has",
            )  # fmt: skip


def _played_on(subject: Subject) -> dict[str, Any]:
    from drc_lab.tracking.mlflow import flatten

    config = plain(subject.config)
    return flatten(
        {"env": completed(config["env"]), "evaluation": {key: config["evaluation"][key] for key in OF_LEVELS}}
    )
