"""Settings: the groups of a config, checked once."""

import dataclasses

import pytest
from composed import compose

from drc_lab.app.settings import Settings
from drc_lab.errors import ConfigError


def test_a_group_is_checked_once_and_cannot_be_changed():
    settings = Settings(compose("evaluation.num_levels=7"))
    assert settings.evaluation.num_levels == 7 and settings.evaluation is settings.evaluation
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.evaluation.num_levels = 8
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.config = compose()


def test_only_groups_that_are_read_are_checked():
    settings = Settings(compose("thinking.power=2", "seed=3"))
    assert settings.process.seed == 3
    settings.check("process", "report", "evaluation")
    with pytest.raises(ConfigError, match=r"^thinking\.power: found 2, allowed: above 0"):
        settings.check("thinking")
