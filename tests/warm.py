"""A process that has imported what is slow to import, and forks into any of our commands when asked.

Importing torch and sentence-transformers takes seconds, and tests start commands a hundred times. Here
`serve` imports once and forks for each call; the child gets the caller's arguments, folder, environment and
standard streams, runs the entry point that the installed command runs, and its status is the caller's.
As a script this file is such a caller: `warm.py SOCKET COMMAND ARGUMENT...` stands in for the command.
"""

import contextlib
import json
import os
import socket
import sys

FILE_SIZE = "RDTOOLS_TESTS_FILE_SIZE"
"""The variable that says how large a command's files may grow, in bytes."""


def call(server, command, arguments, cwd, environment, streams, timeout=None) -> int:
    """Run a command in a fork of the server, with three file descriptors as streams; return its status."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        connection.connect(server)
        wish = json.dumps([command, list(arguments), str(cwd), dict(environment)]).encode()
        socket.send_fds(connection, [len(wish).to_bytes(8, "big")], streams)
        connection.sendall(wish)
        answer = connection.makefile("rb").read()
    return int(answer) if answer else 1


def import_all():
    """Import what the commands import, and load a model: the first takes transformers .3 s longer."""
    import gc
    import importlib
    import io
    import pkgutil
    import tempfile

    import faiss  # noqa: F401
    import numba  # noqa: F401
    import sentence_transformers  # noqa: F401
    import torch  # noqa: F401
    import transformers

    import rdtools

    with contextlib.suppress(ImportError):
        import matplotlib.backends.backend_agg
        import matplotlib.figure  # noqa: F401

    # Names that transformers and torch look up late: what they import is imported here, once.
    for name in ("AutoModel", "AutoTokenizer", "AutoModelForSequenceClassification", "BertModel"):
        getattr(transformers, name)
    for _, name, _ in pkgutil.walk_packages(rdtools.__path__, "rdtools."):
        importlib.import_module(name)
    config = transformers.BertConfig(
        vocab_size=8, hidden_size=2, num_hidden_layers=1, num_attention_heads=1, intermediate_size=2
    )
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):  # its bars
        transformers.BertModel(config).save_pretrained(folder)
        transformers.AutoModel.from_pretrained(folder)
    gc.freeze()


def serve(server):
    import select
    import signal

    import_all()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(f"{server}.new")
    listener.listen(64)
    ended, woken = socket.socketpair()
    woken.setblocking(False)
    signal.set_wakeup_fd(woken.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    callers: dict[int, socket.socket] = {}
    os.rename(f"{server}.new", server)  # what is there listens
    while True:
        ready, _, _ = select.select([listener, ended, *callers.values()], [], [])
        for child in [child for child, connection in callers.items() if connection in ready]:
            os.kill(child, signal.SIGKILL)  # its caller was killed
            os.waitpid(child, 0)
            callers.pop(child).close()
        if ended in ready:
            ended.recv(4096)
            answer(callers)
        if listener in ready:
            connection, _ = listener.accept()
            wish, streams = received(connection)
            child = os.fork()
            if child == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for mine in (listener, ended, woken, connection, *callers.values()):
                    mine.close()
                command, arguments, cwd, environment = json.loads(wish)
                become(command, arguments, cwd, environment, streams)
            callers[child] = connection
            for stream in streams:
                os.close(stream)


def received(connection):
    head, streams, _, _ = socket.recv_fds(connection, 8, 3)
    size, wish = int.from_bytes(head, "big"), b""
    while len(wish) < size:
        wish += connection.recv(size - len(wish))
    return wish, streams


def answer(callers):
    """Send each caller whose command has ended its status."""
    while callers:
        child, status = os.waitpid(-1, os.WNOHANG)
        if child == 0:
            return
        with callers.pop(child) as connection, contextlib.suppress(BrokenPipeError):
            connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())


def become(command, arguments, cwd, environment, streams):
    """Run a command, or a script, in this process, with three descriptors as streams; end with its status."""
    import importlib
    import io
    import resource
    import runpy
    import threading
    import traceback

    from tqdm import tqdm

    # Forks share the lock that tqdm made at first, and one that was killed may hold it for ever.
    tqdm.set_lock(threading.RLock())
    if size := environment.pop(FILE_SIZE, None):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(size), int(size)))

    for place, stream in enumerate(streams):
        os.dup2(stream, place)
        os.close(stream)
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, "r", closefd=False)))
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(io.FileIO(1, "w", closefd=False)), line_buffering=os.isatty(1)
    )
    sys.stderr = io.TextIOWrapper(
        io.BufferedWriter(io.FileIO(2, "w", closefd=False)), errors="backslashreplace", line_buffering=True
    )
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.argv = [command, *arguments]
    status = 0
    try:
        if command.endswith(".py"):
            sys.path.insert(0, os.path.dirname(command))
            runpy.run_path(command, run_name="__main__")
        else:
            importlib.import_module(f"rdtools.cli.{command.removeprefix('rd-')}").main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                status = status or 120
        os._exit(status)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        status = call(sys.argv[1], sys.argv[2], sys.argv[3:], os.getcwd(), os.environ, [0, 1, 2])
        sys.exit(status if status >= 0 else 128 - status)
