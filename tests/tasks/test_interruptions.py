"""A signal at a named moment, and the same command again: what is left is that of a training that was never stopped."""

import signal

import pytest
from commands import run
from trainings import left, same

TRAINING = [
    "env=ricochet_v1", "policy=mlp", "algo.optimizer.lr=1e-3",
    "algo.rollouts.frames=4096", "algo.rollouts.num_envs=16", "algo.rollouts.num_steps=4",
    "algo.log_every_rollouts=3", "evaluation.num_levels=40", "evaluation.every_frames=128", "evaluation.live_every=2",
    "evaluation.live_first_passes=[1]", "checkpoints.keep_best=12", "callbacks.videos.levels=1",
    "callbacks.videos.every_frames=256", "threads=1", "tracking.system_metrics_seconds=null", "folder=run", "root=.",
]  # fmt: skip
# Each start is interrupted once: right before the given call of a function, counted from the start.
EVALUATION, CHECKPOINTS = "drc_lab.learning.validation:HeldOutEvaluation", "drc_lab.learning.checkpointing:Checkpoints"
ON_THE_WAY = [
    ("drc_lab.tasks.train:log_levels", 1),  # the run has begun, the trainer has not
    (f"{CHECKPOINTS}.on_fit_start", 1),
    ("drc_lab.learning.rollouts:RolloutStream.collect", 1),  # before the first rollout
    ("drc_lab.learning.rollouts:RolloutStream._sample", 6),  # in a rollout
    ("drc_lab.learning.losses.base:ActorCriticLoss.__call__", 2),
    ("drc_lab.learning.agent:Agent.on_before_optimizer_step", 2),
    ("drc_lab.learning.validation:UntilStopped.seen", 3),  # in the greedy part of an evaluation
    ("drc_lab.learning.validation:UntilStopped.seen", 2),  # and again when it is made up for
    (f"{EVALUATION}.on_train_start", 1),  # and again before it is
    ("drc_lab.learning.validation:evaluate", 1),  # before the part with sampled actions
    ("drc_lab.learning.validation:FirstPasses", 1),  # before the one with first passes
    ("drc_lab.learning.validation:table", 1),  # all of it was played
    ("drc_lab.learning.agent:Agent.log_metrics", 2),
    (f"{CHECKPOINTS}._keep_best", 2),
    ("drc_lab.learning.videos:write_video", 1),
    ("drc_lab.learning.checkpointing:AtomicCheckpointIO.save_checkpoint", 1),
    ("drc_lab.files:_to_disk", 1),  # a checkpoint is written, and does not have its name yet
    ("drc_lab.files:_to_disk", 2),  # it has its name
    (f"{CHECKPOINTS}._link_best", 2),
    ("drc_lab.tracking.run:Run.log_checkpoint", 1),
    (f"{CHECKPOINTS}._save_last", 1),
    (f"{CHECKPOINTS}._remove_others", 2),
    ("drc_lab.tracking.journal:Journal.add", 15),
    ("drc_lab.tracking.to_mlflow:MLflowSink.send", 1),
]
AT_THE_END = [
    (f"{EVALUATION}.on_train_end", 1),
    (f"{CHECKPOINTS}.on_train_end", 1),
    ("drc_lab.tracking.run:Run.log_artifact", 1),
    ("drc_lab.tracking.run:finish", 1),
]


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """What a training leaves that is not interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    whole = run(folder, *TRAINING)
    assert whole.returncode == 0, whole.stderr
    return left(folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGKILL"])
def test_a_training_that_is_interrupted_at_each_kind_of_moment_leaves_what_one_does_that_never_was(
    tmp_path, reference, name
):
    number = signal.Signals[name]
    code = {"SIGINT": 130, "SIGKILL": -signal.SIGKILL}.get(name, 75)
    for place, call in [*ON_THE_WAY, *AT_THE_END]:
        interrupted = run(tmp_path, *TRAINING, interruption=(place, call, number))
        assert interrupted.returncode == code, (place, call, interrupted.stdout, interrupted.stderr)
        if name != "SIGKILL":
            assert "Go on with:  " in interrupted.stderr and interrupted.stderr.count("\n") == 1, (place, interrupted)
    rest = run(tmp_path, *TRAINING)
    assert rest.returncode == 0, rest.stderr
    same(left(tmp_path), reference, name)


ENDINGS = {  # in the evaluation that reaches the target, and where none is due
    "held-out": ["callbacks.early_stop.target=0.7"],
    "training": ["callbacks.early_stop.target=0.3", "callbacks.early_stop.monitor=train/solve_rate"],
}


@pytest.mark.slow
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGKILL])
def test_a_training_that_is_interrupted_where_it_ends_early_ends_there(tmp_path, ending, number):
    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
    words = [*TRAINING, *ENDINGS[ending]]
    whole = run(tmp_path / "whole", *words)
    assert whole.returncode == 0, whole.stderr
    reference = left(tmp_path / "whole")
    evaluations = len(reference["metrics"]["valid/solve_rate"])
    assert (reference["checkpoints"]["last.ckpt"]["frames"] % 128 == 0) == (ending == "held-out")
    for place, call in [(f"{EVALUATION}._play", evaluations), (f"{EVALUATION}.on_train_end", 1),
                        ("drc_lab.learning.videos:write_video", 1), (f"{CHECKPOINTS}.on_train_end", 1),
                        (f"{CHECKPOINTS}._save_last", 1), ("drc_lab.tracking.run:finish", 1)]:  # fmt: skip
        interrupted = run(tmp_path / "stopped", *words, interruption=(place, call, number))
        assert interrupted.returncode == (75 if number == signal.SIGUSR1 else -number), (place, interrupted)
    rest = run(tmp_path / "stopped", *words)
    assert rest.returncode == 0, rest.stderr
    same(left(tmp_path / "stopped"), reference, ending)
