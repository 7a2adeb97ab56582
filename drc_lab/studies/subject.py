"""A policy to be evaluated, as it is loaded from its checkpoint."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from omegaconf import DictConfig

from drc_lab.app.as_trained import as_trained
from drc_lab.app.device import device_of
from drc_lab.app.precision import set_precision
from drc_lab.app.settings import Settings
from drc_lab.learning.checkpoints import policy_of, read_checkpoint
from drc_lab.models.policy import Policy


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
    policy, trained = policy_of(state)
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
