"""All statistics on one policy's thinking, in one call."""

from collections.abc import Sequence

import pandas as pd

from drc_lab.evaluation.measures.compute import compute_findings
from drc_lab.evaluation.measures.finding import Finding
from drc_lab.evaluation.measures.gains import gain_findings
from drc_lab.evaluation.measures.learned import learned_findings
from drc_lab.evaluation.measures.table import Row
from drc_lab.evaluation.stats.power import plan


def statistics_of(
    records: pd.DataFrame, rows: Sequence[Row], confidence: float = 0.95, power: float = 0.8
) -> list[Finding]:
    """Tests of all gains, the gains in solve rate that they could detect, and adaptive and learned thinking at equal
    compute.

    Args:
        records, rows: of one policy, see `drc_lab.evaluation.measures.table.table`.
        confidence: of all intervals, and 1 - alpha of the tests.
        power: see `drc_lab.evaluation.stats.power`.
    """
    tests, *after = gain_findings(rows, confidence, power)
    settings = sum(row.is_thinking for row in rows)
    before = [plan(rows[0].levels, settings, power, confidence)] if rows[0].criterion.is_rate else []
    return [tests, *before, *after, *compute_findings(records, confidence), *learned_findings(records, confidence)]
