"""The policies' speed table: the same net on both sides, honest shares, every policy in it."""

import csv

import pytest
import torch
from commands import run, run_here

from drc_lab.models.flops import hoisted_flops
from drc_lab.models.precision import has_bfloat16
from drc_lab.paths import CONF
from drc_lab.speed.policy_memory import peak_memory
from drc_lab.speed.policy_runs import BFLOAT16, PASSES, STEPS, PolicySpeedSpec, convolutions, implementations
from drc_lab.tasks.policy_speed import GRADIENT, STEP, profile_rows, speed_rows

SIZES = {"obs_shape": [3, 4, 4], "hidden_channels": 4, "num_layers": 2, "steps": 2, "timings": 1}
TINY = PolicySpeedSpec(**SIZES, envs=[2, 3], batches=[2], conv_batches=[1, 2])


@pytest.mark.slow
def test_the_task_writes_its_tables_with_every_policy_in_them(tmp_path):
    sizes = [f"policy_speed.{key}={value}".replace(" ", "") for key, value in vars(TINY).items()]
    result = run(tmp_path, "+experiment=policy_speed", *sizes, timeout=280)  # five processes, each imports it all
    assert result.returncode == 0, result.stderr
    (folder,) = (tmp_path / "outputs/runs/policy_speed").iterdir()
    tables = {path.name: list(csv.DictReader(path.read_text().splitlines())) for path in folder.iterdir()}
    assert set(tables) == {"policy_speed.csv", "convolution.csv", "policies.csv", "looking.csv", "profile.csv"}
    speed = tables["policy_speed.csv"]
    expected = {
        ("step", "2"), ("step", "3"), ("gradient", "2"), ("recomputing", "2"), ("gradient MB", "2"),
        ("recomputing MB", "2"),
    }  # fmt: skip
    if has_bfloat16(torch.device("cpu")):
        expected |= {("step bf16", "2"), ("step bf16", "3"), ("gradient bf16", "2"), ("gradient bf16 MB", "2")}
    assert {(row["what"], row["batch"]) for row in speed} == expected and len(speed) == len(expected)
    assert all(float(row[key]) > 0 for row in speed for key in ("naive", "naive_nhwc", "ours", "ratio"))
    assert all(float(row["conv_share"]) > 0 for row in speed if "MB" not in row["what"])
    assert [row["policy"] for row in tables["policies.csv"]] == sorted(p.stem for p in (CONF / "policy").iterdir())
    for row in tables["policies.csv"]:
        assert all(float(row[key]) > 0 for key in ("parameters", "step", "gradient"))
    assert len(tables["convolution.csv"]) == 6 and all(float(row["gflops"]) > 0 for row in tables["convolution.csv"])
    looking = [row["what"] for row in tables["looking.csv"]]
    assert looking == ["no places to look at", "nobody looks", "h, c kept", "everything kept"]
    assert all(float(row["ratio"]) > 0 for row in tables["looking.csv"])
    assert 0.5 < sum(float(row["share"]) for row in tables["profile.csv"]) <= 1.001


def test_both_sides_are_the_same_net():
    obs, resets, answers = torch.rand(2, 2, 3, 4, 4), torch.zeros(2, 2, dtype=torch.bool), []
    for subject in implementations(TINY).values():
        answers.append((*subject.unroll(obs, subject._start(2), resets), *subject.step(obs[0], subject._start(2))[0]))
    for name, answer in zip(implementations(TINY), answers, strict=True):
        close = {"rtol": 0.1, "atol": 0.01} if BFLOAT16 in name else {}
        torch.testing.assert_close(answer, answers[0], **close)


def test_the_plain_net_runs_in_both_layouts():
    """Or the comparison would be with the slower one alone."""
    for name, layout in (("naive", torch.contiguous_format), ("naive_nhwc", torch.channels_last)):
        subject, other = implementations(TINY)[name], {torch.contiguous_format, torch.channels_last}
        (other,) = other - {layout}
        h, _ = subject.step(subject._obs(1, 2)[0], subject._start(2))
        for tensor in (
            subject._obs(2, 2)[1],
            subject.policy.stack.cells[0].gates.weight,
            subject._start(2)[0][0],
            h[1],
        ):
            assert tensor.is_contiguous(memory_format=layout) and not tensor.is_contiguous(memory_format=other), name


