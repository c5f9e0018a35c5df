"""The five commands.

Each turns options into calls of its package; `command.py` handles errors and exit status.
"""

import signal
import sys

# Until the command has its own handler, Ctrl-C ends it without the traceback of an import.
_is_command = sys.argv[0].rpartition("/")[2].startswith("rd-")
if _is_command and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
