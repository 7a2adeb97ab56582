"""task=saliency: which cells of the board a policy's decisions depend on.

python -m drc_lab task=saliency checkpoint=FILE
"""

from pathlib import Path

from drc_lab.app.record import evaluation_run
from drc_lab.app.settings import Settings
from drc_lab.app.start import start
from drc_lab.interpretation.saliency import bytes_of_level, saliency
from drc_lab.memory import check_memory
from drc_lab.progress import working
from drc_lab.studies.recordings import board_env
from drc_lab.studies.reporting import report_findings, tell_where
from drc_lab.studies.subjects import load_single


def main(settings: Settings, folder: Path) -> None:
    """Attributes the values and greedy actions on first observations to cells; prints and writes the report."""
    start(settings)
    subject, spec = load_single(settings), settings.saliency
    check_memory("saliency.levels", spec.levels, bytes_of_level(subject.policy))
    env = board_env(subject, spec.levels, "saliency.levels", at_once=spec.levels)
    confidence = subject.settings.evaluation.confidence
    with evaluation_run(settings, folder, subject.config) as run:
        with working("attributing", len(spec.methods) * len(spec.of) * subject.policy.repeats_per_step) as advance:
            findings = saliency(subject.policy, env, spec.methods, spec.of, spec.seed, confidence, advance)
        table = findings[0].table
        most = table.assign(times=table["share"] / table["cells"]).sort_values("times", ascending=False).iloc[0]
        sentence = (
            f"Most above its share of cells is what lies on {most['cell']} ({most['method']}, {most['of']}): "
            f"{most['share']:.0%} of the attribution on {most['cells']:.0%} of the cells."
        )
        shown = report_findings("What does it look at?", subject, env, [sentence], findings, folder, run)
    tell_where([*shown, *run.shown])
