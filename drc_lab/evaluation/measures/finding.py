"""A result as the terminal, CSV files, pictures and the HTML report show it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Finding:
    """One answer: a small table, what it says in words, and a picture where that helps.

    Args:
        name: of its CSV file, and of its place in a report: snake_case.
        title: a few words, or the question that it answers.
        text: a sentence or two on how to read it: what is counted, over what, by which definition.
        table: as it is shown, a row a line; shares are fractions of 1, missing values nan.
        draw: draws it.
        in_terminal: whether it is printed, and not only written.
    """

    name: str
    title: str
    text: str
    table: pd.DataFrame
    draw: "Callable[[Axes], None] | None" = None
    in_terminal: bool = True
