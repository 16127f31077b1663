"""The terminal as the commands write to it."""

from rich.console import Console
from rich.table import Table

_PIPE_COLUMNS = 400


def print_table(*titles: str, rows: list[tuple[str, ...]]) -> None:
    """Print a table; lines are broken to the width of a terminal, and not at all in a file or pipe."""
    table = Table(*titles, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_PIPE_COLUMNS)
    console.print(table)
