"""The way in and out of every command: shared flags, signals, errors as one line, exit status."""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import os
import signal
import sys
import traceback
import typing
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer

from rdtools import __version__
from rdtools.core import log
from rdtools.core.errors import RdError, UsageError

INTERRUPTED = 130


class NoInputError(Exception):
    """No FILE was given and stdin is a terminal: show the help instead of waiting for typed input."""


class _Stopped(BaseException):
    """A signal ended the command; a BaseException, so that no library takes it for a failure."""

    def __init__(self, status: int) -> None:
        self.status = status


def entry_point(name: str, command: Callable[..., None]) -> Callable[[], None]:
    """Return the entry point `name` of `command`, whose signature is its flags."""
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(name)(_with_shared_flags(name, command))

    def main() -> None:
        if hasattr(signal, "SIGPIPE"):
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends us as it ends any filter
        try:
            signal.signal(signal.SIGTERM, _stop)
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else nohup and & ignore it
                signal.signal(signal.SIGINT, _stop)
            # The commands of a pipe share the processors: threads that spin while they wait would take them
            # from each other (measured: several times slower with two commands on two processors).
            os.environ.setdefault("OMP_WAIT_POLICY", "passive")
            log.configure(name)
            with _tracebacks() if "--debug" in sys.argv else contextlib.nullcontext():
                app(prog_name=name)
        except NoInputError:
            with contextlib.redirect_stdout(sys.stderr):
                app(["--help"], prog_name=name, standalone_mode=False)
            sys.exit(UsageError.status)
        except RdError as error:
            _complain(name, str(error))
            if error.status == UsageError.status:
                _complain("Try", f"'{name} --help' for help.", colon=False)
            sys.exit(error.status)
        except _Stopped as stop:
            for number in (signal.SIGTERM, signal.SIGINT):  # once is enough
                signal.signal(number, signal.SIG_IGN)
            # Threads of torch and tokenizers may still be running: leave without waiting for them.
            _complain(name, "interrupted" if stop.status == INTERRUPTED else "terminated")
            os._exit(stop.status)
        except OSError as error:
            _complain(name, f"{error.filename or 'system'}: {error.strerror or error}")
            sys.exit(1)
        except Exception as error:
            _complain(name, f"internal error: {type(error).__name__}: {error} (--debug shows where)")
            sys.exit(1)
        finally:  # what is left is to take the interpreter down: a signal then ends it without a word
            for number in (signal.SIGTERM, signal.SIGINT):
                if signal.getsignal(number) is _stop:
                    signal.signal(number, signal.SIG_DFL)

    return main


@contextlib.contextmanager
def _tracebacks() -> Iterator[None]:
    """Print where an error was raised, on its way to those who turn it into a line and a status."""
    try:
        yield
    except NoInputError:
        raise
    except Exception:
        print(*map(log.printable, traceback.format_exc().splitlines()), sep="\n", file=sys.stderr)
        raise


def need_input(paths: list[str] | None) -> list[str]:
    """Return the FILES, none meaning stdin; never wait at a terminal for somebody to type records."""
    if not paths and sys.stdin is not None and sys.stdin.isatty():
        raise NoInputError
    return paths or []


def _stop(signum: int, frame: object) -> None:
    raise _Stopped(128 + signum)


def _complain(name: str, message: str, *, colon: bool = True) -> None:
    with contextlib.suppress(OSError, AttributeError):  # stderr may be closed
        print(f"{name}{':' if colon else ''} {log.one_line(message)}", file=sys.stderr, flush=True)


def _with_shared_flags(name: str, command: Callable[..., None]) -> Callable[..., None]:
    """Add to the flags of `command` those that every command has and none needs to see."""

    def show_version(wanted: bool) -> None:
        if wanted:
            print(f"{name} {__version__}")
            raise typer.Exit

    flags: dict[str, tuple[Any, Any]] = {
        "quiet": (
            Annotated[bool, typer.Option("--quiet", help="Print nothing on stderr but errors.")],
            False,
        ),
        "verbose": (
            Annotated[bool, typer.Option("--verbose", "-v", help="Print more detail on stderr.")],
            False,
        ),
        "debug": (Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")], False),
        "version": (
            Annotated[
                bool,
                typer.Option(
                    "--version", help="Print the version and exit.", callback=show_version, is_eager=True
                ),
            ],
            False,
        ),
    }

    @functools.wraps(command)
    def wrapper(**arguments: Any) -> None:
        quiet, verbose, _, _ = (arguments.pop(flag) for flag in flags)
        log.configure(name, quiet=quiet, verbose=verbose)
        for flag, value in arguments.items():
            if isinstance(value, float) and not math.isfinite(value):  # nan is below no limit and above none
                raise UsageError(f"--{flag.replace('_', '-')} {value}: a finite number is needed")
        command(**arguments)

    hints = typing.get_type_hints(command, include_extras=True)
    own = inspect.signature(command).parameters.values()
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [parameter.replace(annotation=hints[parameter.name], kind=keyword) for parameter in own]
    parameters += [
        inspect.Parameter(flag, keyword, default=default, annotation=annotation)
        for flag, (annotation, default) in flags.items()
    ]
    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return wrapper
