"""task=export from a checkpoint to files, table and CSV, and the mistakes one can make on the way."""

import csv
import json
import re

import numpy as np
import pytest
import torch
from checkpoints import checkpoint
from commands import run_here

from drc_lab.app.held_out import held_out_env
from drc_lab.app.settings import Settings
from drc_lab.config import make_env
from drc_lab.deploy.agreement import logits_of, play
from drc_lab.evaluation.play.evaluator import evaluate
from drc_lab.evaluation.play.thinking import Thinking
from drc_lab.evaluation.stats.intervals import rate_interval
from drc_lab.learning.checkpoints import load_policy

LEVELS = ["evaluation.num_levels=12", "env.max_steps=6", "env.max_optimal=1"]
QUICK = ["threads=1", "export.timings=2", "export.batches=[1,3]"]


@pytest.fixture
def export(tmp_path, monkeypatch, capsys):
    """Runs the task in this process: exit code, what it printed, its complaint."""
    monkeypatch.chdir(tmp_path)

    def run(*overrides):
        return run_here(monkeypatch, capsys, "task=export", *QUICK, *overrides)

    return run


def only(tmp_path, pattern):
    (path,) = tmp_path.glob(pattern)
    return path


def test_bare_weights_come_with_their_description_and_a_table_of_what_they_solve(export, tmp_path):
    where = checkpoint(tmp_path / "a.ckpt", *LEVELS)
    code, output, errors = export(where, "format=state_dict", "export.repeats=4")
    assert (code, errors) == (0, "")
    folder = only(tmp_path, "outputs/runs/export/*")
    assert {p.name for p in folder.iterdir()} == {"policy.pt", "policy.bf16.pt", "policy.json", "export.csv"}
    policy, config = load_policy(tmp_path / "a.ckpt")
    weights = torch.load(folder / "policy.pt", weights_only=True)
    assert all(torch.equal(weights[name], x) for name, x in policy.state_dict().items())
    told = json.loads((folder / "policy.json").read_text())
    assert told["files"] == {"float32": "policy.pt", "bf16": "policy.bf16.pt"}
    assert told["policy"]["hidden_channels"] == 4 and told["env"]["max_steps"] == 6
    assert told["step"]["carry"] == {"h_0": [4, 5, 5], "c_0": [4, 5, 5]} and told["step"]["repeats"] == 4

    rows = list(csv.DictReader((folder / "export.csv").read_text().splitlines()))
    assert [row["variant"] for row in rows] == ["the policy", "float32", "bf16"]
    solved = evaluate(policy, held_out_env(Settings(config), "test"), Thinking(repeats=4)).solved
    assert 0 < solved.mean() < 1  # or the test shows nothing
    for row in rows[:2]:
        assert float(row["solve_rate"]) == pytest.approx(solved.mean(), abs=1e-6) and row["levels"] == "12"
        interval = [float(row["solve_rate_low"]), float(row["solve_rate_high"])]
        assert interval == pytest.approx(rate_interval(solved), abs=1e-6)
        assert float(row["milliseconds_batch_1"]) > 0 and float(row["milliseconds_batch_3"]) > 0
    sizes = [float(row["megabytes"]) for row in rows]
    assert sizes[0] == pytest.approx(sum(x.numel() * 4 for x in weights.values()) / 1e6, abs=1e-4)
    assert sizes[1] == pytest.approx((folder / "policy.pt").stat().st_size / 1e6, abs=1e-4)
    assert [float(row["max_logit_difference"]) == 0 for row in rows] == [True, True, False]
    assert "12 held-out levels" in output and re.search(rf"float32 .* {100 * solved.mean():.1f} \[", output)
    assert f"description  {folder / 'policy.json'}" in output


