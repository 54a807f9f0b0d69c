"""The front door of the image: settles who the service is, for good, then opens the command line.

Started as root it becomes ``PUID``/``PGID``, else the owner of the inbox, else 1000:1000, after it has given
that user the folders that are root's. Started as anybody else it stays as it is. It all happens in the one
process of the container; what runs as root imports nothing but the standard library. In the image this file is
``python -m service``. Source: CONTRACT section 9.
"""

from __future__ import annotations

import os
import signal
import stat
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Never

from service.errors import SettingsError

DONE, USAGE, INTERRUPTED = 0, 2, 130
ROOT = 0
HIGHEST_ID = 2**32 - 2  # to the kernel the next one means "leave as it is"
STATE_IN_IMAGE = "/data/state"

# The verbs that work in the mounted folders; all others are content with being nobody in particular.
_WORKING_VERBS = frozenset({"watch", "retry", "sync"})
# What the service itself makes in inbox and outbox.
_OUR_FOLDERS = frozenset({".claimed", "archive", "quarantine", ".staging", "batches", "failed"})
_OF_THE_FILE_SYSTEM = frozenset({"lost+found"})  # every new ext4 volume has one, root's for ever
_LOCK = ".lock"
_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class Identity:
    """Who a process is, or whom a file belongs to."""

    uid: int
    gid: int

    def __str__(self) -> str:
        return f"{self.uid}:{self.gid}"


DEFAULT = Identity(1000, 1000)


@dataclass(frozen=True)
class Folders:
    """The three folders the service works in."""

    inbox: Path
    outbox: Path
    state: Path

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Folders:
        """The folders that the environment names, which in the image names all three."""
        names = ("inbox", "outbox", "state")
        inbox, outbox, state = (Path(environment.get(f"SERVICE_{name.upper()}") or name) for name in names)
        return cls(inbox, outbox, state)

    @property
    def all(self) -> tuple[Path, Path, Path]:
        """Inbox, outbox, state."""
        return self.inbox, self.outbox, self.state


def main(arguments: Sequence[str] | None = None) -> int:
    """Become the user of the service, then run one verb as ``service.cli`` does; returns the exit code."""
    asked = list(sys.argv[1:] if arguments is None else arguments) or ["watch"]
    try:
        _answer_signals(asked[0])
        if not _settle_in(asked[0], Folders.of(os.environ)):
            return USAGE
        from service import cli  # not before the process has ceased to be root

        return cli.main(asked)
    except SettingsError as error:
        _say(error.explained())
        return USAGE
    except KeyboardInterrupt:
        return INTERRUPTED


def _settle_in(verb: str, folders: Folders) -> bool:
    """Become somebody and see whether the verb can do its work; says why not."""
    began_as_root = os.geteuid() == ROOT
    if began_as_root:
        somebody = choose_identity(os.environ, folders.inbox)
        if verb in _WORKING_VERBS:
            hand_over(folders, somebody)
        drop_to(somebody)
    elif os.environ.get("PUID") or os.environ.get("PGID"):
        _say(f"PUID and PGID are ignored: the container was started as user {os.geteuid()}:{os.getegid()}")
    if verb in _WORKING_VERBS:
        obstacles = list_obstacles(folders, began_as_root=began_as_root)
        if obstacles:
            _say("\n".join(obstacle.explained() for obstacle in obstacles))
            return False
        for folder in filter(_is_part_of_container, folders.all):
            _say(f"nothing is mounted at {folder}: what is written there ends with the container")
    if verb == "integrate" and os.environ.get("SERVICE_STATE") == STATE_IN_IMAGE:
        # The image's default is nobody's choice: a trial keeps its state with its results, as it does outside.
        del os.environ["SERVICE_STATE"]
    return True


def _answer_signals(verb: str) -> None:
    """Make SIGTERM count from the first moment: the kernel withholds it from a process 1 without a handler."""
    if verb == "watch":
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _end_in_order)  # until the daemon sets its own
    else:
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def _end_in_order(number: int, frame: FrameType | None) -> Never:
    raise SystemExit(DONE)


# ------------------------------------------------------------------------------------------------ who we are


