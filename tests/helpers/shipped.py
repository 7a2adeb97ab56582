"""Every policy of conf/policy, small."""

from functools import cache

import hydra
import torch
from omegaconf import OmegaConf

from drc_lab.building import build
from drc_lab.models.policy import Policy
from drc_lab.paths import CONF

OPTIONS = sorted(path.stem for path in (CONF / "policy").glob("*.yaml"))


SHAPE, ACTIONS = (3, 5, 6), 4


@cache
def config_of(option):
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose("config", overrides=[f"policy={option}"]).policy


def shipped(option, obs_shape=SHAPE, num_actions=ACTIONS, seed=0, **settings) -> Policy:
    torch.manual_seed(seed)
    config = OmegaConf.merge(config_of(option), settings)
    return build(config, "policy", obs_shape=obs_shape, num_actions=num_actions)
