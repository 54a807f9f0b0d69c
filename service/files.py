"""Durable file primitives: what is written here survives a crash, and is whole or absent.

Replace = temp file beside the target, fsync, rename, fsync of the folder: a rename can be lost with its directory
entry. Other users may create entries in inbox and outbox. So a temp file has a random name and is created, never
opened; links are not followed; an open does not block; and a folder of ours must be a real one.

Rooms that own files call these: inbox, outbox, register, ledger, state, acceptance, health, the documents, the
checkpoint of a sync, and the work folders of the jobs. ``docs/architecture.md`` lists them under "moves files".
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from service.fingerprint import Fingerprint

_FICLONE = 0x40049409  # linux/fs.h: _IOW(0x94, 9, int)
_CHUNK_BYTES = 1 << 20
_STAGED = ".{name}.{random}.new"
_STAGED_FILES = ".*.new"
_IS_A_LINK = "a symbolic link, which is not followed: remove it"
_NOT_A_FILE = "not a regular file: remove it"
_NOT_A_FOLDER = "must be a real folder, and is a link or a file: remove it"
_PRIVATE = 0o700
_SYNCS_AT_A_TIME = 4
_NO_SYNC = frozenset({errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.ENOSYS})
"""What fsync answers for a folder where the file system cannot sync one."""


def fingerprint(status: os.stat_result) -> Fingerprint:
    """Identity and state of a file, from its stat."""
    return Fingerprint(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def fingerprint_of(path: Path) -> Fingerprint:
    """Identity and state of the file at ``path``; a link is not followed."""
    return fingerprint(path.lstat())


def open_regular(path: Path, flags: int = os.O_RDONLY) -> int:
    """A descriptor of the regular file at ``path``; links are not followed, the open does not block.

    Raises: OSError; ``ELOOP`` for a link, ``EINVAL`` where it is not a regular file.
    """
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, _IS_A_LINK, str(path)) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, _NOT_A_FILE, str(path))
    return descriptor


def open_file(path: Path) -> BinaryIO:
    """The regular file at ``path``, to be read. Raises: as ``open_regular``."""
    return os.fdopen(open_regular(path), "rb")


def read_regular(path: Path, most_bytes: int) -> bytes:
    """The contents of the regular file at ``path``.

    Raises: OSError; ``EFBIG`` where it has more than ``most_bytes``.
    """
    with open_file(path) as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise OSError(errno.EFBIG, f"larger than {most_bytes} bytes", str(path))
    return content


def sha256_of(path: Path) -> str:
    """SHA-256 of a regular file's bytes, in hex. Raises: OSError; a link or a special file is refused."""
    import hashlib  # the health check does without

    digest = hashlib.sha256()
    with open_file(path) as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_of_each(paths: Sequence[Path]) -> list[str]:
    """SHA-256 of each file, in the order of the paths; one thread for each processor that we may use.

    Raises: as ``sha256_of``.
    """
    from concurrent.futures import ThreadPoolExecutor  # the health check does without

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return list(pool.map(sha256_of, paths))


def fsync_path(path: Path) -> None:
    """Force a file or a folder to the disk.

    Some network and guest file systems (CIFS, vboxsf, drvfs) cannot sync a folder: there it is left to them.
    """
    _sync(path)


def is_synced(folder: Path) -> bool:
    """Whether the file system can sync this folder. Raises: OSError where the folder cannot be opened or is faulty."""
    return _sync(folder)


def _sync(path: Path) -> bool:
    """Force a file or a folder to the disk; False for a folder that its file system cannot sync."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC or not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise
        return False
    finally:
        os.close(descriptor)
    return True


def make_folder(path: Path) -> None:
    """Create a folder and its missing parents, durably; it may exist already, and be a link to one."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    fsync_path(path.parent)


def close_to_others(folder: Path) -> None:
    """Give a folder of our user the mode 0700, where the file system has modes."""
    status = folder.stat()
    if status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) != _PRIVATE:
        with suppress(OSError):
            folder.chmod(_PRIVATE)


def make_own_folder(path: Path) -> None:
    """As ``make_folder``, for a folder that only the service makes. Raises: OSError where it is a link or a file."""
    make_folder(path.parent)
    make_own_subfolder(path)


def require_folder(path: Path) -> None:
    """Raises: OSError; ``ENOTDIR`` where ``path`` is not a folder itself but a link or a file."""
    if not stat.S_ISDIR(path.lstat().st_mode):
        raise OSError(errno.ENOTDIR, _NOT_A_FOLDER, str(path))


def make_own_subfolder(path: Path) -> None:
    """As ``make_own_folder``, without its parents: one that was moved away is to be put back. Raises: OSError."""
    if not os.path.lexists(path):
        path.mkdir(exist_ok=True)
        fsync_path(path.parent)
    require_folder(path)


def is_own_folder(path: Path) -> bool:
    """Whether ``path`` is a folder itself; False for a link to one."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def is_regular(path: Path) -> bool:
    """Whether ``path`` is a regular file itself; False for a link to one."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def move(source: Path, target: Path, *, durable: bool = True) -> None:
    """Rename within one file system and make both folders durable; an existing target is replaced.

    If not ``durable``, the folders are synced later: of several moves once.
    """
    source.rename(target)
    if not durable:
        return
    fsync_path(target.parent)
    if source.parent != target.parent:
        fsync_path(source.parent)


