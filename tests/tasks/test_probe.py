"""task=probe, from a checkpoint to the files, MLflow and the terminal."""

import pandas as pd
import pytest
import torch
from checkpoints import checkpoint
from commands import run_here, store
from safetensors.numpy import load_file

from drc_lab.paths import AGENTS

AGENT = "checkpoint=agents:/sokoban-one-box"
SMALL = [AGENT, "threads=1", "folder=out", "probe.levels=60", "probe.passes=2", "probe.kernels=[1]"]


@pytest.fixture
def probe(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    return lambda *words: run_here(monkeypatch, capsys, "task=probe", *words)


@pytest.mark.slow
def test_an_agents_plan_is_read_from_its_cells_and_reported(probe, tmp_path):
    code, output, errors = probe(*SMALL)
    assert (code, errors) == (0, "")
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == {
        "findings",
        "plan.gif",
        "probes.safetensors",
        "recordings",
        "report.html",
        "tracking.jsonl",
    }
    best = pd.read_csv(out / "findings/probes.csv").set_index("label")
    approach = best.loc["agent_approach_direction"]
    assert approach["score"] > approach["observation"] + 0.05 and approach["score"] > approach["majority"] + 0.1
    assert {"box_push_direction", "next_box", "return_left"} < set(best.index)
    every = pd.read_csv(out / "findings/probes_everywhere.csv")
    reads = {f"0.{tick}.{what}" for tick in (0, 1) for what in "hc"}
    assert set(every["reads"].dropna()) == reads
    features = pd.read_csv(out / "findings/dictionary.csv")
    assert features["active"].is_monotonic_decreasing and (features["lift"] > 1.5).any()
    refined = pd.read_csv(out / "findings/plan_refinement.csv")
    assert refined["ticks"].unique().tolist() == [1, 2, 3, 4, 5, 6]  # two ticks a pass, two passes and the step
    probes = load_file(out / "probes.safetensors")
    assert probes["agent_approach_direction/0.1.c/1.weight"].shape == (5, 16)
    page = (out / "report.html").read_text()
    assert "What can be read from it?" in page and "task=probe" in page and page.count("<svg") >= 3
    assert "recordings: at most" in output and "labels and probe sizes can be read better" in output
    client, (experiment,) = store(tmp_path)
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.metrics["probe/agent_approach_direction"] == pytest.approx(approach["score"])
    assert {"report.html", "probes.safetensors"} <= {file.path for file in client.list_artifacts(run.info.run_id)}
    before = {path: path.stat().st_mtime_ns for path in (out / "recordings").rglob("*.safetensors")}
    first = (out / "findings/probes_everywhere.csv").read_bytes()
    code, _, errors = probe(*SMALL)  # goes on with what is recorded, and comes to the same digits
    assert (code, errors) == (0, "")
    assert {path: path.stat().st_mtime_ns for path in (out / "recordings").rglob("*.safetensors")} == before
    assert (out / "findings/probes_everywhere.csv").read_bytes() == first


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["probe.labels=[stop_cell]"], "probe.labels: found 'stop_cell', allowed: agent_approach_direction | "),
        (["probe.names=[5.0.h]"], "probe.names: found '5.0.h', allowed: encoding | head_input | "),
        (["probe.kernels=[2]"], "probe.kernels: found 2, allowed: odd numbers"),
        (["probe.levels=5"], "probe.levels: found 5, allowed: at least 20"),
        (["probe.dtype=int8"], "probe.dtype: found 'int8', allowed: float32 | float16"),
        (["checkpoint=[a.ckpt,b.ckpt]"], "checkpoint: "),
        (["probe.labels=[]"], "probe.labels: found [], allowed: at least one"),
        (["+evaluation.env.observation=rgb"], "observations"),
    ],
)
def test_a_mistake_gets_one_line_before_anything_is_written(probe, tmp_path, words, line):
    code, output, errors = probe(*SMALL, "tracking=[]", *words)
    assert (code, output, errors.count("\n")) == (2, "", 1), errors
    assert errors.startswith("drc_lab: ") and line in errors
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_plan_appears_in_training(probe, tmp_path):
    """Of a run with two checkpoints: an agent, and the net that it was before it had learned anything."""
    folder = tmp_path / "run/checkpoints"
    folder.mkdir(parents=True)
    trained = torch.load(AGENTS / "sokoban-one-box.ckpt", weights_only=True)
    torch.save(trained, folder / "late.ckpt")
    new = {key: 0.1 * torch.randn_like(weight) for key, weight in trained["state_dict"].items()}
    torch.save(trained | {"state_dict": new, "frames": 0}, folder / "early.ckpt")
    words = [word for word in SMALL if word != AGENT]
    more = ["probe.labels=[agent_approach_direction]", "probe.unsolved=true", "tracking=[]"]
    code, output, errors = probe(*words, "thinking.run=run", *more)
    assert (code, errors) == (0, "")
    table = pd.read_csv(tmp_path / "out/findings/emergence.csv").set_index("frames")
    assert table.index.tolist() == [0, 6_000_000]
    beyond = table["score"] - table["observation"]
    assert beyond[6_000_000] > 0.03 > beyond[0]
    assert table.loc[6_000_000, "solve_rate"] > 0.8 > 0.3 > table.loc[0, "solve_rate"]
    assert (table["gain_low"] <= table["gain"]).all() and "2 checkpoints, from 0 to 6,000,000 frames" in output


