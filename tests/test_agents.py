"""The agents that come with the package: they load by name, are small, and do what their cards say."""

import re
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from checkpoints import checkpoint
from commands import run_here
from tool import load_tool

from drc_lab.app.held_out import held_out_env
from drc_lab.app.settings import Settings
from drc_lab.checkpoint_names import agents
from drc_lab.evaluation.play.evaluator import evaluate
from drc_lab.learning.checkpoints import load_policy
from drc_lab.paths import AGENTS

MOST_BYTES = 3 * 10**6


@pytest.fixture
def tool():
    return load_tool("ship_agent")


def test_there_are_agents_each_with_a_card():
    assert agents()
    assert {path.stem for path in AGENTS.glob("*.md")} == set(agents())


@pytest.mark.slow
@pytest.mark.parametrize("name", agents())
def test_an_agent_solves_as_many_levels_as_its_card_says(name):
    """But for a few: another CPU rounds otherwise, and of two actions as good as each other takes the other."""
    policy, config = load_policy(f"agents:/{name}")
    card = (AGENTS / f"{name}.md").read_text()
    said = re.search(r"\| \*\*the agent\*\* \| \*\*([\d.]+) \[", card)
    config.evaluation.num_levels = int(re.search(r"On ([\d,]+) levels", card)[1].replace(",", ""))
    levels = held_out_env(Settings(config), config.evaluation.report_split)
    assert 100 * evaluate(policy, levels).solve_rate == pytest.approx(float(said[1]), abs=0.2)


@pytest.mark.parametrize("name", agents())
def test_an_agent_is_small_and_knows_nothing_of_the_machine_that_trained_it(name):
    assert (AGENTS / f"{name}.ckpt").stat().st_size < MOST_BYTES
    state = torch.load(AGENTS / f"{name}.ckpt", weights_only=True)
    assert set(state) == {"config", "state_dict", "frames"} and state["frames"] > 0
    assert not {"folder", "root", "tracking"} & set(state["config"])
    assert state["config"]["env"].get("levels") is None


def test_an_agent_plays_by_its_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = f"checkpoint=agents:/{agents()[0]}", "play.episodes=1", "play.video=null", "threads=1"
    code, output, errors = run_here(monkeypatch, capsys, "task=play", *words)
    assert (code, errors) == (0, "") and "solved in" in output


@pytest.mark.parametrize("task", ["play", "evaluate", "thinking", "export"])
def test_an_agent_that_is_not_there_is_one_line_with_those_that_are(tmp_path, monkeypatch, capsys, task):
    monkeypatch.chdir(tmp_path)
    code, output, errors = run_here(monkeypatch, capsys, f"task={task}", "checkpoint=agents:/nobody")
    allowed = " | ".join(f"agents:/{name}" for name in agents())
    assert (code, output) == (2, "") and not list(tmp_path.iterdir())
    assert errors == f"drc_lab: checkpoint: found 'agents:/nobody', allowed: {allowed}\n"


def test_the_tool_leaves_weights_and_a_card_with_the_figures_of_the_report(tool, tmp_path, monkeypatch):
    checkpoint(tmp_path / "a.ckpt", "seed=3")
    state = torch.load(tmp_path / "a.ckpt", weights_only=True) | {"frames": 1_234_567, "optimizer_states": [1]}
    torch.save(state, tmp_path / "a.ckpt")
    nan = np.nan
    rows = [
        ("first_passes", 0, 0.5, 0.4, 0.6, 0, 0, 0, nan),
        ("repeats", 3, 0.52, 0.42, 0.62, 0.02, 0.01, 0.03, 0.004),
        ("random", 0, 0.1, 0.05, 0.2, -0.4, -0.5, -0.3, nan),
    ]
    columns = ["kind", "amount", "solve_rate", "low", "high", "difference", "difference_low", "difference_high",
               "p_adjusted"]  # fmt: skip
    pd.DataFrame(rows, columns=columns).assign(optimal="all", levels=50).to_csv(tmp_path / "thinking.csv")
    monkeypatch.setattr(tool, "AGENTS", tmp_path / "agents")
    words = tmp_path / "a.ckpt", "mine", "--report", tmp_path, "--what", "It plays.", "--command", "train it"
    monkeypatch.setattr(sys, "argv", ["ship_agent.py", *map(str, words)])
    tool.main()
    card = (tmp_path / "agents/mine.md").read_text()
    for said in (
        "It plays.",
        "1,234,567 frames, seed 3",
        "`train it`",
        "50 levels",
        "| **the agent** | **50.0 [40.0, 60.0]** |",
        "| random policy | 10.0 [5.0, 20.0] |",
        "| repeats=3 | +2.0 [+1.0, +3.0] | 0.004 |",
    ):
        assert said in card, card
    left = torch.load(tmp_path / "agents/mine.ckpt", weights_only=True)
    assert set(left) == {"config", "state_dict", "frames"} and str(tmp_path) not in str(left)
    assert load_policy(tmp_path / "agents/mine.ckpt")[0].repeats_per_step == 2
