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
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar

import typer

from rdtools import __version__
from rdtools.cli import options
from rdtools.cli.completing import VARIABLE, print_candidates
from rdtools.core import log
from rdtools.core.atomic import clean_up
from rdtools.core.errors import RdError, UsageError
from rdtools.core.flags import OptionGroup, flag, options_of
from rdtools.core.manifest import check_manifest_path, open_ledger
from rdtools.core.output import open_output, writing

STOPS = {
    getattr(signal, name): word
    for name, word in (("SIGINT", "interrupted"), ("SIGTERM", "terminated"), ("SIGHUP", "hung up"))
    if hasattr(signal, name)
}
"""Signals that end a command with one line and leave nothing half."""
GIVEN, PLUGINS = "given", "plugins"


class NoInputError(Exception):
    """No FILE was given and stdin is a terminal: show the help instead of waiting for typed input."""


class _Stopped(BaseException):
    """A signal ended the command; a BaseException, so that no library takes it for a failure."""

    def __init__(self, number: signal.Signals) -> None:
        self.number = number


def _show_version(wanted: bool, command: str) -> None:
    print(f"{command} {__version__}")


@dataclass(frozen=True)
class EveryCommand(OptionGroup):
    """Options of every command; only the command line reads them."""

    heading: ClassVar[str] = "Every command"

    quiet: bool = flag("--quiet", default=False, help="Print only errors on stderr.")
    verbose: bool = flag("--verbose", "-v", default=False, help="Print more detail on stderr.")
    debug: bool = flag("--debug", default=False, help="Show the traceback of an error.")
    manifest: str | None = flag(
        "--manifest", default=None, metavar="FILE", parse=check_manifest_path,
        help="Write FILE as JSON: command line, versions, seed, hashes of inputs, models and outputs, time, "
        "hardware, and the manifests of the inputs (INPUT.manifest.json, or *.manifest.json beside FILE).",
    )  # fmt: skip
    version: bool = flag("--version", default=False, act=_show_version, help="Print the version and exit.")