def test_runs_count_their_steps_and_leave_no_gradients():
    for subject in implementations(TINY).values():
        assert subject.stepping(3)() == 3 * STEPS and subject.learning(2, 5)() == 10
        assert all(p.grad is None for p in subject.policy.parameters())


def test_convolutions_count_their_operations():
    """Two for each of 9 taps, 8 features in and 16 out at 16 cells; batches of 1 twice, batches of 2 once."""
    runs = convolutions(TINY)
    assert {name for name, _ in runs} == set(PASSES) and len(runs) == 6
    assert {run() for run in runs.values()} == {2 * 9 * 8 * 16 * 16 * 2}


def test_the_ratio_is_to_the_faster_plain_net_and_the_share_is_of_the_fastest_convolutions():
    speeds = {(STEP, 2): (10, 20, 30), (STEP, 3): (20, 10, 30), (GRADIENT, 2): (1, 2, 3)}
    names = ("naive", "naive_nhwc", "ours")
    named = {(*key, names[i]): speed for key, each in speeds.items() for i, speed in enumerate(each)}
    flops = hoisted_flops(TINY.drc())
    throughput = {
        ("forward", 1): 50 * flops.forward,
        ("forward", 2): 100 * flops.forward,
        ("input_gradient", 1): 10 * flops.input_gradient,
        ("weight_gradient", 1): 20 * flops.weight_gradient,
    }
    rows = speed_rows(named, throughput, TINY)
    assert [row[5] for row in rows] == [1.5, 1.5, 1.5]
    assert [row[6] for row in rows] == [0.3, 0.3, 0.48]  # 3 * (1 / 100 + 1 / 10 + 1 / 20)


def test_the_profile_has_the_longest_operators_first():
    torch.set_num_threads(2)
    rows = profile_rows(implementations(TINY)["ours"], TINY)
    shares = [share for *_, share in rows]
    assert shares == sorted(shares, reverse=True) and 0.5 < sum(shares) <= 1.001
    assert any("convolution" in name for name, *_ in rows) and torch.get_num_threads() == 2


@pytest.mark.slow
def test_peak_memory_is_that_of_the_pass_alone():
    """The plain net keeps every gate's pre-activation for its backward pass, and not hundreds of times that."""
    spec = PolicySpeedSpec([3, 16, 16], hidden_channels=16, num_layers=1, repeats_per_step=2, steps=16)
    kept = 16 * 2 * 16 * 256 * 4 * 16 * 4  # T * R * B * P * 4C floats
    assert kept < peak_memory(spec, "naive", 16) < 20 * kept
    assert peak_memory(spec, "recomputing", 16) < peak_memory(spec, "ours", 16)


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("timings=0", "policy_speed.timings: found 0, allowed: at least 1"),
        ("envs=[]", "policy_speed.envs: found [], allowed: one number or more"),
        ("batches=[0]", "policy_speed.batches: found [0], allowed: one number or more, each at least 1"),
        ("device=tpu", "policy_speed.device: found 'tpu', allowed: cpu | cuda"),
        ("obs_shape=[3,4]", "policy_speed.obs_shape: found (3, 4), allowed: (channels, height, width)"),
        ("num_layers=0", "policy_speed.num_layers: found 0, allowed: at least 1"),
    ],
)
def test_a_mistake_gets_one_line_and_exit_code_2_and_leaves_nothing(tmp_path, monkeypatch, capfd, override, line):
    monkeypatch.chdir(tmp_path)
    code, output, errors = run_here(monkeypatch, capfd, "task=policy_speed", f"policy_speed.{override}")
    assert code == 2 and errors.startswith(f"drc_lab: {line}") and errors.count("\n") == 1, errors
    assert output == "" and not list(tmp_path.iterdir())