RICOCHET = ["env=ricochet", "env.height=4", "env.width=4", "env.max_optimal=3", "env.max_steps=8",
            "policy.num_layers=1", "policy.hidden_channels=4", "policy.proj_dim=8"]  # fmt: skip
TINY = ["threads=1", "folder=out", "tracking=[]", "probe.levels=40", "probe.unsolved=true", "probe.kernels=[1]"]


@pytest.mark.slow
@pytest.mark.parametrize("net", ["drc", "convlstm", "transformer"])
def test_nets_that_have_learned_nothing_are_probed_on_ricochet(probe, tmp_path, net):
    """Every recurrent policy and the other game, by its own names; nothing is claimed of a random net's plan."""
    sizes = RICOCHET[5:] + (["policy.num_heads=2"] if net == "transformer" else [])
    where = checkpoint(tmp_path / "a.ckpt", f"policy={net}", *RICOCHET[:5], *sizes)
    code, _, errors = probe(where, *TINY, "probe.passes=1", "probe.features=8", "probe.video_levels=1")
    assert (code, errors) == (0, "")
    every = pd.read_csv(tmp_path / "out/findings/probes_everywhere.csv")
    own = every[every["of"] == "policy"]
    assert {"departure_direction_A", "departure_direction_B", "stop_cell", "swept_cells", "next_robot"} <= set(
        own["label"]
    )
    whats = {reads.split(".")[2] for reads in own["reads"]}
    assert whats == ({"h"} if net == "transformer" else {"h", "c"})
    assert (tmp_path / "out/plan.gif").exists() == (net != "transformer")
    assert (tmp_path / "out/findings/dictionary.csv").exists() == (net != "transformer")


@pytest.mark.slow
def test_a_folder_is_not_gone_on_with_under_other_settings(probe, tmp_path):
    where = checkpoint(tmp_path / "a.ckpt", *RICOCHET)
    few = [*TINY, "probe.passes=0", "probe.features=0", "probe.video_levels=0"]
    assert probe(where, *few)[::2] == (0, "")
    code, _, errors = probe(where, *few, "+evaluation.env.max_steps=4")
    assert code == 2 and "holds a recording of other weights, levels or names" in errors and errors.count("\n") == 1


def test_a_picture_with_pixels_between_cells_is_refused(probe, tmp_path):
    where = checkpoint(tmp_path / "a.ckpt", *RICOCHET, "env.observation=rgb")
    code, _, errors = probe(where, *TINY)
    assert (code, errors) == (
        2,
        "drc_lab: env.observation: found 'rgb', allowed: planes, or rgb with one pixel a cell\n",
    )
    assert not (tmp_path / "out").exists()


def test_a_policy_without_ticks_has_nothing_to_read_by_itself(probe, tmp_path):
    where = checkpoint(tmp_path / "a.ckpt", *RICOCHET[:5], "policy=small_cnn")
    code, _, errors = probe(where, *TINY)
    assert code == 2 and errors.startswith("drc_lab: probe.names: found '*.*.h', allowed: encoding | head_input")
    assert errors.endswith("this policy has no ticks\n") and not (tmp_path / "out").exists()
