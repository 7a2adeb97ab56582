"""Policies of the published wirings, small."""

import hydra
import torch

from drc_lab.building import build
from drc_lab.paths import CONF

OBS_SHAPE = (3, 5, 4)


SMALL = {"hidden_channels": 4, "num_layers": 2, "proj_dim": 8}


PRESETS = sorted(path.stem for path in (CONF / "policy").glob("*.yaml"))


def policy_of(preset):
    """The policy of a config, as small as its switches allow, with outputs far from zero."""
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        node = hydra.compose("config", overrides=[f"policy={preset}"]).policy
    for key in set(SMALL) & set(node):
        node[key] = SMALL[key]
    policy = build(node, "policy", obs_shape=OBS_SHAPE, num_actions=3)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter) / parameter[0].numel() ** 0.5)
    return policy