def choose_identity(environment: Mapping[str, str], inbox: Path) -> Identity:
    """Whom to become: PUID and PGID, else the owner of the inbox, else 1000:1000; never root.

    A group that is neither given nor other than root's is the one with the number of the user.
    Raises: SettingsError for a PUID or PGID that is no id, or root's.
    """
    uid, gid = _id_in(environment, "PUID"), _id_in(environment, "PGID")
    owner = _owner_of(inbox)
    if uid is None:
        if owner.uid == ROOT:
            owner = DEFAULT
        return Identity(owner.uid, gid or owner.gid or owner.uid)
    return Identity(uid, gid or uid)


def _id_in(environment: Mapping[str, str], name: str) -> int | None:
    text = environment.get(name, "").strip()
    if not text:
        return None
    option = "-u" if name == "PUID" else "-g"
    hint = f"`id {option}` on the host prints yours; leave {name} empty to go by the owner of the inbox"
    if not (text.isascii() and text.isdigit() and int(text) <= HIGHEST_ID):
        raise SettingsError(f"{name} must be a number from 1 to {HIGHEST_ID}", found=text[:40], hint=hint)
    if int(text) == ROOT:
        raise SettingsError(f"{name} is 0, but the service never runs as root", hint=hint)
    return int(text)


def _owner_of(folder: Path) -> Identity:
    status = _nearest(folder).stat()
    return Identity(status.st_uid, status.st_gid)


def drop_to(somebody: Identity) -> None:
    """Cease to be root, for good. Raises: SettingsError where that is not possible."""
    try:
        os.setgroups([])
        os.setresgid(somebody.gid, somebody.gid, somebody.gid)
        os.setresuid(somebody.uid, somebody.uid, somebody.uid)
    except OSError as error:
        raise SettingsError(
            f"cannot cease to be root and become {somebody}: {error.strerror}",
            hint="let the container keep the capabilities SETUID and SETGID (--cap-add), or start it with --user",
        ) from None
    if os.getgroups() or _can_become_root():
        raise SettingsError("root's rights could not be given up", hint="start the container with --user")
    os.environ["HOME"] = "/"  # root's home is no longer ours; it is what Docker gives a user without one


def _can_become_root() -> bool:
    with suppress(PermissionError):
        os.setresgid(ROOT, ROOT, ROOT)
        return True
    with suppress(PermissionError):
        os.setresuid(ROOT, ROOT, ROOT)
        return True
    return False


# ------------------------------------------------------------------------------- what root gives before it goes


def hand_over(folders: Folders, somebody: Identity) -> None:
    """Give ``somebody`` the inbox and the outbox where they are root's, and all of the state.

    What lies in inbox and outbox is the users' and stays as it is. A folder that does not look like ours is not
    given away: somebody may have mounted the wrong one. Whether it all was enough, ``list_obstacles`` tells.
    """
    for folder in (folders.inbox, folders.outbox):
        with suppress(OSError):  # a file system without owners, or read-only
            _give_folder(folder, somebody)
    with suppress(OSError):
        _give_state(folders.state, somebody)


def _give_folder(folder: Path, somebody: Identity) -> None:
    descriptor = os.open(folder, _OPEN_FOLDER)
    try:
        if os.fstat(descriptor).st_uid == ROOT and not _foreign_folders(descriptor):
            os.fchown(descriptor, somebody.uid, somebody.gid)
            _say(f"{folder} was root's and belongs to {somebody} now; PUID and PGID choose another user")
    finally:
        os.close(descriptor)


def _foreign_folders(descriptor: int) -> list[str]:
    """Folders that the service does not make: whoever mounts /etc or /home by mistake has such."""
    with os.scandir(descriptor) as entries:
        folders = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    return [name for name in folders if name not in _OUR_FOLDERS | _OF_THE_FILE_SYSTEM]


def _give_state(folder: Path, somebody: Identity) -> None:
    descriptor = os.open(folder, _OPEN_FOLDER)
    try:
        with os.scandir(descriptor) as entries:
            names = [entry.name for entry in entries]
        if is_state(names):
            _give_tree(descriptor, somebody, os.fstat(descriptor).st_dev)
    finally:
        os.close(descriptor)


def is_state(names: Sequence[str]) -> bool:
    """Whether a folder with these entries is a state of ours, or a new one."""
    return "state.json" in names or all(name in _OF_THE_FILE_SYSTEM or name == ".state.json.new" for name in names)


