"""task=thinking_sweep: trains, then asks on held-out levels whether more thinking helps the best checkpoint."""

from pathlib import Path

from omegaconf import DictConfig
from rich.progress import Progress

from drc_lab.evaluation.report import plot, terminal_tables, write_csv
from drc_lab.evaluation.thinking import FIRST_PASSES, RANDOM, Row, sweep, table
from drc_lab.learning.checkpoints import load_policy
from drc_lab.tasks.train import console, fit, held_out_env, prepare, start_run
from drc_lab.tracking.mlflow import Run


def main(config: DictConfig, folder: Path) -> None:
    """Trains, evaluates at each amount of thinking, prints the table, writes thinking.csv and thinking.png."""
    training = prepare(config, folder)
    with start_run(config, folder) as (run, logger):
        best = fit(training, run, logger)
        rows = think(config, best, run, training.agent.frames)
        csv_path, png_path = folder / "thinking.csv", folder / "thinking.png"
        write_csv(rows, csv_path)
        plot(rows, png_path)
        for path in (csv_path, png_path):
            run.log_artifact(path)
        summary = {f"final/{row.kind}_solve_rate": row.solve_rate for row in rows
                   if row.optimal == "all" and row.amount == 0}  # fmt: skip
        run.log_metrics(summary, training.agent.frames)
    console.print(*terminal_tables(rows, config.evaluation.confidence), sep="\n")
    for name, value in (("checkpoint", best), ("table", csv_path), ("plot", png_path), ("MLflow", "make ui")):
        console.print(f"{name:11}{value}", soft_wrap=True)


def think(config: DictConfig, checkpoint: Path, run: Run, frames: int) -> list[Row]:
    """The sweep of one checkpoint; every setting is a nested run."""
    policy, _ = load_policy(checkpoint)
    e = config.evaluation
    repeats = list(e.repeats or range(1, 4 * policy.repeats_per_step + 1))
    settings = []
    with Progress(console=console, transient=True) as bar:
        todo = bar.add_task("thinking", total=len(e.first_passes) + len(repeats) + 1)
        for setting in sweep(policy, held_out_env(config), list(e.first_passes), repeats, config.seed):
            settings.append(setting)
            bar.advance(todo)
    rows = table(settings, e.confidence)
    for row in (row for row in rows if row.optimal == "all"):
        name = RANDOM if row.kind == RANDOM else f"{row.kind}={row.amount}"
        with run.child(name, {"kind": row.kind, "amount": row.amount, "levels": row.levels}) as child:
            metrics = {"solve_rate": row.solve_rate, "solve_rate_low": row.low, "solve_rate_high": row.high,
                       "length": row.mean_length, "return": row.mean_return}  # fmt: skip
            if row.kind != RANDOM:
                metrics |= {"gain": row.difference, "gain_low": row.difference_low, "gain_high": row.difference_high}
                prefix = "extra_passes" if row.kind == FIRST_PASSES else "ticks"
                run.log_metrics({f"thinking/{prefix}_solve_rate": row.solve_rate}, step=row.amount)
            child.log_metrics(metrics, frames)
    return rows