class EntryPoint:
    """A command as the installed script calls it.

    `function` takes groups of options; its docstring is the manual. A parameter `given` gets the options that
    the command line gives, a parameter `plugins` the objects of the groups in `plugins`, in order. --help
    lists the groups in the order of the parameters, each group once. A command that `writes_folder` puts a
    manifest into it, be there --manifest or not.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., None],
        plugins: Sequence[type[OptionGroup]] = (),
        *,
        writes_folder: bool = False,
    ) -> None:
        hints = typing.get_type_hints(function)
        parameters = inspect.signature(function).parameters
        self.name = name
        self.manual = inspect.getdoc(function) or ""
        self._function = function
        self._own = {each: hints[each] for each in parameters if each not in (GIVEN, PLUGINS)}
        self._plugins = plugins
        self._writes_folder = writes_folder
        self._wants_given = GIVEN in parameters
        parts = [plugins if each == PLUGINS else [hints[each]] for each in parameters if each != GIVEN]
        self.groups: list[type[OptionGroup]] = [*dict.fromkeys(chain(*parts, [EveryCommand]))]

    def __call__(self) -> None:
        if hasattr(signal, "SIGPIPE"):
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends us as it ends any filter
        try:
            for number in STOPS:
                if number == signal.SIGTERM or signal.getsignal(number) is not signal.SIG_IGN:
                    signal.signal(number, _stop)  # nohup and & make a command ignore the others
            # The commands of a pipe share the processors: threads that spin while they wait would take them
            # from each other (measured: several times slower with two commands on two processors).
            os.environ.setdefault("OMP_WAIT_POLICY", "passive")
            # A lost connection would be reported with a stack of C++, beside our own line.
            os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
            log.configure(self.name)
            with _tracebacks() if "--debug" in sys.argv else contextlib.nullcontext():
                self._parse_and_run()
        except NoInputError:
            with contextlib.redirect_stdout(sys.stderr):
                self.app()(["--help"], prog_name=self.name, standalone_mode=False)
            sys.exit(UsageError.status)
        except RdError as error:
            _complain(self.name, str(error))
            if error.status == UsageError.status:
                _complain("Try", f"'{self.name} --help' for help.", colon=False)
            sys.exit(error.status)
        except _Stopped as stop:
            for number in STOPS:  # once is enough
                signal.signal(number, signal.SIG_IGN)
            clean_up()
            # Threads of torch and tokenizers may still be running: leave without waiting for them.
            _complain(self.name, STOPS[stop.number])
            os._exit(128 + stop.number)
        except OSError as error:
            _complain(self.name, f"{error.filename or 'system'}: {error.strerror or error}")
            sys.exit(1)
        except Exception as error:
            _complain(self.name, f"internal error: {type(error).__name__}: {error} (--debug shows where)")
            sys.exit(1)
        finally:  # only the interpreter's shutdown is left: a signal then ends it without a word
            _give_up_stdout()
            for number in STOPS:
                if signal.getsignal(number) is _stop:
                    signal.signal(number, signal.SIG_DFL)

    def _parse_and_run(self) -> None:
        if shell := os.environ.get(VARIABLE):
            sys.exit(print_candidates(self.groups, sys.argv[1:], shell))
        try:
            status = self.app()(prog_name=self.name, standalone_mode=False)
        except options.ParserError as error:
            raise options.usage_error(error) from None
        if sys.stdout is not None:
            with writing("<stdout>"):
                sys.stdout.flush()
        if os.environ.get("WORLD_SIZE", "1") != "1":
            # A thread of torch may outlive the group of processes; if it asks for the interpreter during its
            # shutdown, the process aborts, and torchrun calls a run failed that has ended well.
            sys.stderr.flush()
            os._exit(status or 0)
        sys.exit(status)

    def app(self) -> typer.Typer:
        """Return the Typer application whose parameters are all options of the groups."""
        keyword = inspect.Parameter.KEYWORD_ONLY
        context = inspect.Parameter("context", keyword, annotation=typer.Context)
        parameters = [context, *options.parameters_of(self.groups)]

        @functools.wraps(self._function)
        def run(context: typer.Context, **values: Any) -> None:
            self._run(values, options.given_on(context))

        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
        app.command(self.name, cls=options.grouped(self.groups))(run)
        return app

    def _run(self, values: dict[str, Any], given: options.Given) -> None:
        log.configure(self.name, quiet=values["quiet"], verbose=values["verbose"])
        objects = dict(zip(self.groups, options.objects_from(self.groups, values, given), strict=True))
        arguments: dict[str, Any] = {each: objects[group] for each, group in self._own.items()}
        if self._wants_given:
            arguments[GIVEN] = given
        if self._plugins:
            arguments[PLUGINS] = [objects[group] for group in self._plugins]
        path = objects[EveryCommand].manifest
        if path is None and not self._writes_folder:
            self._function(**arguments)
            return
        with open_ledger(self.name, sys.argv[1:], _seed_of(objects.values())) as ledger:
            self._function(**arguments)
        if places := ledger.places(path):
            import json

            text = json.dumps(ledger.manifest(places), indent=2, ensure_ascii=False) + "\n"
            for place in places:
                with open_output(str(place)) as out:
                    out.write(text.encode())


def _give_up_stdout() -> None:
    """Throw away what stdout did not take: the interpreter would try again, and complain in its own words."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), sys.stdout.fileno())


def _seed_of(groups: Iterable[OptionGroup]) -> int | None:
    """Return the value of --seed, None if the command has no such option."""
    seeds = (
        getattr(group, option.field)
        for group in groups
        for option in options_of(type(group))
        if option.flag.title == "--seed"
    )
    return next(seeds, None)


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
    raise _Stopped(signal.Signals(signum))


def _complain(name: str, message: str, *, colon: bool = True) -> None:
    words = log.last_words(message)
    if words is None:
        return
    with contextlib.suppress(OSError, AttributeError):  # stderr may be closed
        print(f"{name}{':' if colon else ''} {log.one_line(words)}", file=sys.stderr, flush=True)
