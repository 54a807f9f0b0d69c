"""Checks of inbox, outbox and state: what the service does in them is done with a probe file."""

from __future__ import annotations

import errno
import os
import pwd
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from service.commands import command
from service.container import ROOT, is_image
from service.doctor import advice
from service.doctor.finding import Advice, Examined, Finding, failed, passed, warned
from service.doctor.probes import new_name, probe_file, remove_probes, rename_across
from service.errors import SettingsError, safe_text
from service.files import free_bytes, is_own_folder, is_regular, is_synced, open_regular
from service.folders import InboxFolders, OutboxFolders, StateFolders
from service.inbox.mounts import file_system_of, mount_point_of
from service.locks import STATE_NEEDS_LOCKS, Lock
from service.state import State

_OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_MB = 20
_IN_MEMORY = frozenset({"tmpfs", "ramfs"})
_REMOTE = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "lustre", "9p", "virtiofs", "vboxsf", "drvfs"),
        *("fuse.sshfs", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.grpcfuse", "fuse.osxfs", "fuse.fakeowner"),
    }
)
"""File systems of another machine, or of the host of a virtual one."""
_CHANGES_NEEDED = "what the service makes there must be moved by a rename, never copied"


def roots(it: Examined) -> dict[str, Path]:
    """Inbox, outbox and state by their names."""
    return {"inbox": it.settings.inbox, "outbox": it.settings.outbox, "state": it.settings.state}


def check_folder(it: Examined, name: str) -> Finding:
    """A file can be created, written, forced to the disk and removed; so can the folder's entry for it."""
    folder = roots(it)[name]
    try:
        is_folder = stat.S_ISDIR(folder.stat().st_mode)
    except FileNotFoundError:
        return _missing(folder, it)
    if not is_folder:
        return failed(
            f"{folder} is a file and no folder",
            advice.shell("move it away; the service makes the folder", "mv", folder, folder.with_name(f"{name}.old")),
        )
    try:
        with probe_file(folder) as path:
            has_synced = is_synced(path.parent)
    except OSError as error:
        return failed(
            f"no file can be written in {folder} ({error.strerror})", advice.mend(error, folder, roots(it).values())
        )
    if not has_synced:
        return warned(
            f"the file system of {folder} cannot sync folders: after a power cut it may lose a rename",
            Advice(f"give SERVICE_{name.upper()} a folder on a local disk"),
        )
    return passed(f"files are created, forced to the disk and removed in {folder}")


def _missing(folder: Path, it: Examined) -> Finding:
    if folder.is_symlink():
        return failed(f"{folder} is a link to nothing", advice.shell("remove it", "rm", folder))
    near = _nearest(folder)
    try:
        with probe_file(near):
            return passed(f"{folder} is not there yet: the service makes it when it starts")
    except OSError as error:
        found = f"{folder} is not there, and cannot be made ({error.strerror})"
        is_refused = error.errno in (errno.EACCES, errno.EPERM)
        return failed(
            found, advice.make_folder_for_us(folder) if is_refused else advice.mend(error, near, roots(it).values())
        )


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def check_user(it: Examined) -> Finding:
    """The user of this process may work in each folder of the service."""
    user = advice.our_user()
    try:
        name = f" ({pwd.getpwuid(user.uid).pw_name})"
    except KeyError:
        name = ""
    # What is in a closed folder cannot be seen.
    closed = _closed(roots(it).values()) or _closed([*it.folders.needed, *it.folders.needed_later])
    if closed:
        named = ", ".join(map(str, closed))
        return failed(f"user {user}{name} may not work in {named}", advice.give_access(closed, roots(it).values()))
    owner = it.settings.state.stat().st_uid if it.settings.state.is_dir() else user.uid
    if user.uid == ROOT != owner:
        found = f"this is root, who may do everything, and the state belongs to user {owner}"
        return warned(found, Advice("check it as the user of the service", f"sudo -u '#{owner}' {command('doctor')}"))
    return passed(f"user {user}{name} may work in every folder that is there")


def _closed(folders: Iterable[Path]) -> list[Path]:
    """Those of the folders that are there, and that our user may not read or write."""
    return [it for it in folders if it.is_dir() and not os.access(it, os.R_OK | os.W_OK | os.X_OK)]


