"""Which policies a task evaluates: one checkpoint, one for each of several trainings, or all of one training."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from drc_lab.app.as_trained import as_trained
from drc_lab.app.checkpoints import check_single, checkpoint_file, checkpoint_names, files_of_run
from drc_lab.app.device import device_of, set_precision
from drc_lab.app.settings import Settings
from drc_lab.arguments import plain
from drc_lab.config import completed
from drc_lab.errors import ConfigError
from drc_lab.learning.checkpoints import policy_of, read_checkpoint
from drc_lab.models.policy import Policy
from drc_lab.tracking.mlflow import flatten
from drc_lab.trust import trusted_by

BEST = "best.ckpt"  # usually a copy of one of the others
OF_LEVELS = ("report_split", "num_levels", "level_seed", "board", "env")  # keys of evaluation that say what is played


@dataclass(frozen=True)
class Subject:
    """A policy to be evaluated.

    Args:
        name: of its checkpoint.
        policy: in evaluation mode.
        settings: of the evaluation, with the training's env and held-out levels unless the command line changes them.
        frames: number of frames that it was trained for.
        seed: of its training.
        digest: SHA-256 of its weights.
        training: folder and seed of its training; () if they are unknown.
        policy_config: config that the policy was built from; None if unknown.
    """

    name: str
    policy: Policy
    settings: Settings
    frames: int
    seed: int
    digest: str
    training: tuple[str, int] | tuple[()] = ()
    policy_config: DictConfig | None = None

    @property
    def config(self) -> DictConfig:
        """The whole config of ``settings``."""
        return self.settings.config


def load_subjects(settings: Settings) -> list[Subject]:
    """Loads the policies that the config names, at least one. Those of one training are sorted by frames.

    Raises:
        UserError: none is named, or one does not exist; or several are not from separate trainings, would be played on
            different levels, or have different numbers of ticks.
    """
    config, names = settings.config, checkpoint_names(settings)
    if (run := settings.thinking.run) is not None:
        files = sorted(files_of_run(config, run), key=lambda path: path.name == BEST)
        return one_of_each([load_subject(config, path, path.stem) for path in files])
    subjects = [load_subject(config, checkpoint_file(config, name), name) for name in names]
    check_comparable(subjects)
    return subjects


def load_single(settings: Settings) -> Subject:
    """Loads the policy for a task that takes one only.

    Raises:
        UserError: as in `load_subjects`, or several are named.
    """
    subjects = load_subjects(settings)
    check_single([subject.name for subject in subjects])
    return subjects[0]


def load_subject(config: DictConfig, path: Path, name: str) -> Subject:
    """Loads the policy of a checkpoint for evaluation.

    Args:
        config: of the command.
        path: file of the checkpoint.
        name: of the checkpoint.

    Raises:
        UserError: the file does not exist or is no checkpoint.
    """
    state = read_checkpoint(path)
    policy, trained = policy_of(state, trusted_by(config))
    settings = as_trained(config, trained)
    device = device_of(config.trainer.accelerator)
    set_precision(policy, config, device)
    frames, seed = int(state.get("frames", 0)), int(trained.get("seed", 0))
    training = (str(trained.folder), seed) if trained.get("folder") else ()
    digest = weights_digest(state["state_dict"])
    return Subject(name, policy.to(device), settings, frames, seed, digest, training, trained.policy)


def weights_digest(weights: Mapping[str, torch.Tensor]) -> str:
    """Returns the SHA-256 of all weights with their names, in hex digits."""
    digest = hashlib.sha256()
    for key, weight in sorted(weights.items()):
        digest.update(key.encode() + weight.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def one_of_each(subjects: Sequence[Subject]) -> list[Subject]:
    """Keeps the first of all policies with the same weights, as ``best.ckpt`` repeats another; sorts by frames."""
    by_weights: dict[str, Subject] = {}
    for subject in subjects:
        by_weights.setdefault(subject.digest, subject)
    return sorted(by_weights.values(), key=lambda subject: subject.frames)


def check_comparable(subjects: Sequence[Subject]) -> None:
    """Checks that policies are from separate trainings, and are played on the same levels at the same settings.

    Raises:
        ConfigError: about the first policy that differs.
    """
    check_separate(subjects)
    check_same_levels(subjects)
    check_same_ticks(subjects)


def check_separate(subjects: Sequence[Subject]) -> None:
    """Checks that each policy is from a training of its own. Checkpoints of the same training are no independent
    samples, so that statistics over them would mislead.

    Raises:
        ConfigError: about the first policy that is not.
    """
    for number, subject in enumerate(subjects):
        for before in subjects[:number]:
            if subject.digest == before.digest:
                raise ConfigError("checkpoint", subject.name, f"other weights than those of {before.name}")
            if subject.training and subject.training == before.training:
                raise ConfigError(
                    "checkpoint",
                    subject.name,
                    f"one of each training; all that {before.name} is from: thinking.run={subject.training[0]}",
                )


def check_same_levels(subjects: Sequence[Subject]) -> None:
    """Checks that all policies are played on the same levels in the same env.

    Raises:
        ConfigError: about the first policy that is not.
    """
    first, *others = subjects
    wanted = _played_on(first)
    for subject in others:
        played_on = _played_on(subject)
        for key in {**wanted, **played_on}:
            if wanted.get(key) != played_on.get(key):
                raise ConfigError(
                    "checkpoint",
                    f"{subject.name}, with {key}={played_on.get(key)}",
                    f"one with {wanted.get(key)}, as {first.name} has; {key}=... here plays all on the same",
                )


def _played_on(subject: Subject) -> dict[str, Any]:
    """The settings of the levels that a policy is played on, by key."""
    config = plain(subject.config)
    return flatten(
        {"env": completed(config["env"]), "evaluation": {key: config["evaluation"][key] for key in OF_LEVELS}}
    )


def check_same_ticks(subjects: Sequence[Subject]) -> None:
    """Checks that all policies have the same number of ticks a step, so that they are played at the same settings.

    Raises:
        ConfigError: about the first policy with another number.
    """
    wanted = subjects[0].policy.repeats_per_step
    for subject in subjects[1:]:
        if subject.policy.repeats_per_step != wanted:
            raise ConfigError(
                "checkpoint",
                f"{subject.name}, with {subject.policy.repeats_per_step} ticks a step",
                f"one with {wanted}, as {subjects[0].name} has",
            )
