"""task=thinking with several checkpoints: seeds of one experiment, all that a training kept, and what is refused."""

import pandas as pd
import pytest
import torch
from checkpoints import checkpoint
from commands import TINY, run_here, store

LEVELS = ["threads=1", "evaluation.num_levels=30", "env.max_steps=6", "env.max_optimal=1"]
SHORT = ["thinking.first_passes=[0,2]", "thinking.noops=[]", "thinking.repeats=[]", "thinking.cycle_passes=[]",
         "thinking.cycle_noops=[]", "thinking.adaptive=[0.01]", "thinking.controls=[random]"]  # fmt: skip


@pytest.fixture
def think(tmp_path, monkeypatch, capsys):
    """Runs the task in this process: exit code, what it printed, its complaint."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: run_here(monkeypatch, capsys, "task=thinking", *LEVELS, *SHORT, *words)


def seeds(folder, *overrides, more=()):
    """Checkpoints of three trainings, as the config names them."""
    for seed in range(3):
        own = [f"seed={seed}", f"folder=runs/{seed}", *overrides, *(more if seed == 2 else ())]
        checkpoint(folder / f"{seed}.ckpt", *own)
    return "checkpoint=[0.ckpt,1.ckpt,2.ckpt]"


@pytest.mark.slow
def test_seeds_are_played_on_the_same_levels_and_combined(think, tmp_path):
    code, output, errors = think(seeds(tmp_path), "folder=out")
    assert (code, errors) == (0, "")
    records = pd.read_parquet(tmp_path / "out/levels.parquet")
    assert records.groupby("checkpoint")["seed"].first().to_dict() == {"0.ckpt": 0, "1.ckpt": 1, "2.ckpt": 2}
    assert records.groupby(["checkpoint", "kind", "amount"])["level"].apply(tuple).nunique() == 1
    lines = pd.read_csv(tmp_path / "out/thinking.csv").query("optimal == 'all'")
    rates = pd.read_csv(tmp_path / "out/findings/seeds_solve_rate.csv")
    for _, rate in rates.dropna(subset="amount").iterrows():
        own = lines[(lines["kind"] == rate["kind"]) & (lines["amount"] == rate["amount"])]
        assert rate["mean"] == pytest.approx(own["solve_rate"].mean(), abs=1e-5)
        assert rate[["seed_0", "seed_1", "seed_2"]].tolist() == pytest.approx(own["solve_rate"].tolist(), abs=1e-5)
    assert "Does thinking help over seeds?" in output and "30 levels are too few to show any gain" in output
    client, (experiment,) = store(tmp_path)
    runs = client.search_runs([experiment.experiment_id])
    by_name = {run.info.run_name: run.data for run in runs if "mlflow.parentRunId" in run.data.tags}
    assert set(by_name) == {"first_passes=0", "first_passes=2", "adaptive=0.01", "random"}
    assert by_name["first_passes=2"].params["seeds"] == "3"
    wanted = rates.query("kind == 'first_passes' and amount == 2")["mean"].iloc[0]
    assert by_name["first_passes=2"].metrics["solve_rate"] == pytest.approx(wanted, abs=1e-5)


@pytest.mark.slow
def test_all_checkpoints_of_a_training_give_gains_over_frames_from_its_folder_and_from_mlflow(
    think, tmp_path, monkeypatch, capsys
):
    code, _, errors = run_here(monkeypatch, capsys, *TINY, "folder=trained", "callbacks.videos=null", *LEVELS)
    assert (code, errors) == (0, "")
    code, output, errors = think("thinking.run=trained", "folder=out")
    assert (code, errors) == (0, "") and "gain_2" in output
    kept = {torch.load(path, weights_only=True)["frames"] for path in (tmp_path / "trained/checkpoints").glob("*.ckpt")}
    found = pd.read_csv(tmp_path / "out/findings/over_frames.csv")
    assert set(found["frames"]) == kept == {640, 1280, 1920}
    client, experiments = store(tmp_path)
    by_study = {e.name: client.search_runs([e.experiment_id]) for e in experiments}
    (trained,), (sweep,) = by_study["train"], by_study["thinking"]
    history = client.get_metric_history(sweep.info.run_id, "over_frames/first_passes_2_gain")
    gains = found.query("kind == 'first_passes' and amount == 2")
    assert {m.step: m.value for m in history} == pytest.approx(dict(zip(gains["frames"], gains["gain"], strict=True)))
    code, _, errors = think(f"thinking.run=runs:/{trained.info.run_id}", "folder=again")
    assert (code, errors) == (0, "")
    columns = ["frames", "kind", "amount", "solve_rate", "gain", "low", "high"]
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "again/findings/over_frames.csv")[columns], found[columns])


@pytest.mark.slow
def test_what_is_no_set_of_seeds_is_refused_in_a_line(think, tmp_path):
    def complaint(*words):
        code, output, errors = think(*words)
        assert code == 2 and output == "" and errors.count("\n") == 1
        return errors

    several = seeds(tmp_path, more=["env.wall_density=0.3"])
    assert "checkpoint: found '2.ckpt, with env.wall_density=0.3', allowed: one with " in complaint(several)
    other = seeds(tmp_path, more=["policy.repeats_per_step=3"])
    assert "checkpoint: found '2.ckpt, with 3 ticks a step', allowed: one with 2" in complaint(other)
    assert "checkpoint: found '0.ckpt', allowed: other weights than those of 0.ckpt" in complaint(
        "checkpoint=[0.ckpt,0.ckpt]"
    )
    checkpoint(tmp_path / "later.ckpt", "seed=0", "folder=runs/0", "policy.proj_init=lecun")
    assert "thinking.run=runs/0" in complaint("checkpoint=[0.ckpt,later.ckpt]")
    assert "thinking.run: found 'nowhere'" in complaint("thinking.run=nowhere")
    assert "thinking.run: found 'runs', allowed: null, as checkpoint=0.ckpt" in complaint(
        "thinking.run=runs", "checkpoint=0.ckpt"
    )
    assert "checkpoint: found [], allowed" in complaint("checkpoint=[]")
    assert "thinking.power: found 1, allowed: above 0, up to 0.999" in complaint(
        "thinking.power=1", "checkpoint=0.ckpt"
    )
    same = "checkpoint=[0.ckpt,1.ckpt]"
    assert "thinking.worlds: found " in complaint(same, "+thinking.worlds.x={board: 7}")
    assert "report.failures: found -1, allowed: at least 0" in complaint(same, "report.failures=-1")
    assert "report.video: found '../x.gif', allowed: a name" in complaint("checkpoint=0.ckpt", "report.video=../x.gif")
    assert "trainer.accelerator: " in complaint("checkpoint=0.ckpt", "trainer.accelerator=abacus")
    assert "only task=thinking takes several" in complaint("task=play", several)
