"""`infgrand-dgl data`: its commands are the files here."""

from ...command import Group, find_commands

command = Group(
    "list, describe, import, split, prepare datasets", find_commands(__name__, __path__), place=9
)
