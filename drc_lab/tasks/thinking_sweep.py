"""task=thinking_sweep: trains, then asks on levels it has never seen whether more thinking helps the policy."""

import signal
from pathlib import Path

import torch
from omegaconf import DictConfig
from rich.progress import Progress

from drc_lab.envs.interface import BatchEnv
from drc_lab.evaluation.report import plot, terminal_tables, write_csv
from drc_lab.evaluation.thinking import RANDOM, Row, sweep, table
from drc_lab.files import written
from drc_lab.learning.checkpoints import load_policy
from drc_lab.signals import Stopped
from drc_lab.tasks.held_out import check_fits, evaluation_spec, held_out_env, size_key
from drc_lab.tasks.record import log_held_out
from drc_lab.tasks.resume import resume_command
from drc_lab.tasks.start import console
from drc_lab.tasks.train import fit, prepare, start_run, tell_finished
from drc_lab.tracking.run import Run


def main(config: DictConfig, folder: Path) -> None:
    """Trains, evaluates at each amount of thinking, prints the tables, writes thinking.csv and thinking.png."""
    training = prepare(config, folder)
    levels = held_out_env(config, evaluation_spec(config).report_split, "evaluation.report_split")
    actions = int(training.evaluation.env.single_action_space.n)
    check_fits(training.agent.policy, actions, levels, size_key(config))
    folder = training.beginning.folder
    csv_path, png_path = folder / "thinking.csv", folder / "thinking.png"
    if training.beginning.finished and csv_path.exists():
        tell_finished(training.beginning)
        return
    with start_run(config, training.beginning) as run:
        best = fit(training, run)
        if not training.trainer.is_global_zero:
            return
        log_held_out(run, "test", levels, training.agent.config)
        try:
            rows = think(config, best, levels, training.trainer.strategy.root_device)
        except KeyboardInterrupt as stop:
            by = getattr(stop, "by", signal.SIGINT)
            raise Stopped(by, f"Trained; the sweep begins anew with:  {resume_command(folder)}") from stop
        frames = training.agent.frames
        log_settings(rows, run, frames)
        final = [row for row in rows if row.optimal == "all" and row.amount == 0]
        run.log_metrics({f"final/{row.kind}_solve_rate": row.solve_rate for row in final}, frames)
        with written(png_path) as part:
            plot(rows, part)
        with written(csv_path) as part:  # the last: it tells that the sweep is whole
            write_csv(rows, part)
        for path in (csv_path, png_path):
            run.log_artifact(path)
    console.print(*terminal_tables(rows, evaluation_spec(config).confidence), sep="\n")
    for name, value in (("checkpoint", best), ("table", csv_path), ("plot", png_path), *run.shown):
        console.print(f"{name:11}{value}", soft_wrap=True)


def think(config: DictConfig, checkpoint: Path, levels: BatchEnv, device: torch.device) -> list[Row]:
    """The sweep of one checkpoint on held-out levels."""
    policy = load_policy(checkpoint)[0].to(device)
    e, settings = evaluation_spec(config), []
    repeats = e.repeats or range(1, 4 * policy.repeats_per_step + 1)
    with Progress(console=console, transient=True) as bar:
        todo = bar.add_task("thinking", total=len(e.first_passes) + len(repeats) + 1)
        for setting in sweep(policy, levels, e.first_passes, repeats, control=True, seed=config.seed):
            settings.append(setting)
            bar.advance(todo)
    return table(settings, e.confidence)


def log_settings(rows: list[Row], run: Run, frames: int) -> None:
    """A nested run for each amount of thinking, and in ``run`` a curve over amounts."""
    for row in (row for row in rows if row.optimal == "all"):
        name = RANDOM if row.kind == RANDOM else f"{row.kind}={row.amount}"
        metrics = {"solve_rate": row.solve_rate, "solve_rate_low": row.low, "solve_rate_high": row.high,
                   "length": row.mean_length, "return": row.mean_return}  # fmt: skip
        if row.kind != RANDOM:
            metrics |= {"gain": row.difference, "gain_low": row.difference_low, "gain_high": row.difference_high}
            run.log_metrics({f"thinking/{row.kind}_solve_rate": row.solve_rate}, step=row.amount)
        with run.child(name, {"kind": row.kind, "amount": row.amount, "levels": row.levels}) as child:
            child.log_metrics(metrics, frames)
