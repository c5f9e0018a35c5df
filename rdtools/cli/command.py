"""The entry points of all commands: signals, errors as one line, exit status, options that all have."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import signal
import sys
import traceback
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import typer

from rdtools import __version__
from rdtools.cli import options
from rdtools.core import log
from rdtools.core.errors import RdError, UsageError
from rdtools.core.flags import OptionGroup, flag

INTERRUPTED = 130
GIVEN, PLUGINS = "given", "plugins"

Command = Callable[..., None]
Groups = Sequence[type[OptionGroup]]


class NoInputError(Exception):
    """No FILE was given and stdin is a terminal: show the help instead of waiting for typed input."""


class _Stopped(BaseException):
    """A signal ended the command; a BaseException, so that no library takes it for a failure."""

    def __init__(self, status: int) -> None:
        self.status = status


def entry_point(
    name: str, command: Callable[..., None], plugins: Sequence[type[OptionGroup]] = ()
) -> Callable[[], None]:
    """Return the entry point `name` of `command`, whose parameters are groups of options."""
    app = typer_command(name, command, plugins)

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


def need_input(paths: Sequence[str]) -> Sequence[str]:
    """Return the FILES, none meaning stdin; never wait at a terminal for somebody to type records."""
    if not paths and sys.stdin is not None and sys.stdin.isatty():
        raise NoInputError
    return paths


def _stop(signum: int, frame: object) -> None:
    raise _Stopped(128 + signum)


def _complain(name: str, message: str, *, colon: bool = True) -> None:
    with contextlib.suppress(OSError, AttributeError):  # stderr may be closed
        print(f"{name}{':' if colon else ''} {log.one_line(message)}", file=sys.stderr, flush=True)


def _show_version(wanted: bool, command: str) -> None:
    print(f"{command} {__version__}")


@dataclass(frozen=True)
class EveryCommand(OptionGroup):
    """The options that every command has and no room needs to see."""

    heading: ClassVar[str] = "Every command"

    quiet: bool = flag("--quiet", default=False, help="Print only errors on stderr.")
    verbose: bool = flag("--verbose", "-v", default=False, help="Print more detail on stderr.")
    debug: bool = flag("--debug", default=False, help="Show the traceback of an error.")
    version: bool = flag("--version", default=False, act=_show_version, help="Print the version and exit.")


def groups_of(command: Callable[..., None]) -> dict[str, type[OptionGroup]]:
    """Return the groups of options that a command takes: parameter -> dataclass."""
    hints = typing.get_type_hints(command)
    return {
        name: hints[name] for name in inspect.signature(command).parameters if name not in (GIVEN, PLUGINS)
    }


def typer_command(
    name: str, command: Callable[..., None], plugins: Sequence[type[OptionGroup]] = ()
) -> typer.Typer:
    """Return the Typer application of `command`, whose parameters are groups of options.

    A parameter `given` gets the options that the command line gives. The groups of `plugins` follow the
    command's own; it gets their objects, in order, as the parameter `plugins`.
    """
    own = groups_of(command)
    groups = [*own.values(), *plugins, EveryCommand]

    @functools.wraps(command)
    def wrapper(context: typer.Context, **values: Any) -> None:
        log.configure(name, quiet=values["quiet"], verbose=values["verbose"])
        given = options.given_on(context)
        objects = options.objects_from(groups, values, given)
        arguments: dict[str, Any] = dict(zip(own, objects, strict=False))
        if GIVEN in inspect.signature(command).parameters:
            arguments[GIVEN] = given
        if plugins:
            arguments[PLUGINS] = objects[len(own) : -1]
        command(**arguments)

    keyword = inspect.Parameter.KEYWORD_ONLY
    context = inspect.Parameter("context", keyword, annotation=typer.Context)
    parameters = [context, *options.parameters_of(groups)]
    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(name, cls=options.grouped(groups))(wrapper)
    return app
