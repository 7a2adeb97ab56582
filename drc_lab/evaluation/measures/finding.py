"""The form of a result that the terminal, CSV files, pictures and the HTML report all show."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Finding:
    """One result: a small table, an explanation in words, and optionally a picture.

    Args:
        name: of its CSV file and of its section in a report, in snake_case.
        title: a few words, or the question that it answers.
        text: a sentence or two on how to read it: what is counted, over what, and how it is defined.
        table: with the rows and columns that are shown; shares are fractions of 1, missing values are nan.
        draw: draws the picture; None for no picture.
        in_terminal: whether the terminal shows it too, besides the files.
    """

    name: str
    title: str
    text: str
    table: pd.DataFrame
    draw: "Callable[[Axes], None] | None" = None
    in_terminal: bool = True
