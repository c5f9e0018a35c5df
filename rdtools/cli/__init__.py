"""The five commands. Each turns its flags into calls of the rooms behind it; see door.py for exits."""
