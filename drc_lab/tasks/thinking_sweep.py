"""task=thinking_sweep: trains, then asks on levels it has never seen whether more thinking helps the policy."""

import math
from pathlib import Path

import pandas as pd
import torch
from omegaconf import DictConfig

from drc_lab.envs.interface import BatchEnv
from drc_lab.evaluation.controls import CONTROLS
from drc_lab.evaluation.gains import sensitivity
from drc_lab.evaluation.report import TABLE
from drc_lab.evaluation.statistics import statistics_of
from drc_lab.evaluation.table import Row, table
from drc_lab.evaluation.thinking import FIRST_PASSES
from drc_lab.tasks.held_out import evaluation_spec
from drc_lab.tasks.laboratory import PARTS, Subject, lab_env, load_subject, measures_of, play_all, thinking_spec
from drc_lab.tasks.record import log_held_out
from drc_lab.tasks.reporting import report_on, report_spec
from drc_lab.tasks.resume import continuable
from drc_lab.tasks.start import console, say
from drc_lab.tasks.train import fit, prepare, start_run, tell_finished
from drc_lab.tracking.run import Run


def main(config: DictConfig, folder: Path) -> None:
    """Trains, evaluates at each amount of thinking, prints and writes the report."""
    training = prepare(config, folder)
    levels = lab_env(config, training.agent.policy)
    thinking_spec(config).settings(training.agent.policy, levels)  # a mistake shows before the training
    report_spec(config, levels)
    folder = training.beginning.folder
    if training.beginning.finished and (folder / TABLE).exists():
        tell_finished(training.beginning)
        return
    with start_run(config, training.beginning) as run:
        best = fit(training, run)
        if not training.trainer.is_global_zero:
            return
        log_held_out(run, "test", levels, training.agent.config)
        with continuable(folder, "Trained."):
            subject, records = think(config, best, levels, folder, training.trainer.strategy.root_device)
            measures = measures_of(subject, levels, records)
        confidence, power = evaluation_spec(config).confidence, thinking_spec(config).power
        rows, frames = table(records, confidence), training.agent.frames
        log_settings(rows, run, frames)
        plain = (FIRST_PASSES, 0)
        final = [row for row in rows if row.optimal == "all" and (row.is_control or (row.kind, row.amount) == plain)]
        run.log_metrics({f"final/{row.kind}_solve_rate": row.solve_rate for row in final}, frames)
        findings = [*statistics_of(records, rows, confidence, power), *measures]
        shown = report_on("Does more thinking help?", subject, levels, rows, findings, records, folder, run)
    say(sensitivity(rows, confidence, power))
    for name, value in (("checkpoint", best), *shown, *run.shown):
        console.print(f"{name:11}{value}", soft_wrap=True)


def think(
    config: DictConfig, checkpoint: Path, levels: BatchEnv, folder: Path, device: torch.device
) -> tuple[Subject, pd.DataFrame]:
    """The sweep of one checkpoint on held-out levels: its policy, and the records."""
    subject = load_subject(config, checkpoint, checkpoint.stem)
    settings = thinking_spec(config).settings(subject.policy.to(device), levels)
    return subject, play_all(subject, levels, settings, folder / PARTS)


def log_settings(rows: list[Row], run: Run, frames: int) -> None:
    """A nested run for each amount of thinking, and in ``run`` a curve over amounts."""
    for row in (row for row in rows if row.optimal == "all"):
        name = row.kind if row.kind in CONTROLS else f"{row.kind}={row.amount:g}"
        metrics = {"solve_rate": row.solve_rate, "solve_rate_low": row.low, "solve_rate_high": row.high,
                   "length": row.mean_length, "return": row.mean_return, "ticks": row.mean_ticks,
                   "gain": row.difference, "gain_low": row.difference_low, "gain_high": row.difference_high,
                   "helped": row.helped, "hurt": row.hurt}  # fmt: skip
        tests = {"p_value": row.p_value, "p_adjusted": row.p_adjusted}
        metrics |= {name: value for name, value in tests.items() if not math.isnan(value)}
        if row.kind not in CONTROLS and row.amount.is_integer():
            run.log_metrics({f"thinking/{row.kind}_solve_rate": row.solve_rate}, step=int(row.amount))
        with run.child(name, {"kind": row.kind, "amount": f"{row.amount:g}", "levels": row.levels}) as child:
            child.log_metrics(metrics, frames)
