"""The config of an evaluation in the env and on the held-out levels of the policy's training. Light to import."""

import re
from collections.abc import Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from drc_lab.app.fits import check_thinks
from drc_lab.app.settings import CONFIG, Settings
from drc_lab.arguments import errors_under, plain
from drc_lab.checkpoint_names import FOLDER
from drc_lab.checksums import MARK, intact
from drc_lab.errors import note
from drc_lab.trust import check_config, trusted_by
from drc_lab.untrusted import LARGEST_TEXT, read_bytes, read_config


def as_trained(config: DictConfig, trained: DictConfig, overrides: Sequence[str] | None = None) -> Settings:
    """Returns the settings with the ``env`` and ``evaluation`` groups of a training, except for what the command line
    sets.

    Args:
        config: of the command.
        trained: config of the training.
        overrides: of the command line; None takes them from Hydra.

    Raises:
        ConfigError: only one of the two envs has the action "think".
    """
    if overrides is None:
        overrides = HydraConfig.get().overrides.task
    config = config.copy()
    for group in ("env", "evaluation"):
        if group not in trained or any(override.startswith(f"{group}=") for override in overrides):
            continue
        keys_set = [o.split("=")[0].lstrip("+") for o in overrides if o.lstrip("+").startswith(f"{group}.")]
        values = {key: OmegaConf.select(config, key) for key in keys_set}
        if group == "env" and "levels" in trained.env and any(re.match(r"data[.=]", o) for o in overrides):
            values |= {"env.levels": config.data.folder, "env.difficulty": config.data.difficulty} | values
        # Env keys depend on the game, so the trained group is taken whole. Evaluation keys that are newer than that
        # training keep their defaults.
        known = trained[group] if group == "env" else {k: v for k, v in trained[group].items() if k in config[group]}
        config[group] = known if group == "env" else OmegaConf.merge(config[group], known)
        for key, value in values.items():
            OmegaConf.update(config, key, value, force_add=True)
    if "env" in trained:
        check_thinks(trained.env, config.env, "env.thinks")
    return Settings(config)


def as_recorded(config: DictConfig, checkpoint: str) -> Settings | None:
    """Returns `as_trained` if the checkpoint still lies in its run's folder, where ``config.yaml`` can be read; else
    None, as the training's config is then in the checkpoint only."""
    path = Path(checkpoint)
    if path.parent.name != FOLDER or not (saved := path.parent.parent / CONFIG).is_file():
        return None
    if (trained := recorded_config(saved)) is None:
        return None
    with errors_under("checkpoint"):
        check_config(plain(trained), trusted_by(config))
    return as_trained(config, trained)


def recorded_config(path: Path) -> DictConfig | None:
    """Returns a run's config.yaml; None if it is damaged, and the user is told that the checkpoint's is used.

    Raises:
        UserError: it is no config of a run.
    """
    content = read_bytes(path, LARGEST_TEXT)
    if not content or (MARK in content and not intact(content)):  # older files have no checksum
        note(f"{path} is damaged, or was changed; the config in the checkpoint is used")
        return None
    return read_config(path)
