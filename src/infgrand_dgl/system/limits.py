"""What a job may still take of memory, where that is less than the machine has: groups and limits.

A batch system or a container limits a control group: the process's own or any above it, of version
1 or 2, whose files need not lie where the process's path says (namespaces, partial mounts).
"""

import os
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

ROOTS = {"cgroup2": ("", "unified"), "cgroup": ("memory",)}  # where /sys/fs/cgroup has them
FILES = {
    "cgroup2": (("memory.max", "memory.high"), "memory.current", "inactive_file"),
    "cgroup": (("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file"),
}


def free_in_groups(process: Path = Path("/proc/self"), root: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that the tightest of the process's control groups leaves; 2⁶³ where none limits."""
    return min((_left(kind, folder) for kind, folder in _groups(process, root)), default=1 << 63)


def free_by_rlimits(statm: Path = Path("/proc/self/statm")) -> int:
    """Bytes that `ulimit` leaves of address space, data and resident memory; 2⁶³ without one."""
    try:
        pages = [int(number) for number in statm.read_text().split()]
    except OSError:
        return 1 << 63
    size, resident, data = (pages[k] * os.sysconf("SC_PAGE_SIZE") for k in (0, 1, 5))
    used = {resource.RLIMIT_AS: size, resource.RLIMIT_DATA: data, resource.RLIMIT_RSS: resident}
    soft = {limit: resource.getrlimit(limit)[0] for limit in used}
    left = [soft[limit] - used[limit] for limit in used if soft[limit] != resource.RLIM_INFINITY]
    return max(0, min(left, default=1 << 63))


def _groups(process: Path, root: Path) -> Iterator[tuple[str, Path]]:
    """Kind and folder of each group that the process may be in; not all need exist."""
    mounts = list(_mounts(process, root))
    yield from ((kind, folder) for kind, folder, _ in mounts)
    for line in _lines(process / "cgroup"):
        _, controllers, path = line.split(":", 2)
        kind = "cgroup" if "memory" in controllers.split(",") else "cgroup2"
        if kind == "cgroup" or not controllers:
            for mounted, folder, at in mounts:
                if mounted == kind:
                    yield from ((kind, group) for group in _branch(folder, at, path))


def _mounts(process: Path, root: Path) -> Iterator[tuple[str, Path, str]]:
    """Kind, folder, and which group the folder is, of the hierarchies that are there."""
    for kind, names in ROOTS.items():
        yield from ((kind, root / name, "/") for name in names)
    for line in _lines(process / "mountinfo"):
        fields, _, described = line.partition(" - ")
        kind, _, options = described.split(" ", 2)
        at, folder = fields.split(" ")[3:5]
        if kind == "cgroup2" or (kind == "cgroup" and "memory" in options.split(",")):
            yield kind, Path(folder), at


def _branch(folder: Path, at: str, path: str) -> Iterator[Path]:
    """The group at `path` and those above it, in a hierarchy whose group `at` is mounted."""
    group = PurePosixPath(path)
    if ".." in group.parts:  # outside of this namespace
        group = PurePosixPath("/")
    inside = group.relative_to(at if group.is_relative_to(at) else "/")
    yield from (folder / part for part in (inside, *inside.parents))


def _left(kind: str, group: Path) -> int:
    limits, used, cache = FILES[kind]
    stat = dict(line.split(" ", 1) for line in _lines(group / "memory.stat") if " " in line)
    given = [text for name in limits for text in _lines(group / name)]
    if kind == "cgroup":  # of groups above that are not to be seen
        given.append(stat.get("hierarchical_memory_limit", ""))
    bounds = [int(text) for text in given if text.isdecimal()]  # others say "max"
    if not bounds:
        return 1 << 63
    taken = sum(int(text) for text in _lines(group / used))
    return max(0, min(bounds) - max(0, taken - int(stat.get(cache, 0))))


def _lines(path: Path) -> list[str]:
    with suppress(OSError):
        return path.read_text().splitlines()
    return []