def move_if_free(source: Path, target: Path) -> bool:
    """As ``move``, but False, and nothing done, if ``target`` exists.

    Makes a second link and then removes the first, because a rename replaces. After a crash in between one file has
    both names; a repeated call completes it.
    """
    try:
        target.hardlink_to(source)
    except FileExistsError:
        if not _is_same_file(source, target):
            return False
    except OSError:  # a file system without links: look, then move
        if os.path.lexists(target):
            return False
        move(source, target)
        return True
    source.unlink()
    fsync_path(target.parent)
    fsync_path(source.parent)
    return True


def _is_same_file(one: Path, other: Path) -> bool:
    return os.path.samestat(one.lstat(), other.lstat())


def replace_text(path: Path, text: str, *, durable: bool = True) -> None:
    """Replace a small text file as a whole. If not ``durable``, a power cut may bring back an older version."""
    with staged_file(path) as (file, staged):
        _write(file, text, durable=durable)
        if durable:
            move(staged, path)
        else:
            staged.rename(path)


def create_text(path: Path, text: str) -> None:
    """Create a small text file if it does not exist; of several processes that try, one succeeds."""
    with staged_file(path) as (file, staged):
        _write(file, text, durable=True)
        move_if_free(staged, path)
        staged.unlink(missing_ok=True)


def _write(file: BinaryIO, text: str, *, durable: bool) -> None:
    file.write(text.encode())
    file.flush()
    if durable:
        os.fsync(file.fileno())


@contextmanager
def staged_file(path: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A new temp file for ``path``, and its own path. The block renames it; if the block raises, it is removed.

    ``remove_staged`` removes the one of a process that died.
    """
    descriptor, staged = _create_staged(path)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file, staged
    except BaseException:
        with suppress(OSError):
            staged.unlink()
        raise


def _create_staged(path: Path) -> tuple[int, Path]:
    while True:
        staged = _staged_path(path)
        with suppress(FileExistsError):
            return os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666), staged


def _staged_path(path: Path) -> Path:
    """A name that no other user can expect."""
    return path.with_name(_STAGED.format(name=path.name, random=os.urandom(8).hex()))


def make_read_only(paths: Sequence[Path]) -> None:
    """Take all write permission from regular files, and force them to the disk. Raises: as ``open_regular``."""
    _sync_files(paths, mode=0o444)


def sync_files(paths: Sequence[Path]) -> None:
    """Force regular files to the disk. Raises: as ``open_regular``."""
    _sync_files(paths)


def _sync_files(paths: Sequence[Path], mode: int | None = None) -> None:
    """Several at a time: a file system writes its journal once for all files that wait for it."""
    from concurrent.futures import ThreadPoolExecutor  # the health check does without

    def sync(path: Path) -> None:
        with open_file(path) as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())

    with ThreadPoolExecutor(_SYNCS_AT_A_TIME) as pool:
        list(pool.map(sync, paths))


def give_to_owner_of(folder: Path, *paths: Path) -> None:
    """As root, give ``paths`` to the owner of ``folder``: the service, which is another user, works with them."""
    if os.geteuid() == 0:
        owner = folder.stat()
        for path in paths:
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def free_bytes(folder: Path) -> int:
    """Bytes that our user may still write under ``folder``."""
    return shutil.disk_usage(folder).free


def replace_copies(sources: Mapping[str, Path], folder: Path) -> None:
    """Replace the files in ``folder`` by independent copies, as reflinks where the file system can.

    All copies are complete and durable before the first replaces its file; they do so in this order, without a pause.
    The others are durable before the last replaces its file.
    """
    with ExitStack() as stack:
        staged = {name: stack.enter_context(_copied(source, folder / name)) for name, source in sources.items()}
        sync_files(list(staged.values()))
        *others, last = staged
        for name in others:
            staged[name].rename(folder / name)
        fsync_path(folder)
        move(staged[last], folder / last)


def replace_texts(texts: Mapping[str, str], folder: Path) -> None:
    """As ``replace_text``, of several files in one folder."""
    with ExitStack() as stack:
        staged: dict[str, Path] = {}
        for name, text in texts.items():
            file, staged[name] = stack.enter_context(staged_file(folder / name))
            _write(file, text, durable=False)
        sync_files(list(staged.values()))
        for name, path in staged.items():
            path.rename(folder / name)
        fsync_path(folder)


@contextmanager
def _copied(source: Path, target: Path) -> Iterator[Path]:
    """A copy of a regular file, not yet durable, as a temp file for ``target``; see ``staged_file``."""
    with open_file(source) as original, staged_file(target) as (copy, staged):
        try:
            fcntl.ioctl(copy.fileno(), _FICLONE, original.fileno())
        except OSError:
            shutil.copyfileobj(original, copy, _CHUNK_BYTES)
        copy.flush()
        os.fchmod(copy.fileno(), 0o644)
        yield staged


def make_private(path: Path) -> None:
    """Make ``path`` the only name of its file: through another hard link it could still be changed."""
    if path.lstat().st_nlink > 1:
        with _copied(path, path.with_name("private")) as staged:  # the name may be as long as names can be
            fsync_path(staged)
            move(staged, path)


def remove_staged(folder: Path, name: str = "") -> None:
    """Remove temp files that a process left in ``folder`` when it died, or only those for the file ``name``.

    What another user made there under such a name may stay: it is not in the way.
    """
    for path in folder.glob(_STAGED_FILES if not name else _STAGED.format(name=name, random="*")):
        with suppress(IsADirectoryError, PermissionError, FileNotFoundError):
            path.unlink()


def remove_tree(path: Path) -> None:
    """Remove a folder of ours with all its contents; it may be absent. Of a link only the name is removed."""
    if is_own_folder(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()
