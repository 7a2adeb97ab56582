"""callbacks.probes: what is logged in training is what probes of that moment's weights say afterwards."""

import signal

import pytest
from commands import TINY, run, run_here, store
from trainings import left, same

from drc_lab.app.held_out import held_out_env
from drc_lab.app.settings import Settings
from drc_lab.interpretation.hooks import last_states
from drc_lab.interpretation.labels import find_labels
from drc_lab.interpretation.probes.emergence import at_checkpoint
from drc_lab.interpretation.probes.probing import OBSERVATION
from drc_lab.interpretation.probes.targets import targets
from drc_lab.interpretation.recorder import record, size_of
from drc_lab.interpretation.recording import Recording
from drc_lab.interpretation.spec import ProbeCurvesSpec
from drc_lab.learning.checkpoints import load_policy

LABELS = ["agent_approach_direction", "next_box"]
AGENT = [
    "+experiment=thinking_sweep", "task=train", "algo=impala", "checkpoint=agents:/sokoban-one-box", "folder=run",
    "algo.rollouts.frames=960", "algo.rollouts.num_envs=16", "algo.rollouts.num_steps=20", "evaluation.num_levels=60",
    "algo.rollouts.growing_frames=100", "threads=1", "callbacks.videos=null", "callbacks.probes.every_frames=640",
    "callbacks.probes.levels=60", f"callbacks.probes.labels=[{','.join(LABELS)}]",
]  # fmt: skip


@pytest.mark.slow
def test_curves_are_what_probes_of_the_same_weights_say(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    code, _, errors = run_here(monkeypatch, capsys, *AGENT)
    assert (code, errors) == (0, "")
    client, (experiment,) = store(tmp_path)
    (recorded,) = client.search_runs([experiment.experiment_id])
    policy, config = load_policy(tmp_path / "run/checkpoints/last.ckpt")
    env = held_out_env(Settings(config), "valid", num_envs=60, autoreset=False)
    height, width = size_of(env)
    about = {"game": config.env.id, "height": height, "width": width}
    list(record(policy, env, list(last_states(policy, "c").values()), 60, tmp_path / "recording", about))
    recording = Recording.read(tmp_path / "recording")
    wanted = targets(recording, find_labels(config.env.id, LABELS), recording.board)
    rows = at_checkpoint(960, recording, None, wanted, ProbeCurvesSpec(levels=60).probes())
    assert [row["label"] for row in rows] == LABELS
    for row in rows:
        history = client.get_metric_history(recorded.info.run_id, f"probe/{row['label']}")
        assert [point.step for point in history] == [640, 960]
        assert history[-1].value == row["score"]
        assert recorded.data.metrics[f"probe_observation/{row['label']}"] == row[OBSERVATION]
    assert rows[0]["score"] > rows[0][OBSERVATION]


@pytest.mark.slow
def test_a_training_that_stops_where_curves_are_due_has_all_their_points_in_the_end(tmp_path):
    """SIGTERM just before the first look; and SIGKILL just before the checkpoint that is written after it."""
    words = [
        *AGENT,
        "root=.",
        "tracking.system_metrics_seconds=null",
        "checkpoints.every_frames=320",
        "trainer.max_time=null",
    ]
    looks, saves = "drc_lab.interpretation.probes.live:ProbeCurves._log", "drc_lab.learning.checkpointing:Checkpoints"
    ends = {"whole": (), "stopped": (looks, 1, signal.SIGTERM), "killed": (f"{saves}._save_last", 2, signal.SIGKILL)}
    found = {}
    for name, end in ends.items():
        (folder := tmp_path / name).mkdir()
        if end:
            assert run(folder, *words, interruption=end).returncode != 0
        result = run(folder, *words)
        assert result.returncode == 0, result.stderr
        found[name] = left(folder)
    assert [step for step, _ in found["whole"]["metrics"]["probe/next_box"]] == [640, 960]
    for name in ("stopped", "killed"):
        same(found[name], found["whole"], name)


NEVER = "callbacks.probes.every_frames: found 640, allowed: null for a policy without cell or hidden states"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["policy=small_cnn"], NEVER),
        (["callbacks.probes.labels=[stop_cells]"], "callbacks.probes.labels: found 'stop_cells', allowed: "),
        (
            ["callbacks.probes.labels=[return_left]"],
            "callbacks.probes.labels: found ['return_left'], allowed: at least",
        ),
        (["callbacks.probes.levels=3"], "callbacks.probes.levels: found 3, allowed: at least 20"),
        (["callbacks.probes.every_frames=0"], "callbacks.probes.every_frames: found 0, allowed: at least 1, or null"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_what_cannot_be_is_said_before_anything_is_written(words, said, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    tiny = [word for word in TINY if words[0] != "policy=small_cnn" or not word.startswith("policy.")]
    code, _, errors = run_here(monkeypatch, capsys, "task=train", *tiny, "callbacks.probes.every_frames=640", *words)
    assert code == 2 and errors.startswith(f"drc_lab: {said}")
    assert not list(tmp_path.iterdir())
