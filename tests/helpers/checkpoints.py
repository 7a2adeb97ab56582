"""Checkpoints of small agents, and what task=play says of them."""

import re

import hydra
import torch

from drc_lab.arguments import plain
from drc_lab.config import build_policy, make_env
from drc_lab.paths import CONF


def checkpoint(path, *overrides):
    """A policy of random weights, as a training would have saved it."""
    sizes = ["policy.hidden_channels=4", "policy.num_layers=1", "policy.repeats_per_step=2", "policy.proj_dim=8"]
    sizes = [] if {"policy=mlp", "policy=small_cnn"} & set(overrides) else sizes
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        config = hydra.compose("config", overrides=[*sizes, "policy.head_init=orthogonal", *overrides])
    policy = build_policy(config.policy, make_env(config.env, num_envs=1))
    weights = {f"policy.{name}": weight for name, weight in policy.state_dict().items()}
    torch.save({"config": plain(config), "state_dict": weights}, path)
    return f"checkpoint={path}"


def results(output):
    """(level, solved, steps, optimal) of each episode, from the lines at the end."""
    pattern = r"^level (\d+): (not )?solved in (\d+) steps? \(optimal (\d+)\)$"
    after = output[output.rindex("\n\n") if "\n\n" in output else 0 :]
    return [(int(a), not b, int(c), int(d)) for a, b, c, d in re.findall(pattern, after, re.MULTILINE)]