def check_modes(it: Examined) -> Finding:
    """The state is closed to others; in inbox and outbox no user moves the files of another."""
    state, found = it.settings.state, []
    for folder in (it.settings.inbox, it.settings.outbox, state):
        if not folder.is_dir():
            continue
        mode = folder.stat().st_mode
        found.append(f"{folder} {stat.S_IMODE(mode):04o}")
        is_foreign = folder.stat().st_uid != os.geteuid()
        if folder == state and mode & _OPEN_TO_OTHERS:
            return warned(
                f"{folder} holds customers and is open to other users (mode {stat.S_IMODE(mode):04o})",
                advice.shell("close it", "chmod", "700", folder, as_root=is_foreign),
            )
        if folder != state and mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            return warned(
                f"every user may rename and remove what others have in {folder} (mode {stat.S_IMODE(mode):04o})",
                advice.shell("let each move only files of their own", "chmod", "+t", folder, as_root=is_foreign),
            )
    return passed(f"modes: {', '.join(found)}" if found else "no folder is there yet")


def check_inbox_renames(it: Examined) -> Finding:
    """A file moves from the inbox to the claimed batch, and from there to the archive and to the quarantine."""
    inbox = InboxFolders(it.settings.inbox)
    return _renames(it, [(inbox.root, inbox.claimed, inbox.archive), (inbox.root, inbox.claimed, inbox.quarantine)])


def check_outbox_renames(it: Examined) -> Finding:
    """A staged set moves into the folder of sets, and a staged file to the flat files.

    The staging folder itself is left alone while a service works: it removes the folder whenever a set is done.
    """
    outbox = OutboxFolders(it.settings.outbox)
    staging = outbox.staging if not State(it.settings.state).is_taken() else outbox.root
    return _renames(it, [(staging, outbox.batches), (outbox.root, outbox.batches, outbox.root)])


def _renames(it: Examined, ways: Iterable[Sequence[Path]]) -> Finding:
    names: dict[str, None] = {}
    for way in ways:
        folders = [folder for folder in way if is_own_folder(folder) or (folder == way[0] and folder.is_dir())]
        try:
            if folders:
                rename_across(folders)
        except OSError as error:
            return _no_rename(it, error, folders)
        names |= dict.fromkeys(map(str, folders))
    if not names:
        return passed("no folder is there yet")
    return passed(f"a file moves by rename across {', '.join(names)}")


def _no_rename(it: Examined, error: OSError, folders: Sequence[Path]) -> Finding:
    at = Path(error.filename2 or error.filename or folders[0]).parent
    if error.errno != errno.EXDEV:
        return failed(f"no file can be moved to {at} ({error.strerror})", advice.mend(error, at, roots(it).values()))
    inside = [folder for folder in folders if folder not in roots(it).values()]
    mounted = next((folder for folder in inside if mount_point_of(folder) == folder.resolve()), at)
    hint = f"move what it holds away, remove the mount at {mounted}, and mount the folder above it as a whole"
    message = f"{mounted} is on another file system than the folder above it: {_CHANGES_NEEDED}"
    return failed(message, advice.shell(hint, "umount", mounted, as_root=True))


def check_links(it: Examined) -> Finding:
    """A link that another user plants is not followed, and the folders of the service are no links."""
    inbox, outbox = InboxFolders(it.settings.inbox), OutboxFolders(it.settings.outbox)
    for folder in (inbox.claimed, inbox.archive, inbox.quarantine, outbox.staging, outbox.batches, outbox.failed):
        if os.path.lexists(folder) and not is_own_folder(folder):
            return failed(
                f"{folder} must be a real folder, and is a link or a file: the service refuses to start",
                advice.shell("remove it; what a link leads to stays as it is", "rm", folder),
            )
    for lock in (inbox.lock, StateFolders(it.settings.state).lock):
        if os.path.lexists(lock) and not is_regular(lock):
            return failed(
                f"{lock} must be a regular file: the service refuses to start",
                advice.shell("remove it; the service makes it", "rm", "-r", lock),
            )
    if not inbox.root.is_dir():
        return passed("the folders of the service are no links; no inbox is there yet")
    if _follows_link(inbox.root):
        return failed(
            f"a link in {inbox.root} was followed: its file system is not safe beside other users",
            Advice("give SERVICE_INBOX a folder on a local disk"),
        )
    return passed("the folders of the service are no links, and a link in the inbox is not followed")


