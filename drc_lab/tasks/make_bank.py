"""task=make_bank: a file of Ricochet boards by difficulty, for ``env.bank``."""

import tempfile
from contextlib import ExitStack
from pathlib import Path

from omegaconf import DictConfig

from drc_lab.app.checked import bank_plan
from drc_lab.app.start import console, start
from drc_lab.arguments import errors_under, from_mapping
from drc_lab.envs.ricochet.bank import Bank, save_bank
from drc_lab.envs.ricochet.collect import counts, make_bank
from drc_lab.envs.ricochet.generate import BoardGenerator
from drc_lab.errors import UserError
from drc_lab.progress import Line, display
from drc_lab.tables import FittedTable, table_of


def main(config: DictConfig, folder: Path) -> None:
    """Collects boards like those of ``config.env`` as ``config.bank`` says; ``folder``, the run's, stays empty."""
    path, spec, values = bank_plan(config)
    seed = start(config)
    generator = from_mapping(BoardGenerator, values, "env")
    try:  # before the work, not after it
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    with ExitStack() as shown, errors_under("env"):
        lines: dict[str, Line] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in lines:
                lines[what] = shown.enter_context(display.line(what, total, at_once=True))
            lines[what].update(completed=done)

        bank = make_bank(generator, spec, seed, report)
    save_bank(path, bank)
    console.print(bank_table(bank))
    console.print(f"bank {path}", soft_wrap=True)


def bank_table(bank: Bank) -> FittedTable:
    """Boards by optimal length and by how many robots have to move."""
    robots = range(1, bank.robots.shape[1] + 1)
    unknown = (bank.moved < 0).any()
    titles = ("optimal", "boards", *map(str, robots), *(["unknown"] if unknown else []))
    rows = []
    for optimal, moved in counts(bank).items():
        cells = [moved[r] for r in (*robots, *([-1] if unknown else []))]
        rows.append([f"{n:,}" for n in (optimal, moved.total(), *cells)])
    title = f"{len(bank):,} boards, by optimal length and robots that have to move"
    return table_of(title, titles, rows, None, words=[False] * len(titles))
