"""What the exact solvers of all games answer with."""

UNSOLVABLE, LIMIT = -1, -2  # in place of a length


class SearchLimitReached(Exception):
    """The search stopped at its limit: the level is neither solved nor proven unsolvable."""
