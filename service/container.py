"""The first steps of the program in the image: drop root for good, and check access to the folders.

Started as root it becomes ``PUID``/``PGID``, else the owner of the inbox, else 1000:1000, after it has given that user
the folders that belong to root. Started as any other user it stays that user. All of this happens in the one process
of the container; what runs as root imports the standard library only.
Source: docs/specification.md section 9.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from service.errors import SettingsError
from service.folders import LOCK, InboxFolders, OutboxFolders, StateFolders
from service.printable import printable_lines

ROOT = 0
HIGHEST_ID = 2**32 - 2  # the kernel reads the next one as "leave as it is"
STATE_IN_IMAGE = "/data/state"
STATE_VOLUME = "customer-integration-state"
"""Its name in docker-compose.yml."""
_IMAGE_MARK = "IS_CUSTOMER_INTEGRATION_IMAGE"
"""Variable that the Dockerfile sets to 1. Without ``SERVICE_``: it is no setting."""

# The verbs that work in the mounted folders; the others run as any user.
_WORKING_VERBS = frozenset({"watch", "run", "dashboard", "retry", "sync", "adopt"})
_INBOX, _OUTBOX, _STATE = InboxFolders(Path()), OutboxFolders(Path()), StateFolders(Path())
# What the service itself makes in inbox and outbox.
_OUR_FOLDERS = frozenset(
    folder.name
    for folder in (_INBOX.claimed, _INBOX.archive, _INBOX.quarantine, _OUTBOX.staging, _OUTBOX.batches, _OUTBOX.failed)
)
# Folders of root that a new ext4 volume and a Synology share have.
_OF_THE_FILE_SYSTEM = frozenset({"lost+found", "@eaDir"})
_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class Identity:
    """User and group of a process or a file."""

    uid: int
    gid: int

    def __str__(self) -> str:
        return f"{self.uid}:{self.gid}"


DEFAULT = Identity(1000, 1000)


@dataclass(frozen=True)
class WorkFolders:
    """The three folders the service works in."""

    inbox: Path
    outbox: Path
    state: Path

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> WorkFolders:
        """The folders that the environment names, which in the image names all three."""
        names = ("inbox", "outbox", "state")
        inbox, outbox, state = (Path(environment.get(f"SERVICE_{name.upper()}") or name) for name in names)
        return cls(inbox, outbox, state)

    @property
    def all(self) -> tuple[Path, Path, Path]:
        """Inbox, outbox, state."""
        return self.inbox, self.outbox, self.state


def is_image() -> bool:
    """Whether the program runs in the image. Outside it a root user stays root."""
    return os.environ.get(_IMAGE_MARK) == "1"


def where_state_is() -> str:
    """The end of a hint about the state: in the image, which volume it is; else empty."""
    if not is_image():
        return ""
    return (
        f"; in the container the state is the volume mounted at {STATE_IN_IMAGE}: with compose {STATE_VOLUME}, or the"
        " name that STATE_VOLUME in .env gives; `docker volume ls` lists all"
    )


def become_user(verb: str) -> bool:
    """Give up root for good, and check that the verb can work; False, and a message on stderr, if it cannot."""
    folders = WorkFolders.of(os.environ)
    try:
        began_as_root = _drop_root(verb, folders)
    except SettingsError as error:
        _write_line(error.explained())
        return False
    if verb in _WORKING_VERBS:
        obstacles = list_obstacles(folders, began_as_root=began_as_root)
        if obstacles:
            _write_line("\n".join(obstacle.explained() for obstacle in obstacles))
            return False
        for folder in filter(_is_part_of_container, folders.all):
            _write_line(f"nothing is mounted at {folder}: what is written there is lost with the container")
    if verb == "integrate" and os.environ.get("SERVICE_STATE") == STATE_IN_IMAGE:
        # The image's default is no user's choice: a trial keeps its state with its results, as it does outside.
        del os.environ["SERVICE_STATE"]
    return True


def _drop_root(verb: str, folders: WorkFolders) -> bool:
    """Become the service's user if this process is root's; returns whether it was. Raises: SettingsError."""
    if os.geteuid() != ROOT:
        if os.environ.get("PUID") or os.environ.get("PGID"):
            _write_line(f"PUID and PGID are ignored: the container was started as user {os.geteuid()}:{os.getegid()}")
        return False
    if is_user_namespace():
        return _drop_mapped_root()
    user = choose_identity(os.environ, folders.inbox)
    if verb in _WORKING_VERBS:
        hand_over(folders, user)
    drop_to(user)
    return True


def is_user_namespace(table: Path = Path("/proc/self/uid_map")) -> bool:
    """Whether root is an ordinary user of the host: rootless Docker, Podman, remapped users."""
    try:
        lines = table.read_text(encoding="ascii").splitlines()
    except OSError:
        return False
    return [line.split() for line in lines] != [["0", "0", "4294967295"]]


def _drop_mapped_root() -> bool:
    """Stay root, who owns the user's folders and has no rights on the host, unless a PUID asks for another user.

    Nothing is given away: another user of the container is one of the host that the owner of the folders is not.
    """
    uid, gid = (_id_in(os.environ, name, least=ROOT) for name in ("PUID", "PGID"))
    if uid:
        drop_to(Identity(uid, uid if gid is None else gid))
    return True


# --------------------------------------------------------------------------------------------------- the user


def choose_identity(environment: Mapping[str, str], inbox: Path) -> Identity:
    """The user to become: PUID and PGID, else the owner of the inbox, else 1000:1000; never root.

    If no group is given and that of the inbox is root's, the group has the number of the user.
    Raises: SettingsError for a PUID or PGID that is no id, or 0.
    """
    uid, gid = _id_in(environment, "PUID"), _id_in(environment, "PGID")
    owner = _owner_of(inbox)
    if uid is None:
        if owner.uid == ROOT:
            owner = DEFAULT
        return Identity(owner.uid, gid or owner.gid or owner.uid)
    return Identity(uid, gid or uid)


def _id_in(environment: Mapping[str, str], name: str, least: int = 1) -> int | None:
    text = environment.get(name, "").strip()
    if not text:
        return None
    option = "-u" if name == "PUID" else "-g"
    hint = f"`id {option}` on the host prints yours; leave {name} empty to go by the owner of the inbox"
    if not (text.isascii() and text.isdigit() and int(text) <= HIGHEST_ID):
        raise SettingsError(f"{name} must be a number from {least} to {HIGHEST_ID}", found=text[:40], hint=hint)
    if int(text) < least:
        raise SettingsError(f"{name} is 0, but the service never runs as root", hint=hint)
    return int(text)


def _owner_of(folder: Path) -> Identity:
    status = _nearest(folder).stat()
    return Identity(status.st_uid, status.st_gid)


def drop_to(user: Identity) -> None:
    """Drop root privileges for good and become ``user``. Raises: SettingsError where that is not possible."""
    try:
        os.setgroups([])
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
    except OSError as error:
        raise SettingsError(
            f"cannot drop root privileges and become {user}: {error.strerror}",
            hint="let the container keep the capabilities SETUID and SETGID (--cap-add), or start it with --user",
        ) from None
    if os.getgroups() or _can_become_root():
        raise SettingsError("root privileges could not be dropped", hint="start the container with --user")
    os.environ["HOME"] = "/"  # root's home cannot be used any more; Docker gives / to a user without a home


def _can_become_root() -> bool:
    with suppress(PermissionError):
        os.setresgid(ROOT, ROOT, ROOT)
        return True
    with suppress(PermissionError):
        os.setresuid(ROOT, ROOT, ROOT)
        return True
    return False


# ------------------------------------------------------------------------- folders that root gives to the user


def hand_over(folders: WorkFolders, user: Identity) -> None:
    """Give ``user`` the inbox and the outbox if they belong to root, and all of the state.

    Files in inbox and outbox belong to the users and stay as they are. A folder that does not look like ours is not
    given away: it may have been mounted by mistake. ``list_obstacles`` checks whether all of this was enough.
    """
    for folder in (folders.inbox, folders.outbox):
        with suppress(OSError):  # a file system without owners, or read-only
            _give_folder(folder, user)
    with suppress(OSError):
        _give_state(folders.state, user)


def _give_folder(folder: Path, user: Identity) -> None:
    descriptor = os.open(folder, _OPEN_FOLDER)
    try:
        if os.fstat(descriptor).st_uid == ROOT and not _foreign_folders(descriptor):
            os.fchown(descriptor, user.uid, user.gid)
            _write_line(f"{folder} belonged to root and belongs to {user} now; PUID and PGID choose another user")
    finally:
        os.close(descriptor)


def _foreign_folders(descriptor: int) -> list[str]:
    """The folders in an open folder that the service does not make, as in /etc or /home, mounted by mistake."""
    with os.scandir(descriptor) as entries:
        folders = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    return [name for name in folders if name not in _OUR_FOLDERS | _OF_THE_FILE_SYSTEM]


def _give_state(folder: Path, user: Identity) -> None:
    descriptor = os.open(folder, _OPEN_FOLDER)
    try:
        with os.scandir(descriptor) as entries:
            names = [entry.name for entry in entries]
        if is_state(names):
            _give_tree(descriptor, user, os.fstat(descriptor).st_dev)
    finally:
        os.close(descriptor)


def is_state(names: Sequence[str]) -> bool:
    """Whether a folder with these entries is a state of ours, or a new one."""
    mark = _STATE.identity.name
    others = (name for name in names if name not in _OF_THE_FILE_SYSTEM)
    return mark in names or all(name.startswith(f".{mark}.") and name.endswith(".new") for name in others)


def _give_tree(descriptor: int, user: Identity, device: int) -> None:
    """Give an open folder and its contents to ``user``; links are not followed, other file systems not entered."""
    with os.scandir(descriptor) as entries:
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            if status.st_dev != device or entry.name in _OF_THE_FILE_SYSTEM:
                continue
            if stat.S_ISDIR(status.st_mode):
                with suppress(PermissionError):  # root without capabilities; list_obstacles will see it
                    _give_subtree(descriptor, entry.name, user, device)
            # A file with a second name may belong to any user: the other name need not be in this folder.
            elif status.st_nlink == 1 and Identity(status.st_uid, status.st_gid) != user:
                os.chown(entry.name, user.uid, user.gid, dir_fd=descriptor, follow_symlinks=False)
    status = os.fstat(descriptor)
    if Identity(status.st_uid, status.st_gid) != user:
        os.fchown(descriptor, user.uid, user.gid)


def _give_subtree(parent: int, name: str, user: Identity, device: int) -> None:
    descriptor = os.open(name, _OPEN_FOLDER, dir_fd=parent)
    try:
        _give_tree(descriptor, user, device)
    finally:
        os.close(descriptor)


# ----------------------------------------------------------------------------------------------- access checks


def list_obstacles(folders: WorkFolders, *, began_as_root: bool) -> list[SettingsError]:
    """One error for each folder in which this process cannot work, with what to do."""
    user = Identity(os.geteuid(), os.getegid())
    return [
        _obstacle(folder, path, user, began_as_root=began_as_root)
        for folder in folders.all
        if (path := _inaccessible_path(folder, is_whole_ours=folder == folders.state))
    ]


def _inaccessible_path(folder: Path, *, is_whole_ours: bool) -> Path | None:
    """The folder, or what the service keeps directly in it, where this process may not read and write."""
    if not folder.exists():
        return None if os.access(_nearest(folder), os.W_OK | os.X_OK) else folder  # the service will make it
    if not _is_accessible(folder):
        return folder
    ours = (path for path in sorted(folder.iterdir()) if _is_ours(path, is_whole_ours=is_whole_ours))
    return next((path for path in ours if not _is_accessible(path)), None)


def _is_ours(path: Path, *, is_whole_ours: bool) -> bool:
    """Whether the service must be able to write here: its folders and its lock; other files it only replaces."""
    if path.is_symlink() or not path.is_dir():
        return path.name == LOCK
    return path.name in _OUR_FOLDERS or (is_whole_ours and path.name not in _OF_THE_FILE_SYSTEM)


def _is_accessible(path: Path) -> bool:
    return os.access(path, os.R_OK | os.W_OK | (os.X_OK if path.name != LOCK else 0))


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def _obstacle(folder: Path, path: Path, user: Identity, *, began_as_root: bool) -> SettingsError:
    message = f"user {user} may not write {path}"
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
        hint=f"on the host, for the folder that is mounted at {folder}: sudo chown -R {user} FOLDER; or "
        + _other_way(owner, began_as_root=began_as_root),
    )


def _other_way(owner: Identity, *, began_as_root: bool) -> str:
    if owner.uid != ROOT:
        return f"run as its owner: {f'PUID={owner.uid} PGID={owner.gid}' if began_as_root else f'--user {owner}'}"
    if began_as_root:
        # The program was root and did not give this folder to the user.
        return "mount an empty folder instead: one of root's that has other folders in it is not given to another user"
    return "start the container without --user: it then finds a user and gives root's folders to it"


def _is_part_of_container(folder: Path) -> bool:
    """Whether the folder is no mount of its own: what is written there is lost with the container."""
    return _nearest(folder).stat().st_dev == Path("/").stat().st_dev


def _write_line(text: str) -> None:
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"{printable_lines(text)}\n")
        sys.stderr.flush()
