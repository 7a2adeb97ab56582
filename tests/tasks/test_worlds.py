"""Worlds beside the one of the evaluation group: what they change, and the line for one that cannot be."""

import pytest
from test_configs import compose

from drc_lab.errors import ConfigError
from drc_lab.tasks.worlds import told_of, worlds


def test_a_world_changes_what_it_names_and_leaves_the_rest():
    config = compose(
        "+evaluation.env.max_steps=9", "evaluation.num_levels=50", "+thinking.worlds.larger={board: 7}",
        "+thinking.worlds.dense={num_levels: 20, env: {wall_density: 0.3}}",
    )  # fmt: skip
    found = worlds(config)
    assert list(found) == ["base", "larger", "dense"] and found["base"] is config
    larger, dense = found["larger"].evaluation, found["dense"].evaluation
    assert (larger.board, larger.num_levels, larger.env) == (7, 50, {"max_steps": 9})
    assert (dense.board, dense.num_levels, dense.env) == (None, 20, {"max_steps": 9, "wall_density": 0.3})
    assert found["larger"].env == config.env


@pytest.mark.parametrize(
    ("world", "line"),
    [
        ("larger=7", "thinking.worlds.larger: found 7, allowed: keys of evaluation, split, report_split"),
        ("larger={height: 7}", "thinking.worlds.larger: found {'height': 7}, allowed: keys of evaluation"),
        ("base={board: 7}", "thinking.worlds.base: .* another name"),
        ("larger={board: [1, 2, 3]}", r"thinking.worlds.larger.board: found \[1, 2, 3\], allowed: N for N x N"),
    ],
)
def test_a_world_that_is_none_is_told_by_its_name(world, line):
    with pytest.raises(ConfigError, match=line):
        worlds(compose(f"+thinking.worlds.{world}"))


def test_an_error_about_levels_says_which_world_they_are_of():
    with pytest.raises(ConfigError, match=r"thinking\.worlds\.dense.env.wall_density: found 3"), told_of("dense"):
        raise ConfigError("evaluation.env.wall_density", 3, "0 to 1")
    with pytest.raises(ConfigError, match=r"^evaluation\.board: found 3"), told_of("base"):
        raise ConfigError("evaluation.board", 3, "4 or more")
