"""A process that has imported what is slow to import, and forks into any of our commands when asked.

Importing torch and sentence-transformers takes seconds, and tests start commands a hundred times. Here
`serve` imports once and forks for each call; the child gets the caller's arguments, folder, environment and
standard streams, runs the entry point that the installed command runs, and its status is the caller's.
As a script this file is such a caller: `warm.py SOCKET COMMAND ARGUMENT...` stands in for the command.
"""

import json
import os
import socket
import sys


def call(server, command, arguments, cwd, environment, streams, timeout=None):
    """Run a command in a fork of the server, with three file descriptors as streams; return its status."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        connection.connect(server)
        wish = json.dumps([command, list(arguments), str(cwd), dict(environment)]).encode()
        socket.send_fds(connection, [len(wish).to_bytes(8, "big")], streams)
        connection.sendall(wish)
        answer = connection.makefile("rb").read()
    return int(answer) if answer else 1


def serve(server):
    import signal

    import faiss  # noqa: F401
    import numba  # noqa: F401
    import sentence_transformers  # noqa: F401
    import torch  # noqa: F401
    import transformers

    # Names that transformers and torch look up late: what they import is imported here, once.
    for name in ("AutoModel", "AutoTokenizer", "AutoModelForSequenceClassification", "BertModel"):
        getattr(transformers, name)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(server)
    listener.listen(64)
    print("ready", flush=True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # keepers are nobody's to wait for
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            keep(connection)
        connection.close()


def keep(connection):
    """Fork the command, wait for it, and answer with its status."""
    import signal

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    head, streams, _, _ = socket.recv_fds(connection, 8, 3)
    size, wish = int.from_bytes(head, "big"), b""
    while len(wish) < size:
        wish += connection.recv(size - len(wish))
    child = os.fork()
    if child == 0:
        connection.close()
        become(*json.loads(wish), streams)
    for stream in streams:
        os.close(stream)
    _, status = os.waitpid(child, 0)
    connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def become(command, arguments, cwd, environment, streams):
    import importlib
    import io
    import traceback

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
