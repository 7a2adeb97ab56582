"""policy.recurrent_precision on the command line: what a machine without the instructions says, and what is used."""

import pytest
from commands import run_here

TINY = ["task=train", "+experiment=thinking_sweep", "policy.hidden_channels=4", "algo.rollouts.num_envs=4",
        "algo.rollouts.num_steps=4", "algo.rollouts.frames=32", "evaluation.num_levels=4", "threads=1"]  # fmt: skip
ASKED = "policy.recurrent_precision=bfloat16"


@pytest.fixture
def here(tmp_path, monkeypatch, capfd):
    """Runs a command in this process, with or without the instructions."""
    monkeypatch.chdir(tmp_path)

    def call(*overrides, has):
        for place in ("drc_lab.models.drc_core", "drc_lab.app.device"):
            monkeypatch.setattr(f"{place}.has_bfloat16", lambda device: has)
        return run_here(monkeypatch, capfd, *overrides)

    return call


def test_a_training_is_refused_where_a_cpu_cannot(here, tmp_path):
    code, output, errors = here(*TINY, ASKED, has=False)
    assert code == 2 and output == "" and not list(tmp_path.iterdir())
    assert errors == (
        "drc_lab: policy.recurrent_precision: found 'bfloat16', allowed: float32, as this cpu has no instructions for "
        "bfloat16\n"
    )


@pytest.mark.slow
def test_a_trained_policy_is_evaluated_as_it_was_trained_or_as_the_command_says(here, tmp_path):
    code, _, errors = here(*TINY, ASKED, "folder=run", has=True)
    assert code == 0, errors
    evaluate = ["task=evaluate", "checkpoint=run/checkpoints/best.ckpt"]
    line = "this cpu has no instructions for bfloat16, so the policy computes in float32"
    for more, has, told in (
        ((), True, False),
        ((), False, True),
        (("policy.recurrent_precision=float32",), False, False),
    ):
        code, output, errors = here(*evaluate, *more, f"folder=evaluation{has}{told}", has=has)
        assert code == 0, errors
        assert (line in " ".join(output.split())) == told
    code, output, errors = here(
        "task=export",
        "checkpoint=run/checkpoints/best.ckpt",
        "export.format=state_dict",
        "export.compare=false",
        has=True,
    )
    assert code == 0, errors
    assert "policy.recurrent_precision: files compute in float32" in " ".join(output.split())
    code, _, errors = here(*evaluate, "policy.recurrent_precision=float16", has=True)
    assert code == 2 and errors.startswith("drc_lab: policy.recurrent_precision: found 'float16'")