def _follows_link(folder: Path) -> bool:
    """Whether a link is opened as the file that it leads to; False where the file system has no links."""
    with probe_file(folder) as path:
        link = folder / new_name()
        try:
            link.symlink_to(path.name)
        except OSError:
            return False
        try:
            os.close(open_regular(link))
        except OSError as error:
            return error.errno != errno.ELOOP
        finally:
            link.unlink()
    return True


def check_file_systems(it: Examined) -> Finding:
    """Each folder is on a file system that suits it: the state on a local disk, in a container on a mount."""
    kinds = {name: _kind(folder) for name, folder in roots(it).items()}
    where = ", ".join(f"{name} on {kind or 'an unknown kind'}" for name, kind in kinds.items())
    if is_image():
        bare = [folder for folder in roots(it).values() if mount_point_of(_nearest(folder)) == Path("/")]
        if bare:
            return warned(
                f"nothing is mounted at {', '.join(map(str, bare))}: what is written there is lost with the container",
                Advice("mount a folder or a volume there, as docker-compose.yml does"),
            )
    elsewhere = Advice("give SERVICE_STATE a folder on a local disk, and move what the state holds there")
    if kinds["state"] in _IN_MEMORY:
        return warned(f"{where}: every id is lost when the machine restarts", elsewhere)
    if kinds["state"] in _REMOTE:
        return warned(f"{where}: the ledger and the locks of the state need a local disk", elsewhere)
    return passed(where)


def _kind(folder: Path) -> str:
    near = _nearest(folder)
    return file_system_of(near, near.stat().st_dev)


def check_locks(it: Examined) -> Finding:
    """The file systems of inbox and state have locks that exclude each other."""
    hints = {"inbox": "give SERVICE_INBOX a folder on a file system with locks", "state": STATE_NEEDS_LOCKS}
    tried = []
    for name, hint in hints.items():
        folder = roots(it)[name]
        if not folder.is_dir():
            continue
        tried.append(str(folder))
        with probe_file(folder) as path:
            try:
                is_exclusive = _is_exclusive(path, hint)
            except SettingsError as error:
                return failed(safe_text(error), Advice(hint))
        if not is_exclusive:
            return failed(f"two processes get one lock in {folder} at the same time", Advice(hint))
    return passed(f"locks work in {' and '.join(tried)}" if tried else "no folder is there yet")


def _is_exclusive(path: Path, hint: str) -> bool:
    first, second = (Lock(path, locks=str(path.parent), hint=hint) for _ in range(2))
    try:
        return first.acquire() and not second.acquire()
    finally:
        first.release()
        second.release()


def check_space(it: Examined) -> Finding:
    """Each disk has more free space than health demands."""
    least_mb = it.settings.min_free_mb
    free_mb = {folder: free_bytes(_nearest(folder)) >> _MB for folder in roots(it).values()}
    scarce = [folder for folder, free in free_mb.items() if free < least_mb]
    if not scarce:
        return passed(f"free: {', '.join(f'{free:,} MB for {folder}' for folder, free in free_mb.items())}")
    folder = scarce[0]
    found = f"only {free_mb[folder]:,} MB free for {folder}, less than SERVICE_MIN_FREE_MB={least_mb}"
    size_mb = _size_mb(_nearest(folder))
    if size_mb <= least_mb:
        return warned(f"{found}: its disk has {size_mb:,} MB in all", advice.set_setting("min_free_mb", size_mb // 10))
    needed = least_mb - free_mb[folder]
    return warned(
        found, Advice(f"free {needed:,} MB on the disk of {folder}: old folders of inbox/quarantine, for one")
    )


def _size_mb(folder: Path) -> int:
    status = os.statvfs(folder)
    return (status.f_blocks * status.f_frsize) >> _MB


def remove_leftovers(it: Examined) -> None:
    """Remove the probe files of a ``doctor`` that was killed."""
    for folder in (*it.folders.needed, *it.folders.needed_later):
        remove_probes(folder)