@pytest.mark.slow
def test_onnx_is_what_one_gets_unasked_in_all_variants(export, tmp_path):
    pytest.importorskip("onnxruntime")
    where = checkpoint(tmp_path / "a.ckpt", *LEVELS, "policy=drc_taufeeque2024")
    code, output, errors = export(where, "export.file=there/agent.onnx")
    assert (code, errors) == (0, "")
    variants = ["float32", "bf16", "int8_dynamic", "int8_static"]
    names = {"agent.onnx", "agent.json", *(f"agent.{variant}.onnx" for variant in variants[1:])}
    assert {path.name for path in (tmp_path / "there").iterdir()} == names
    rows = list(csv.DictReader(only(tmp_path, "outputs/runs/export/*/export.csv").read_text().splitlines()))
    assert [row["variant"] for row in rows] == ["the policy", *variants]
    assert float(rows[1]["max_logit_difference"]) < 1e-4 and rows[1]["solve_rate"] == rows[0]["solve_rate"]
    assert all(variant in output for variant in variants)
    code, output, errors = export(where, "export.file=there/agent.onnx")
    assert (code, output) == (2, "")
    assert errors == "drc_lab: there/agent.onnx: there is a file already; choose another export.file\n"


@pytest.mark.slow
def test_a_torch_program_of_a_policy_without_memory_for_vectors(export, tmp_path):
    cart_pole = ["env=gym", "env.id=CartPole-v1", "policy=mlp", "evaluation.num_levels=4"]
    where = checkpoint(tmp_path / "a.ckpt", *cart_pole)
    code, _, errors = export(where, "format=torch_export", "export.variants=[float32]", "export.compare=false")
    assert (code, errors) == (0, "")
    program = torch.export.load(only(tmp_path, "outputs/runs/export/*/policy.pt2")).module()
    policy, _ = load_policy(tmp_path / "a.ckpt")
    obs = torch.randn(5, 4)
    torch.testing.assert_close(program(obs)[0], policy(obs)[0].policy_logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ([], "checkpoint: found None, allowed: a .ckpt file that a training wrote"),
        (["checkpoint=nowhere.ckpt"], "checkpoint: found no file 'nowhere.ckpt'"),
        (["format=tflite"], "export.format: found 'tflite', allowed: onnx | torch_export | state_dict | flax"),
        (
            ["format=torch_export", "export.variants=[int8_dynamic]"],
            "export.variants: found 'int8_dynamic', allowed: float32 | bf16 as torch_export",
        ),
        (["export.variants=[float16]"], "export.variants: found 'float16', allowed: float32 | bf16 | int8_dynamic"),
        (["export.variants=bf16"], "export.variants: found 'bf16', allowed: list[str]"),
        (["export.batches=[0]"], "export.batches: found 0, allowed: at least 1"),
        (["export.fil=a.onnx"], "export.fil: no such key; closest: export.file"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) and value else "",
)
def test_a_mistake_gets_one_line_and_leaves_nothing(export, tmp_path, overrides, line):
    code, output, errors = export(*overrides)
    assert code == 2 and errors.startswith(f"drc_lab: {line}") and errors.count("\n") == 1, errors
    assert output == "" and not list(tmp_path.iterdir())


def test_a_play_starts_episodes_where_the_env_does(tmp_path):
    """Of two steps each here: every other observation is an episode's first, and a carry that ran on would differ."""
    checkpoint(tmp_path / "a.ckpt", "env.max_steps=2", "env.min_optimal=3")
    policy, config = load_policy(tmp_path / "a.ckpt")
    obs, resets = play(policy, make_env(config.env, num_envs=3), steps=6, seed=0)
    assert obs.shape == (6, 3, *policy.obs_shape) and obs.dtype == torch.uint8
    assert resets.tolist() == np.tile([[True] * 3, [False] * 3], (3, 1)).tolist()
    assert not torch.equal(obs[1], obs[2])
    fresh = logits_of(policy, obs[2:3], resets[2:3], None)
    torch.testing.assert_close(logits_of(policy, obs, resets, None)[2:3], fresh)
