"""Configs as the command line composes them."""

import hydra

from drc_lab.paths import CONF


def compose(*overrides):
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose("config", overrides=list(overrides))
