"""Errors that a user is meant to read: one line, and the exit status that goes with it."""

from __future__ import annotations


class RdError(Exception):
    """Ends a command with its message on one line of stderr and `status`."""

    status = 1


def first_line(error: BaseException) -> str:
    """Return the first line of what a library says of an error, or the error's kind if it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


class UsageError(RdError):
    """The command line itself is wrong: the message, a pointer to --help, status 2."""

    status = 2


class InputError(RdError):
    """A line of input is wrong: `SOURCE:LINE: problem (hint)`."""

    def __init__(self, source: str, line: int | None, problem: str, hint: str = "") -> None:
        place = source if line is None else f"{source}:{line}"
        super().__init__(f"{place}: {problem}" + (f" ({hint})" if hint else ""))


class BadLine(ValueError):  # noqa: N818 - it names the line, as InputError does the input
    """Raised by a parser for one bad line; the reader adds file and line."""

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint

    def for_query(self, query_id: str) -> RdError:
        """Return the error of a record that a format cannot hold, where no line can be named."""
        hint = f" ({self.hint})" if self.hint else ""
        return RdError(f'query "{query_id}": {self.problem}{hint}')
