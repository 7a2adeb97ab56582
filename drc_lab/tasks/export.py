"""task=export: writes a checkpoint's policy to files that run without drc_lab, and compares the variants.

python -m drc_lab task=export checkpoint=FILE
"""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from drc_lab.app.as_trained import as_trained
from drc_lab.app.checkpoints import checkpoint_file, exported_checkpoint
from drc_lab.app.device import PRECISION, set_precision, wants_bfloat16
from drc_lab.app.fits import check_fits
from drc_lab.app.held_out import held_out_env, size_key
from drc_lab.app.settings import Settings
from drc_lab.app.start import console, say, start
from drc_lab.arguments import errors_under, plain
from drc_lab.deploy.agreement import Row, logits_of, play, terminal_table, write_csv
from drc_lab.deploy.formats import Play, runner, write
from drc_lab.deploy.onnx_files import check_installed
from drc_lab.deploy.spec import FORMATS, ExportSpec
from drc_lab.deploy.step import Interface, PolicyStep
from drc_lab.envs.interface import BatchEnv
from drc_lab.errors import UserError
from drc_lab.evaluation.measures.criterion import RETURNS, SOLVED
from drc_lab.evaluation.play.evaluator import evaluate
from drc_lab.evaluation.play.thinking import Thinking
from drc_lab.evaluation.stats.intervals import mean_interval, rate_interval
from drc_lab.files import size_of, writable, written
from drc_lab.learning.checkpoints import load_policy
from drc_lab.models.policy import Policy, num_actions
from drc_lab.process import machine_name
from drc_lab.progress import tracked, working
from drc_lab.speed.timing import timed
from drc_lab.trust import trusted_by

ITSELF = "the policy"
CSV = "export.csv"
PLAYED_BOARDS, PLAYED_STEPS = 64, 20  # of the plays for calibrating int8 and comparing logits


def main(settings: Settings, folder: Path) -> None:
    """Writes the files and their description, compares them, prints the table and writes export.csv."""
    start(settings)
    config, spec, seed = settings.config, settings.export, settings.process.seed
    exported_checkpoint(config)
    if spec.format == "onnx":
        check_installed()
    policy, trained = load_policy(checkpoint_file(config), trusted_by(config))
    settings = as_trained(config, trained)
    set_precision(policy, config, torch.device("cpu"))
    if wants_bfloat16(policy):
        say(f"{PRECISION}: files compute in float32, which other runtimes have in common")
    levels = held_out_env(settings, settings.evaluation.report_split, "evaluation.report_split")
    check_fits(policy, num_actions(policy), levels, size_key(settings, "env"))
    paths, card = spec.paths(folder), spec.path(folder).with_suffix(".json")
    check_new([*paths.values(), card])
    with errors_under("export"):
        space = levels.single_observation_space
        step = PolicyStep(policy, str(space.dtype), spec.repeats, space.shape)
    with working("exporting"):
        write(spec.format, step, paths, lambda: play_some(settings, policy, "split", seed))  # not the report's levels
        with written(card) as part:
            part.write_text(json.dumps(describe(spec, step.interface, trained, paths), indent=2) + "\n")
    if spec.compare:
        runners = {variant: runner(spec.format, path, step.interface, policy) for variant, path in paths.items()}
        rows = compare(settings, spec, policy, levels, paths, runners, seed)
        write_csv(rows, folder / CSV)
        threads = torch.get_num_threads()
        caption = f"{machine_name()}, {threads} thread{'s' * (threads != 1)}"
        console.print(terminal_table(rows, settings.evaluation.confidence, CSV, caption))
    for name, path in [*paths.items(), ("description", card)]:
        console.print(f"{name:13}{path}", soft_wrap=True, highlight=False)


def check_new(paths: Sequence[Path]) -> None:
    """Checks that files can be written and that none of them is there already."""
    for path in paths:
        if path.exists():
            raise UserError(f"{path}: there is a file already; choose another export.file")
        writable(path)


def describe(spec: ExportSpec, step: Interface, trained: DictConfig, paths: dict[str, Path]) -> dict[str, Any]:
    """Returns what is needed to use the files without this project, such as the inputs and outputs of a step."""
    return {
        "format": spec.format,
        "files": {variant: path.name for variant, path in paths.items()},
        "step": asdict(step) | {"inputs": step.inputs, "outputs": step.outputs},
        "policy": plain(trained.policy),
        "env": plain(trained.env),
    }


def compare(
    settings: Settings,
    spec: ExportSpec,
    policy: Policy,
    levels: BatchEnv,
    paths: dict[str, Path],
    runners: dict[str, Policy],
    seed: int,
) -> list[Row]:
    """Returns a row for the policy itself, run as in evaluations during training, and one for each file."""
    confidence, runtimes = settings.evaluation.confidence, FORMATS[spec.format].variants
    weights = sum(x.numel() * x.element_size() for x in policy.state_dict().values())
    sizes = {ITSELF: weights} | {variant: size_of(path) for variant, path in paths.items()}
    policies = {ITSELF: policy} | runners
    obs, resets = play_some(settings, policy, "report_split", seed)
    wanted = logits_of(policy, obs, resets, spec.repeats)
    times = {batch: latencies(policies, obs, batch, spec) for batch in spec.batches}
    rows = []
    for name, runs in tracked(policies.items(), "evaluating"):
        episodes = evaluate(runs, levels, Thinking(repeats=spec.repeats), seed=seed)
        criterion, scores = (SOLVED, episodes.solved) if episodes.says_success else (RETURNS, episodes.returns)
        off = float((logits_of(runs, obs, resets, spec.repeats) - wanted).abs().max())
        milliseconds = {batch: each[name] for batch, each in times.items()}
        interval = (rate_interval if criterion.is_rate else mean_interval)(scores, confidence)
        means = (criterion, float(scores.mean()), *interval)
        runtime = runtimes.get(name, "drc_lab, float32")
        rows.append(Row(name, runtime, sizes[name] / 1e6, milliseconds, len(scores), *means, off))
    return rows


def play_some(settings: Settings, policy: Policy, key: str, seed: int) -> Play:
    """Plays a few steps on held-out levels; ``evaluation.<key>`` names their split."""
    split = getattr(settings.evaluation, key)
    return play(policy, held_out_env(settings, split, f"evaluation.{key}", num_envs=PLAYED_BOARDS), PLAYED_STEPS, seed)


def latencies(policies: dict[str, Policy], obs: torch.Tensor, batch: int, spec: ExportSpec) -> dict[str, float]:
    """Returns the median milliseconds that one step of ``batch`` boards takes for each policy.

    Args:
        policies: by name.
        obs: [T, B, ...], the boards to draw the batch from; repeated if there are fewer.
        batch: number of boards.
        spec: repeats and number of timings.
    """
    boards = obs.flatten(0, 1)
    boards = boards[torch.arange(batch) % len(boards)]  # (batch, ...)

    @torch.no_grad()
    def step(policy: Policy) -> int:
        policy(boards, None, spec.repeats)
        return 1

    with ExitStack() as stack:
        for policy in policies.values():
            stack.enter_context(policy.frozen())
        speeds = timed({name: partial(step, policy) for name, policy in policies.items()}, spec.timings)
    return {name: 1000 / steps_per_second for name, steps_per_second in speeds.items()}
