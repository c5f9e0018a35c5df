"""The five commands.

Each turns options into calls of its package; `command.py` handles errors and exit status.
"""
