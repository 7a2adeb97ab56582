"""Output of evaluations: the report with its pictures, written to a folder, logged to MLflow and shown in the
terminal."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

import drc_lab
from drc_lab.app.record import run_tags
from drc_lab.app.start import console
from drc_lab.arguments import plain
from drc_lab.envs.interface import BatchEnv
from drc_lab.envs.vector import LevelVectorEnv
from drc_lab.evaluation.measures.failures import failures, with_pictures
from drc_lab.evaluation.measures.finding import Finding
from drc_lab.evaluation.measures.table import Row
from drc_lab.evaluation.pictures.side_by_side import best_passes, side_by_side, telling_levels
from drc_lab.evaluation.pictures.video import write_video
from drc_lab.evaluation.play.replay import can_replay
from drc_lab.evaluation.report import (
    About,
    answer,
    by_policy,
    finding_tables,
    summarise,
    terminal_tables,
    write_findings,
    write_report,
)
from drc_lab.evaluation.report_spec import ReportSpec
from drc_lab.process import machine_name
from drc_lab.progress import working
from drc_lab.studies.levels import count_levels
from drc_lab.studies.subjects import Subject
from drc_lab.tracking.run import Run


def report_on(
    title: str,
    subject: Subject,
    env: BatchEnv,
    rows: Sequence[Row],
    findings: Sequence[Finding],
    records: pd.DataFrame,
    folder: Path,
    run: Run,
) -> list[tuple[str, Path]]:
    """Writes the report of one policy, logs it, and prints its results.

    Returns:
        the files to look at, as pairs of a word and a path.
    """
    spec, confidence = subject.settings.report, subject.settings.evaluation.confidence
    with working("video of levels side by side"):
        video = write_side_by_side(spec, subject, env, records, folder)
    shown = failures(records, spec.failures)
    if shown and isinstance(env, LevelVectorEnv) and can_replay(env):
        with working(f"pictures of {len(shown)} failures"):
            shown = with_pictures(shown, subject.policy, env)
    unsolved = len(failures(records))
    about = About(confidence, facts(subject, rows[0].levels), shown, unsolved, video)
    paths = write_report(folder, title, rows, findings, records, about)
    return [*hand_over(rows, findings, about, paths, folder, run), *([("video", video)] if video else [])]


def report_on_several(
    title: str,
    subjects: Sequence[Subject],
    rows: Sequence[Row],
    findings: Sequence[Finding],
    records: pd.DataFrame,
    folder: Path,
    run: Run,
) -> list[tuple[str, Path]]:
    """Like `report_on` for several policies on the same levels, without videos and pictures of levels."""
    names = "; ".join(checkpoint_name(subject) for subject in subjects)
    about_first = facts(subjects[0], rows[0].levels)
    about = About(subjects[0].settings.evaluation.confidence, about_first | {"checkpoint": names})
    paths = write_report(folder, title, rows, findings, records, about)
    return hand_over(rows, findings, about, paths, folder, run)


def report_findings(
    title: str,
    subject: Subject,
    env: BatchEnv,
    sentences: Sequence[str],
    findings: Sequence[Finding],
    folder: Path,
    run: Run,
    **more: Any,
) -> list[tuple[str, Path]]:
    """Like `report_on` for findings without settings of thinking; ``sentences`` sum them up, ``more`` are further
    arguments of `About`."""
    about = About(subject.settings.evaluation.confidence, facts(subject, count_levels(env)), **more)
    paths = write_findings(folder, title, sentences, findings, about)
    for path in paths:
        run.log_artifact(path, None if path.parent == folder else path.parent.name)
    for sentence in sentences:
        console.print(sentence, markup=False, highlight=False)
    for shown in finding_tables(findings):
        console.print(shown, "")
    return [("report", folder / "report.html"), ("findings", folder / "findings")]


def hand_over(
    rows: Sequence[Row], findings: Sequence[Finding], about: About, paths: Sequence[Path], folder: Path, run: Run
) -> list[tuple[str, Path]]:
    """Logs the files of a report and prints its results; returns the files to look at, as pairs of a word and a
    path."""
    for path in [*paths, *([about.video] if about.video else [])]:
        run.log_artifact(path, None if path.parent == folder else path.parent.name)
    for sentence in answer(summarise(rows, about.confidence)):
        console.print(sentence, markup=False, highlight=False)
    tables = terminal_tables(rows, about.confidence) if len(by_policy(rows)) == 1 else []  # else too many
    for shown in ("", *tables, *finding_tables(findings)):
        console.print(shown, "")
    by_name = {path.name: path for path in paths}
    named = {"report": "report.html", "table": "thinking.csv", "plot": "thinking.png", "levels": "levels.parquet"}
    return [(word, by_name[name]) for word, name in named.items()]


def tell_where(shown: Sequence[tuple[str, str | Path]]) -> None:
    """Prints where results are: pairs of a word and a file, an address or a command."""
    for word, value in shown:
        console.print(f"{word:11}{value}", soft_wrap=True, highlight=False)


def write_side_by_side(
    spec: ReportSpec, subject: Subject, env: BatchEnv, records: pd.DataFrame, folder: Path
) -> Path | None:
    """Writes the video that ``report.video`` asks for and returns its path; None if no video is asked for, the env has
    no pictures, or there are no extra passes to show."""
    if spec.video is None or not isinstance(env, LevelVectorEnv) or not can_replay(env):
        return None
    passes = spec.video_passes or best_passes(records)
    if passes is None:
        return None
    levels = spec.video_levels or telling_levels(records, passes)
    write_video(side_by_side(subject.policy, env, levels, passes, spec.cell_size), folder / spec.video, spec.fps)
    return folder / spec.video


def facts(subject: Subject, levels: int) -> dict[str, str]:
    """Returns where results come from (command, checkpoint, env, ...), by name, as a report shows it."""
    config, tags = subject.config, run_tags(subject.config)
    env = ", ".join(f"{key}={value}" for key, value in plain(config.env).items() if key != "id" and value is not None)
    e = subject.settings.evaluation
    changed = "".join(f", {key}={value}" for key, value in (("board", e.board), ("env", e.env)) if value)
    return {
        "command": tags["command"],
        "checkpoint": checkpoint_name(subject),
        "env": f"{config.env.id} ({env})",
        "levels": f"{levels:,} of the {e.report_split} split, drawn by seed {e.level_seed}{changed}",
        "machine": f"{tags['host']}, {machine_name()}",
        "software": f"drc_lab {drc_lab.__version__}, torch {tags['torch']}",
        "written": f"{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}",
    }


def checkpoint_name(subject: Subject) -> str:
    """Describes a checkpoint: its name, seed, frames and a digest of its weights."""
    frames = f", {subject.frames:,} frames" if subject.frames else ""
    return f"{subject.name} (seed {subject.seed}{frames}, weights {subject.digest[:12]})"
