"""The outputs of an evaluation: tables in the terminal, CSV and Parquet files, a plot, and an HTML page."""

from drc_lab.evaluation.report.about import About
from drc_lab.evaluation.report.figures import plot
from drc_lab.evaluation.report.files import write_findings, write_report
from drc_lab.evaluation.report.summary import answer, by_policy, summarise
from drc_lab.evaluation.report.tables import TABLE, finding_tables, terminal_tables, write_csv

__all__ = [
    "TABLE",
    "About",
    "answer",
    "by_policy",
    "finding_tables",
    "plot",
    "summarise",
    "terminal_tables",
    "write_csv",
    "write_findings",
    "write_report",
]
