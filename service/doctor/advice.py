"""Advice: the steps that mend what the checks find, as commands for the shell in which the service is started.

In the image a path or a setting is changed on the host, so there the step is described.
"""

from __future__ import annotations

import errno
import os
import shlex
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from service.commands import command
from service.container import ROOT, Identity, is_image
from service.doctor.finding import Advice
from service.inbox.mounts import mount_point_of
from service.raw_settings import PREFIX

_OWNER_MAY_WORK = stat.S_IRWXU


def our_user() -> Identity:
    """The user and group of this process."""
    return Identity(os.geteuid(), os.getegid())


def shell(hint: str, *words: str | Path, as_root: bool = False) -> Advice:
    """A command on files, or on the machine; ``as_root``: only root may do it."""
    return _script(hint, [words], as_root=as_root)


def set_setting(name: str, value: object) -> Advice:
    """Give a setting another value."""
    variable = f"{PREFIX}{name.upper()}"
    if is_image():
        return Advice(f"write {variable}={value} into .env beside docker-compose.yml, then: docker compose up -d")
    return Advice(f"set {variable}={value}, in the environment or in service.toml", f"export {variable}={value}")


def start() -> Advice:
    """Start the watcher."""
    return Advice("start it", "docker compose up -d" if is_image() else command("watch"))


def decide_again(store: Path, listed: Sequence[Path]) -> Advice:
    """Where the store of decisions is damaged: move it away, and make those again that are ``listed``."""
    hint = "restore it from a backup; or move it away, and make the decisions that the newest set followed again"
    parts = [path for end in ("", "-wal", "-shm") if (path := store.with_name(store.name + end)).exists()]
    moved = _script(hint, [("mv", path, path.with_name(f"{path.name}.damaged")) for path in parts])
    if is_image():
        return moved
    again = [command("decisions", "import", shlex.quote(str(path))) for path in listed]
    return Advice(hint, " && ".join([moved.command, *again]))


def rebuild_register(register: Path) -> Advice:
    """Where the register has lost files: move it away, and rebuild it from the newest set."""
    hint = "stop the service, and restore a newer backup of the state; or rebuild the register from the newest set"
    moved = shell(hint, "mv", register, register.with_name(f"{register.name}.damaged"))
    return moved if is_image() else Advice(hint, f"{moved.command} && {command('adopt')}")


def mend(error: OSError, path: Path, ours: Iterable[Path] = ()) -> Advice:
    """What to do where an attempt to use ``path`` fails; ``ours``: inbox, outbox and state."""
    match error.errno:
        case errno.EPERM if os.geteuid() == ROOT and path.is_dir():
            return _look_for_attributes([path])
        case errno.EACCES | errno.EPERM:
            return give_access([path], ours)
        case errno.EROFS if is_image():
            return Advice(f"mount a folder or a volume at {mount_point_of(path)}, without :ro")
        case errno.EROFS:
            return shell(
                f"mount {mount_point_of(path)} for writing; if that is refused, its disk has a fault",
                *("mount", "-o", "remount,rw", mount_point_of(path)),
                as_root=True,
            )
        case errno.ENOSPC | errno.EDQUOT:
            return Advice(f"remove files that are not needed from the disk of {path}, or raise the quota of its user")
        case _:
            return Advice(f"check the disk and the mount of {path}: the system's log says more")


def give_access(paths: Iterable[Path], ours: Iterable[Path] = ()) -> Advice:
    """Let our user read and write folders, each with what is in it; ``ours``: inbox, outbox and state."""
    folders = [_closed_above(path) or path for path in paths]
    foreign = next((it for it in folders if not any(it.is_relative_to(our) for our in ours)), None)
    if foreign is not None and not os.access(foreign, os.X_OK):
        return shell(f"let user {our_user()} pass through {foreign}", "chmod", "a+x", foreign, as_root=True)
    folders = [folder if folder.is_dir() else folder.parent for folder in folders]
    if all(_mode_allows(folder) for folder in folders):
        return _look_for_attributes(folders)
    if all(folder.stat().st_uid == os.geteuid() for folder in folders):
        return shell("let their owner write to them", "chmod", "u+rwx", *folders)
    changes: list[tuple[str | Path, ...]] = [("chown", "-R", str(our_user()), *folders)]
    if any(folder.stat().st_mode & _OWNER_MAY_WORK != _OWNER_MAY_WORK for folder in folders):
        changes.append(("chmod", "u+rwx", *folders))
    return _script(f"give it to user {our_user()}, as whom the service runs", changes, as_root=True)


def _mode_allows(folder: Path) -> bool:
    """Whether our user owns the folder, and its mode lets the owner do everything."""
    status = folder.stat()
    return status.st_uid == os.geteuid() and status.st_mode & _OWNER_MAY_WORK == _OWNER_MAY_WORK


def _look_for_attributes(folders: Sequence[Path]) -> Advice:
    hint = (
        "the mode allows writing, so something else forbids it: the attribute i or a, which"
        " `chattr -i -a` of root removes, or a mount that is read-only (ro)"
    )
    looks: list[tuple[str | Path, ...]] = [("lsattr", "-d", *folders)]
    return _script(hint, [*looks, *(("findmnt", "-T", folder) for folder in folders)])


def make_folder_for_us(folder: Path) -> Advice:
    """Make a folder where our user may not make one."""
    changes = [("mkdir", "-p", folder), ("chown", str(our_user()), folder)]
    return _script(f"make it, and give it to user {our_user()}", changes, as_root=True)


def _closed_above(path: Path) -> Path | None:
    """The first folder above ``path`` that our user may not pass through, if there is one."""
    above = () if path.is_absolute() else reversed(Path.cwd().parents)
    return next((folder for folder in (*above, *reversed(path.parents)) if not os.access(folder, os.X_OK)), None)


def _script(hint: str, changes: Iterable[tuple[str | Path, ...]], *, as_root: bool = False) -> Advice:
    prefix = "sudo " if as_root and os.geteuid() != 0 else ""
    commands = " && ".join(prefix + shlex.join(map(str, words)) for words in changes)
    if is_image():
        return Advice(f"{hint}; on the host, with the path of the folder that is mounted there: {commands}")
    return Advice(hint, commands)
