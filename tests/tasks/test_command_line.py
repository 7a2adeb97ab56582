"""The command line as a user meets it: real processes, exit codes, one line for a mistake, nothing half-written."""

import csv
import gc
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from commands import TINY, command, curve, run, run_fresh, run_here, signal_at, store

from drc_lab.composing import import_task
from drc_lab.evaluation.kinds.registry import kind_named
from drc_lab.paths import CONF


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["policy.hiden_channels=3"], "policy.hiden_channels: no such key; closest: policy.hidden_channels"),
        (["polcy=drc"], "polcy: no such key; closest: policy"),
        (["env=chess"], "env: found 'chess', allowed: game | gym | ricochet | "),
        (["+experiment=nope"], "experiment: found 'nope', allowed: benchmark | boxoban | "),
        (
            ["task=dream"],
            "task: found 'dream', allowed: train | evaluate | thinking | thinking_sweep | probe | steer",
        ),
        (["env.height=0"], "env.height: found 0, allowed: 1 to 255"),
        (["env.num_robots=30"], "env.num_robots: found 30, allowed: 1 to 24"),
        (["env.id=drc_lab/Ricochet-v0"], "env.id: found 'drc_lab/Ricochet-v0', allowed: drc_lab/RicochetRobots-v0"),
        (["+env.boards=3"], "env.boards: found 3, allowed: no such key, but board"),
        (["policy.num_layers=many"], "policy.num_layers: found 'many', allowed: int"),
        (["algo.rollouts.minibatches=7"], "algo.rollouts.minibatches: found 7, allowed: a divisor of num_envs"),
        (["algo.loss.gamma=2"], "algo.loss.gamma: found 2, allowed: 0 to 1"),
        (["algo.optimizer._target_=torch.optim.Adm"], "algo.optimizer._target_: found 'torch.optim.Adm'"),
        (["resume=nowhere.ckpt"], "resume: found no file 'nowhere.ckpt'"),
        (["resume=null"], "resume: found None, allowed: auto | never | the path of a checkpoint"),
        (["checkpoints.keep_best=0"], "checkpoints.keep_best: found 0, allowed: at least 1"),
        (["checkpoints.every_minutes=-1"], "checkpoints.every_minutes: found -1, allowed: more than 0, or null"),
        (["evaluation.live_first_passes=[0]"], "evaluation.live_first_passes: found 0, allowed: at least 1"),
        (["callbacks.videos.suffix=.avi"], "callbacks.videos.suffix: found '.avi', allowed: .gif | .mp4"),
        (
            ["callbacks.nan_guard._target_=builtins.dict"],
            "callbacks.nan_guard._target_: found 'builtins.dict', allowed: a",
        ),
        (["folder=/proc/nowhere"], "folder: /proc/nowhere: No such file or directory"),
        (["trainer.accelerator=abacus"], "trainer.accelerator: found 'abacus', allowed: auto | cpu | gpu"),
        (["evaluation.split=exam"], "evaluation.split: found 'exam', allowed: train | valid | test"),
        (["evaluation.num_levels=0"], "evaluation.num_levels: found 0, allowed: at least 1"),
        (["task=thinking_sweep", "thinking.repeats=[0]"], "thinking.repeats: found 0, allowed: at least 1"),
        (["threads=0"], "threads: found 0"),
        (["seed=-1"], "seed: found -1, allowed: 0 to 2^32 - 1"),
        (["seed=abc"], "seed: found 'abc', allowed: int"),
        (["env.height=5.5"], "env.height: found 5.5, allowed: int"),
        (["env.min_optimal=40"], "env.min_optimal: found 40, allowed: less"),
        (["env=ricochet", "env.id=MountainCar-v0"], "env.id: found 'MountainCar-v0', allowed: drc_lab/RicochetRobots"),
        (["env.id=MountainCar-v0"], "policy.obs_shape: found [2], allowed: (channels, height, width)"),
        (["env=sokoban", "env.generator=magic"], "env.generator: found 'magic', allowed: rooms | reverse"),
        (["env=sokoban", "env.num_boxes=90"], "env.num_boxes: found 90, allowed: 1 to "),
        (["env=sokoban", "env.levels=nowhere"], "nowhere: no such file or folder; python -m drc_lab task=fetch_levels"),
        (["env=sokoban", "env.observation=smell"], "env.observation: found 'smell', allowed: rgb | planes"),
        (["env.style=gothic"], "env.style: found 'gothic', allowed: random | official"),
        (["env.bank=nowhere.npz"], "nowhere.npz"),
        (["env.curriculum={stages: [{num_robots: 9}]}"], "env.curriculum.stages[0].num_robots: found 9"),
        (["+evaluation.env.high=3"], "env.high: found 3, allowed: no such key"),
        (["+evaluation.env.split=test"], "evaluation.env.split: found 'test', allowed: no such key: evaluation.split"),
        (["+evaluation.env.hight=6"], "evaluation.env.hight: found 6, allowed: no such key, but height"),
        (
            ["+evaluation.env.observation=rgb"],
            "evaluation.env: found 'observations (3, 11, 11)', allowed: (8, 5, 5), which the policy reads",
        ),
        (["env.height=2", "env.width=2", "env.num_robots=1"], "evaluation.num_levels: found 1000, allowed: at most"),
        (["+env.num_envs=3"], "env.num_envs: found 3, allowed: no such key: the task sets it"),
        (["+env.autoreset=false"], "env.autoreset: found False, allowed: no such key: the task sets it"),
        (["env=3"], "env: found '3', allowed: game | gym | ricochet | "),
        (["policy=mlp", "policy.hiden_sizes=8"], "policy.hiden_sizes: no such key; closest: policy.hidden_sizes"),
        (
            ["policy=auto", "policy.smallest_board=20"],
            "policy.smallest_board: found 20, allowed: 1 to largest_board = 16",
        ),
        (
            ["policy=transformer", "policy.num_heads=5"],
            "policy.num_heads: found 5, allowed: a divisor of hidden_channels",
        ),
        (["policy.residual=layers"], "policy.residual: found 'layers', allowed: none, or top_to_bottom=true"),
        (["policy.head=wide"], "policy.head: found 'wide', allowed: flatten | "),
        (["policy=mlp", "policy.hidden_channels=8"], "policy.hidden_channels: no such key; closest: policy.hidden_"),
        (["task=fetch_levels", "data=generated"], "data: found 'generated', allowed: boxoban"),
        (["task=fetch_levels", "data.folder=null"], "data.folder: found None, allowed: text"),
        (["task=make_bank", "bank.path=null"], "bank.path: found None, allowed: the name of a new file"),
        (["task=make_bank", "seed=abc"], "seed: found 'abc', allowed: int"),
        (["task=make_bank", "env=ricochet_v0"], "env.layout: found 'v0', allowed: null"),
        (["env=sokoban", "+env.solutions=a.csv"], "env.solutions: found 'a.csv', allowed: null without levels"),
        (["task=env_speed", "speed.num_envs=0"], "speed.num_envs: found 0, allowed: at least 1"),
        (["task=thinking_sweep", "thinking.first_passes=3"], "thinking.first_passes: found 3, allowed: list[int]"),
        (["evaluation.every_frames=null"], "evaluation.every_frames: found None, allowed: int"),
        (["evaluation.report_split=exam"], "evaluation.report_split: found 'exam', allowed: train | valid | test"),
        (["algo.log_every_rollouts=0"], "algo.log_every_rollouts: found 0"),
        (["+trainer.accumulate_grad_batches=2"], "trainer.accumulate_grad_batches: found 2, allowed: 1"),
        (["policy._target_=torch.nn.Linear"], "policy._target_"),
        (["policy.head_init=zeros"], "policy.head_init: found 'zeros'"),
        (["algo.optimizer.lr=-1"], "algo.optimizer.lr: found -1, allowed: at least 0"),
        (["algo.schedule.end_factor=3"], "algo.schedule.end_factor: found 3, allowed: 0 to 1"),
        (["tracking.uri=mlruns"], "tracking.uri: found 'mlruns'"),
        (["tracking.uri=http://127.0.0.1:1"], "tracking.uri: found 'http://127.0.0.1:1'"),
        (["tracking.patience_seconds=-1"], "tracking.patience_seconds: found -1, allowed: at least 0"),
        (["tracking=csv", "tracking.uri=a"], "tracking.uri: no such key"),
        (["tracking=[mlflow,excel]"], "tracking: found 'excel', allowed: csv | mlflow | tensorboard"),
        (["task=sync"], "folder: found no tracking.jsonl in '"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_mistake_gets_one_line_and_exit_code_2_and_leaves_nothing(tmp_path, monkeypatch, capfd, overrides, line):
    """In this process, for speed; the next test does it for real."""
    monkeypatch.chdir(tmp_path)
    code, output, errors = run_here(monkeypatch, capfd, *overrides)
    assert code == 2, errors
    assert errors.count("\n") == 1 and errors.startswith("drc_lab: ") and line in errors
    assert output == "" and not list(tmp_path.iterdir())


def test_a_mistake_in_a_real_process(tmp_path):
    result = run_fresh(tmp_path, "env.height=0")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "drc_lab: env.height: found 0, allowed: 1 to 255\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("words", "code"), [("--help", 0), ("nonsense=1", 2)])
def test_help_and_a_bad_key_answer_quickly(tmp_path, words, code):
    """Neither waits for torch, Lightning or MLflow, which take seconds to import."""
    listed = [sys.executable, "-X", "importtime", *command(words)[1:]]
    shown = subprocess.run(listed, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    imported = set(re.findall(r"^import time:.*\| +(\w+)$", shown.stderr, re.MULTILINE))
    assert shown.returncode == code and "hydra" in imported and not imported & {"torch", "lightning", "mlflow"}


def test_help_names_the_groups_and_ways_to_start(tmp_path):
    result = run_fresh(tmp_path, "--help")
    assert result.returncode == 0
    for words in ("+experiment=thinking_sweep", "env: game, gym, ricochet, ricochet_v0", "hidden_channels: 32"):
        assert words in result.stdout


def test_only_the_first_import_of_a_task_hides_what_there_is_from_the_search_for_garbage():
    """A sweep's jobs in one process import it again, beside what the one before has left."""
    import_task("evaluate")
    hidden, left = gc.get_freeze_count(), [[number] for number in range(10)]
    import_task("evaluate")
    assert gc.isenabled() and gc.get_freeze_count() == hidden and left


def test_every_experiment_has_its_tiny_run():
    here = {
        "thinking_sweep",
        "ricochet_small",
        "benchmark",
        "env_speed",
        "search_speed",
        "policy_speed",
        "hpo_small",
        "probing",
        *WORLDS,
        *OF_STUDIES,
    }
    assert {path.stem for path in (CONF / "experiment").iterdir()} == here


@pytest.mark.slow
def test_the_thinking_sweep_leaves_its_table_plot_and_runs(tmp_path):
    result = run(tmp_path, "+experiment=thinking_sweep", *TINY, "name=mine")
    assert result.returncode == 0, result.stderr
    assert "Does more thinking help? 20 held-out levels" in result.stdout
    (folder,) = (tmp_path / "outputs/runs/thinking_sweep").iterdir()
    files = {"config.yaml", "tracking.jsonl", "thinking.csv", "thinking.png", "levels.parquet", "report.html",
             "side_by_side.gif", "checkpoints", "findings", "parts", "videos"}  # fmt: skip
    assert {p.name for p in folder.iterdir()} == files
    client, (experiment,) = store(tmp_path)
    assert experiment.name == "thinking_sweep"
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [r for r in runs if "mlflow.parentRunId" not in r.data.tags]
    children = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    rows = csv.DictReader((folder / "thinking.csv").read_text().splitlines())
    names = {
        row["kind"] if kind_named(row["kind"]).is_control else f"{row['kind']}={float(row['amount']):g}" for row in rows
    }
    assert names > {"first_passes=0", "first_passes=2", "repeats=1", "repeats=4", "noops=0", "adaptive=0.1", "random"}
    assert {r.info.run_name for r in children} == names and len(runs) == 1 + len(names)
    assert {r.info.status for r in runs} == {"FINISHED"}
    assert parent.info.run_name == "mine"
    assert (
        parent.data.params["policy.hidden_channels"] == "4" and parent.data.params["evaluation.report_split"] == "test"
    )
    folders = ("", "checkpoints", "findings")
    files = {f.path for folder in folders for f in client.list_artifacts(parent.info.run_id, folder)}
    assert files >= {"config.yaml", "thinking.csv", "thinking.png", "checkpoints/best.ckpt", "checkpoints/last.ckpt"}
    assert files >= {"report.html", "levels.parquet", "side_by_side.gif", "findings/gains.csv", "findings/gains.png"}
    history = client.get_metric_history(parent.info.run_id, "valid/solve_rate")
    assert [m.step for m in history] == [640, 1280, 1920]
    assert [m.step for m in client.get_metric_history(parent.info.run_id, "loss/total")] == list(range(320, 1921, 320))
    assert {m.step for m in client.get_metric_history(parent.info.run_id, "thinking/first_passes_solve_rate")} == {0, 2}
    explained = (Path(__file__).parents[2] / "docs/metrics.md").read_text()
    logged = {name for r in runs for name in r.data.metrics}
    assert {"lr", "loss/grad_norm", "best/solve_rate", "final/random_solve_rate"} <= logged
    assert not [name for name in logged if f"`{re.sub(r'_[0-9]+_', '_N_', name)}`" not in explained]
    by_name = {r.info.run_name: r.data for r in children}
    assert {"solve_rate", "gain", "gain_low", "gain_high"} <= set(by_name["repeats=3"].metrics)
    notes = {r.data.tags["mlflow.note.content"] for r in runs}
    assert len(notes) == len(runs)  # each says what it is
    own = next(r.info.run_id for r in children if r.info.run_name == "repeats=3")
    assert [m.step for m in client.get_metric_history(own, "solve_rate")] == [0]  # a bar in MLflow's charts
    assert by_name["repeats=3"].params["frames"] in ("640", "1280", "1920")
    assert by_name["first_passes=0"].metrics["gain"] == 0 and by_name["random"].params["kind"] == "random"
    weights = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    assert weights["frames"] == 1920 and weights["config"]["policy"]["hidden_channels"] == 4


@pytest.mark.slow
def test_ctrl_c_stops_with_a_checkpoint_and_the_printed_command_goes_on_exactly(tmp_path):
    """Weights and metric curves of a stopped and resumed run are those of one that was never stopped."""
    frames = "algo.rollouts.frames=19_200"
    whole = run(tmp_path, *TINY, frames, "root=whole")
    assert whole.returncode == 0, whole.stderr
    process = run_fresh(tmp_path, *TINY, frames, *signal_at(tmp_path, signal.SIGINT, 6000))
    errors = process.stderr
    assert process.returncode == 130, errors
    assert errors.count("\n") == 1 and "SIGINT after" in errors
    client, (experiment,) = store(tmp_path)
    (stopped,) = client.search_runs([experiment.experiment_id])
    assert stopped.info.status == "KILLED"
    assert "last.ckpt" in {os.path.basename(f.path) for f in client.list_artifacts(stopped.info.run_id, "checkpoints")}
    (last,) = tmp_path.glob("outputs/runs/*/*/checkpoints/last.ckpt")
    stopped_at = torch.load(last, weights_only=True)["frames"]
    assert stopped_at == 6016 and f"{stopped_at:,} frames" in errors
    words = shlex.split(re.search(r"Go on with:  (.*)", errors).group(1))
    resumed = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert (resumed.returncode, resumed.stderr) == (0, "")
    (first,) = tmp_path.glob("whole/runs/*/*/checkpoints/last.ckpt")
    second = max(tmp_path.glob("outputs/runs/*/*/checkpoints/last.ckpt"), key=os.path.getmtime)
    a, b = (torch.load(path, weights_only=True) for path in (first, second))
    assert a["frames"] == b["frames"] == 19_200 and a["global_step"] == b["global_step"]
    for name, weight in a["state_dict"].items():
        assert torch.equal(weight, b["state_dict"][name]), name
    best = [checkpoint["callbacks"]["HeldOutEvaluation"]["best_solve_rate"] for checkpoint in (a, b)]
    assert best[0] == best[1]
    lr = a["optimizer_states"][0]["param_groups"][0]["lr"]
    assert lr == pytest.approx(a["config"]["algo"]["optimizer"]["lr"] * a["config"]["algo"]["schedule"]["end_factor"])
    for metric in ("loss/total", "train/return", "valid/solve_rate", "best/solve_rate"):
        assert curve(tmp_path / "outputs", metric) == curve(tmp_path / "whole", metric), metric
    other = run(tmp_path, *TINY, frames, f"resume={last}", "algo.loss.gamma=0.5")
    assert other.returncode == 2 and "algo.loss.gamma: found 0.5, allowed: 0.97, as in the run" in other.stderr


@pytest.mark.slow
def test_sigterm_while_evaluating_marks_the_run_killed(tmp_path):
    overrides = ["+experiment=thinking_sweep", *TINY, "thinking.controls=[]"]
    process = run(tmp_path, *overrides, interruption=("drc_lab.evaluation.play.sweep:records_of", 1, signal.SIGTERM))
    errors = process.stderr
    assert process.returncode == 75 and errors.startswith("drc_lab: stopped.") and errors.count("\n") == 1, errors
    client, (experiment,) = store(tmp_path)
    runs = client.search_runs([experiment.experiment_id])
    assert [r.info.status for r in runs if "mlflow.parentRunId" not in r.data.tags] == ["KILLED"]


@pytest.mark.slow
def test_an_error_of_ours_marks_the_run_failed_and_exits_with_1(tmp_path):
    """A callback raises in the middle of the training."""
    (tmp_path / "broken.py").write_text(
        "import lightning\n\n\nclass Broken(lightning.Callback):\n"
        "    def on_train_batch_end(self, *args):\n        raise RuntimeError('broken')\n"
    )
    result = run(tmp_path, *TINY, "+callbacks.broken._target_=broken.Broken")
    assert result.returncode == 1 and "Traceback" in result.stderr and "RuntimeError: broken" in result.stderr
    client, (experiment,) = store(tmp_path)
    assert [r.info.status for r in client.search_runs([experiment.experiment_id])] == ["FAILED"]


def test_a_place_for_artifacts_that_is_taken_is_one_line_and_the_run_failed(tmp_path):
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs/artifacts").write_text("in the way")
    result = run(tmp_path, *TINY)
    assert result.returncode == 2 and result.stderr.count("\n") == 1 and "outputs/artifacts" in result.stderr
    client, (experiment,) = store(tmp_path)
    assert [r.info.status for r in client.search_runs([experiment.experiment_id])] == ["FAILED"]


BOXOBAN = "; 0\n" + "\n".join(["#" * 10, "#@$.     #", *["#$.      #"] * 3, *["#        #"] * 4, "#" * 10]) + "\n\n"
WORLDS = {
    "sokoban_small": ["env.curriculum.window=5", "env.curriculum.advance_at=0.01"],
    "boxoban": ["algo.rollouts.minibatches=2"],
    "ricochet_16x16": ["env.curriculum.window=5", "env.curriculum.advance_at=0.01"],
}


@pytest.mark.slow
@pytest.mark.parametrize("experiment", WORLDS)
def test_a_worlds_experiment_trains_and_logs_its_curriculum(tmp_path, experiment):
    for split in ("train", "valid"):
        folder = tmp_path / "data/boxoban/unfiltered" / split
        folder.mkdir(parents=True)
        (folder / "000.txt").write_text("".join(BOXOBAN.replace("0", str(i), 1) for i in range(20)))
    result = run(tmp_path, f"+experiment={experiment}", *TINY, *WORLDS[experiment])
    assert result.returncode == 0, result.stderr
    client, (study,) = store(tmp_path)
    (one,) = client.search_runs([study.experiment_id])
    assert one.info.status == "FINISHED" and study.name == experiment
    if experiment != "boxoban":
        stages = [m.value for m in client.get_metric_history(one.info.run_id, "curriculum/stage")]
        assert stages == sorted(stages) and stages[-1] > 0
        assert 0 <= one.data.metrics["curriculum/solve_rate"] <= 1


OF_STUDIES = {"sokoban_two_boxes": True, "think_when": True, "ricochet_6x6": False, "ricochet_8x8": False}  # taught?


@pytest.mark.slow
@pytest.mark.parametrize("experiment", OF_STUDIES)
def test_a_studys_experiment_trains_as_it_says(tmp_path, experiment):
    result = run(tmp_path, f"+experiment={experiment}", *TINY)
    assert result.returncode == 0, result.stderr
    client, (study,) = store(tmp_path)
    (one,) = client.search_runs([study.experiment_id])
    assert one.info.status == "FINISHED" and study.name == experiment
    assert ("loss/judged" in one.data.metrics) == OF_STUDIES[experiment]
    assert ("train/thinks" in one.data.metrics) == (experiment == "think_when")


@pytest.mark.slow
def test_probing_reads_the_agent_that_ships(tmp_path):
    few = ["probe.levels=40", "probe.passes=1", "probe.kernels=[1]", "probe.names=[0.1.c]", "probe.video_levels=1"]
    result = run(tmp_path, "+experiment=probing", *few)
    assert result.returncode == 0, result.stderr
    client, (study,) = store(tmp_path)
    (one,) = client.search_runs([study.experiment_id])
    assert one.info.status == "FINISHED" and study.name == "probing"
    assert one.data.metrics["probe/box_push_direction"] > 0.3


@pytest.mark.slow
def test_env_speed_prints_its_table(tmp_path):
    """Without the peers, which are an extra."""
    result = run(tmp_path, "+experiment=env_speed", "speed.peers=false", "speed.steps=50", "speed.timings=1")
    assert result.returncode == 0, result.stderr
    assert "Sokoban 10x10" in result.stdout and "steps/s" in result.stdout
    (table,) = tmp_path.glob("outputs/runs/env_speed/*/env_speed.csv")
    lines = table.read_text().splitlines()
    assert lines[0] == "env,steps_per_second,microseconds_a_call_with_one_board" and len(lines) == 3


@pytest.mark.slow
def test_search_speed_prints_its_tables(tmp_path):
    sizes = ["search_speed.seconds=0.01", "search_speed.boards=3", "search_speed.levels=2"]
    result = run(tmp_path, "+experiment=search_speed", *sizes)
    assert result.returncode == 0, result.stderr
    assert "Generators, one thread" in result.stdout and "Exact solvers, one thread" in result.stdout
    (folder,) = (tmp_path / "outputs/runs/search_speed").iterdir()
    solved = list(csv.reader((folder / "solvers.csv").read_text().splitlines()[1:]))
    assert sum(int(row[2]) for row in solved if row[0].startswith("Ricochet")) == 3
    assert [row[2] for row in solved if row[0].startswith("Sokoban")] == ["2", "2"]
    assert len((folder / "generators.csv").read_text().splitlines()) == 6


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides", [["env.id=MiniGrid-Empty-5x5-v0"], ["env.id=CartPole-v1", "policy=mlp"]], ids=lambda o: o[0]
)
def test_a_foreign_env_trains_by_its_id_alone(tmp_path, overrides):
    tiny = [word for word in TINY if "policy=mlp" not in overrides or not word.startswith("policy.")]
    result = run(tmp_path, *overrides, *tiny)
    assert result.returncode == 0, result.stderr
    client, (study,) = store(tmp_path)
    (one,) = client.search_runs([study.experiment_id])
    assert one.data.params["env.id"] == overrides[0].removeprefix("env.id=") and "valid/return" in one.data.metrics


@pytest.mark.slow
def test_the_benchmark_prints_and_logs_the_pace_and_shares_of_each_training(tmp_path):
    more = [
        "+benchmark.trainings.mine=['algo=ppo','algo.loss.target_kl=0.01']",
        "benchmark.only=[impala,mine]",
    ]
    result = run(tmp_path, "+experiment=benchmark", *TINY, *more)
    assert result.returncode == 0, result.stderr
    (path,) = tmp_path.glob("outputs/runs/benchmark/*/benchmark.csv")
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [row["training"] for row in rows] == ["impala", "mine"] and "frames/s" in result.stdout
    client, (experiment,) = store(tmp_path)
    logged = {one.info.run_name: one.data.metrics for one in client.search_runs([experiment.experiment_id])}
    for row in rows:
        metrics = logged[row["training"]]
        assert float(row["frames/s"]) == pytest.approx(metrics["time/frames_per_second"], rel=0.01)
        parts = sum(metrics[f"time/{part}_share"] for part in ("act", "forward", "backward"))
        assert 0 < parts < 1 and metrics["time/policy_share"] == pytest.approx(parts)
        rest = metrics["time/evaluation_share"] + metrics["time/other_share"]
        assert metrics["time/outside_share"] == pytest.approx(rest) == pytest.approx(1 - parts)