def _give_tree(descriptor: int, somebody: Identity, device: int) -> None:
    """Give an open folder and all that is in it; links are not followed, other file systems not entered."""
    with os.scandir(descriptor) as entries:
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            if status.st_dev != device or entry.name in _OF_THE_FILE_SYSTEM:
                continue
            if stat.S_ISDIR(status.st_mode):
                with suppress(PermissionError):  # root without capabilities; list_obstacles will see it
                    _give_subtree(descriptor, entry.name, somebody, device)
            # A file with a second name may be anybody's: the other name need not lie in here.
            elif status.st_nlink == 1 and Identity(status.st_uid, status.st_gid) != somebody:
                os.chown(entry.name, somebody.uid, somebody.gid, dir_fd=descriptor, follow_symlinks=False)
    status = os.fstat(descriptor)
    if Identity(status.st_uid, status.st_gid) != somebody:
        os.fchown(descriptor, somebody.uid, somebody.gid)


def _give_subtree(parent: int, name: str, somebody: Identity, device: int) -> None:
    descriptor = os.open(name, _OPEN_FOLDER, dir_fd=parent)
    try:
        _give_tree(descriptor, somebody, device)
    finally:
        os.close(descriptor)


# ------------------------------------------------------------------------------------------- may we work here?


def list_obstacles(folders: Folders, *, began_as_root: bool) -> list[SettingsError]:
    """What keeps this process from working in its folders; one error each, with how to mend it."""
    somebody = Identity(os.geteuid(), os.getegid())
    return [
        _obstacle(folder, path, somebody, began_as_root=began_as_root)
        for folder in folders.all
        if (path := _closed_path(folder, is_whole_ours=folder == folders.state))
    ]


def _closed_path(folder: Path, *, is_whole_ours: bool) -> Path | None:
    """The folder, or what the service keeps directly in it, where this process may not read and write."""
    if not folder.exists():
        return None if os.access(_nearest(folder), os.W_OK | os.X_OK) else folder  # the service will make it
    if not _is_open(folder):
        return folder
    ours = (path for path in sorted(folder.iterdir()) if _is_ours(path, is_whole_ours=is_whole_ours))
    return next((path for path in ours if not _is_open(path)), None)


def _is_ours(path: Path, *, is_whole_ours: bool) -> bool:
    """Whether the service must be able to write here: its folders and its lock; other files it only replaces."""
    if path.is_symlink() or not path.is_dir():
        return path.name == _LOCK
    return path.name in _OUR_FOLDERS or (is_whole_ours and path.name not in _OF_THE_FILE_SYSTEM)


def _is_open(path: Path) -> bool:
    return os.access(path, os.R_OK | os.W_OK | (os.X_OK if path.name != _LOCK else 0))


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def _obstacle(folder: Path, path: Path, somebody: Identity, *, began_as_root: bool) -> SettingsError:
    message = f"user {somebody} may not write {path}"
    if not folder.is_dir():
        return SettingsError(message, found="there is no such folder", hint=f"mount a folder or a volume at {folder}")
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        found = f"nothing is mounted at {folder}" if _is_part_of_container(folder) else f"{folder} is read-only"
        return SettingsError(message, found=found, hint=f"mount a folder or a volume at {folder}, without :ro")
    status = path.stat()
    owner = Identity(status.st_uid, status.st_gid)
    return SettingsError(
        message,
        found=f"it belongs to {owner}, mode {stat.S_IMODE(status.st_mode):o}",
        hint=f"on the host, for the folder that is mounted at {folder}: sudo chown -R {somebody} FOLDER; or "
        + _other_way(owner, began_as_root=began_as_root),
    )


def _other_way(owner: Identity, *, began_as_root: bool) -> str:
    if owner.uid != ROOT:
        return f"run as its owner: {f'PUID={owner.uid} PGID={owner.gid}' if began_as_root else f'--user {owner}'}"
    if began_as_root:
        # It had the chance to give the folder away and did not.
        return "mount another one: root's folders are given away only if nothing foreign lies in them"
    return "start the container without --user: it then finds a user and gives root's folders to it"


def _is_part_of_container(folder: Path) -> bool:
    """Whether the folder is no mount of its own: what is written there ends with the container."""
    return _nearest(folder).stat().st_dev == Path("/").stat().st_dev


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
