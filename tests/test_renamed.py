"""Old names of keys work for one release, and a line says the new ones."""

import pytest
from omegaconf import OmegaConf

from drc_lab.app.resume import check_same_training
from drc_lab.arguments import plain
from drc_lab.composing import composed
from drc_lab.errors import ConfigError, note
from drc_lab.renamed import rename_keys

LINE = "drc_lab: algo.rollouts.passes is called algo.rollouts.epochs now; the old name still works in this release\n"


@pytest.mark.parametrize("word", ["algo.rollouts.passes=3", "+algo.rollouts.passes=3", "++algo.rollouts.passes=3"])
def test_the_old_name_on_a_command_line_sets_the_new_key_and_says_so_once(word, capsys):
    note.cache_clear()
    for _ in range(2):
        with composed(["algo=ppo", word]) as config:
            assert config.algo.rollouts.epochs == 3 and "passes" not in config.algo.rollouts
    assert capsys.readouterr().err == LINE


def test_the_old_name_in_a_file_of_the_user_sets_the_new_key(capsys):
    note.cache_clear()
    config = OmegaConf.create({"algo": {"rollouts": {"epochs": 1, "passes": 4}}})
    rename_keys(config)
    assert config == {"algo": {"rollouts": {"epochs": 4}}} and capsys.readouterr().err == LINE
    rename_keys(OmegaConf.create({"algo": {"rollouts": None}}))  # nothing to rename


def test_a_training_that_recorded_the_old_name_goes_on():
    with composed(["algo=ppo", "algo.rollouts.epochs=2"]) as config:
        before = plain(config)
        rollouts = before["algo"]["rollouts"]
        rollouts["passes"] = rollouts.pop("epochs")
        check_same_training(before, config, "is there")
        rollouts["passes"] = 3
        with pytest.raises(ConfigError, match=r"^algo\.rollouts\.epochs: found 2, allowed: 3, as in the run"):
            check_same_training(before, config, "is there")
