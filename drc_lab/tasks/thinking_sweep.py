"""task=thinking_sweep: trains, then asks on levels it has never seen whether more thinking helps the policy."""

import signal
from pathlib import Path

import torch
from omegaconf import DictConfig

from drc_lab.envs.interface import BatchEnv
from drc_lab.evaluation.controls import CONTROLS
from drc_lab.evaluation.report import plot, terminal_tables, write_csv
from drc_lab.evaluation.table import Row, table
from drc_lab.files import written
from drc_lab.signals import Stopped
from drc_lab.tasks.held_out import evaluation_spec
from drc_lab.tasks.laboratory import PARTS, lab_env, load_subject, play_all, thinking_spec
from drc_lab.tasks.record import log_held_out
from drc_lab.tasks.resume import resume_command
from drc_lab.tasks.start import console
from drc_lab.tasks.train import fit, prepare, start_run, tell_finished
from drc_lab.tracking.run import Run


def main(config: DictConfig, folder: Path) -> None:
    """Trains, evaluates at each amount of thinking, prints the tables, writes thinking.csv and thinking.png."""
    training = prepare(config, folder)
    levels = lab_env(config, training.agent.policy)
    thinking_spec(config).settings(training.agent.policy, levels)  # a mistake shows before the training
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
            rows = think(config, best, levels, folder, training.trainer.strategy.root_device)
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


def think(config: DictConfig, checkpoint: Path, levels: BatchEnv, folder: Path, device: torch.device) -> list[Row]:
    """The sweep of one checkpoint on held-out levels."""
    subject = load_subject(config, checkpoint, checkpoint.stem)
    settings = thinking_spec(config).settings(subject.policy.to(device), levels)
    return table(play_all(subject, levels, settings, folder / PARTS), evaluation_spec(config).confidence)


def log_settings(rows: list[Row], run: Run, frames: int) -> None:
    """A nested run for each amount of thinking, and in ``run`` a curve over amounts."""
    for row in (row for row in rows if row.optimal == "all"):
        name = row.kind if row.kind in CONTROLS else f"{row.kind}={row.amount:g}"
        metrics = {"solve_rate": row.solve_rate, "solve_rate_low": row.low, "solve_rate_high": row.high,
                   "length": row.mean_length, "return": row.mean_return, "ticks": row.mean_ticks,
                   "gain": row.difference, "gain_low": row.difference_low,
                   "gain_high": row.difference_high}  # fmt: skip
        if row.kind not in CONTROLS:
            run.log_metrics({f"thinking/{row.kind}_solve_rate": row.solve_rate}, step=int(row.amount))
        with run.child(name, {"kind": row.kind, "amount": f"{row.amount:g}", "levels": row.levels}) as child:
            child.log_metrics(metrics, frames)
