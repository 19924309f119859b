"""What commands print with: results on standard output, progress on standard error."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column

_DRAWN_A_SECOND: Final = 8


def result_console(*, no_color: bool = False) -> Console:
    """Make the console for results.

    Args:
        no_color: Whether to write without colours, on a terminal too.

    Returns:
        A console on standard output; foreign text in it is never read as markup.
    """
    return Console(no_color=no_color or None, highlight=False, markup=False, emoji=False)


def progress_on_terminal(*columns: ProgressColumn, no_color: bool = False) -> Progress:
    """Make a progress display.

    Args:
        columns: What stands in its line; a spinner and the task's description where there is none.
        no_color: Whether to draw without colours.

    Returns:
        A display on standard error that vanishes when it is done, and draws nothing where that is
        no terminal.
    """
    console = Console(stderr=True, no_color=no_color or None, highlight=False, markup=False)
    return Progress(
        *(columns or (SpinnerColumn(), _description())),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        expand=True,
        refresh_per_second=_DRAWN_A_SECOND,
        disable=not console.is_terminal,
    )


class Steps:
    """A progress bar over named steps of known weight.

    Args:
        progress: Where it is drawn.
        task: Its task there.
        steps: Each step's name and weight, in order.
    """

    def __init__(self, progress: Progress, task: TaskID, steps: Sequence[tuple[str, int]]) -> None:
        self._progress = progress
        self._task = task
        self._steps = steps
        self.go(steps[0][0])

    def go(self, name: str, note: str = "", share: float = 0.0) -> None:
        """Show where things are.

        Args:
            name: The step that is under way.
            note: A few words on it.
            share: How much of it is done, 0 to 1.
        """
        at = [step for step, _ in self._steps].index(name)
        before = sum(weight for _, weight in self._steps[:at])
        self._progress.update(
            self._task,
            completed=before + share * self._steps[at][1],
            description=f"{name}: {note}" if note else name,
        )


@contextmanager
def steps_on_terminal(
    steps: Sequence[tuple[str, int]], *, no_color: bool = False
) -> Iterator[Steps]:
    """Draw a progress bar over steps while a block runs.

    Args:
        steps: Each step's name and weight, in order, at least one.
        no_color: Whether to draw without colours.

    Yields:
        The bar, at the first step.
    """
    bar = BarColumn(bar_width=20)
    with progress_on_terminal(bar, _description(), no_color=no_color) as progress:
        task = progress.add_task("", total=sum(weight for _, weight in steps))
        yield Steps(progress, task, steps)


def _description() -> TextColumn:
    whole = Column(no_wrap=True, overflow="ellipsis", ratio=1)
    return TextColumn("{task.description}", markup=False, table_column=whole)
