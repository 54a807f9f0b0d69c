"""A Docker engine, the image built once, and clones of the repository that compose runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import DockerException, ImageNotFound
from docker.models.containers import Container

from tests.worlds import ROOT, House, wait_until

SERVICE = "customer-integration"
# The files of a clone that the image and compose need.
CLONED = ("Dockerfile", ".dockerignore", "docker-compose.yml", "requirements", "LICENSE", "service")
_OF_A_USER = ("SERVICE_", "COMPOSE_", "PUID", "PGID", "TZ", "IMAGE", "MEMORY_LIMIT", "CPU_LIMIT")

_IS_REQUIRED = os.environ.get("REQUIRE_CONTAINER") == "1"


def run(*command: str, seconds: float = 120, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command with these settings only. Raises: AssertionError where it fails."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OF_A_USER)}
    done = subprocess.run(
        command, env=kept | settings, capture_output=True, text=True, timeout=seconds, check=False, cwd="/"
    )
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {done.stdout}\n{done.stderr.strip()}")
    return done


def give(path: Path, uid: int, gid: int) -> None:
    """Give a folder and all its contents to a user."""
    try:
        for found in (path, *path.rglob("*")):
            os.chown(found, uid, gid, follow_symlinks=False)
    except FileNotFoundError:  # the service has moved what was listed
        give(path, uid, gid)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Run these tests on request only."""
    if not _IS_REQUIRED:
        pytest.skip("builds the image and needs a Docker engine with compose: REQUIRE_CONTAINER=1 make test")


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """A Docker engine with compose."""
    try:
        # First by command: the SDK leaves its socket open if no engine answers.
        run("docker", "version")
        run("docker", "compose", "version")
        client = docker.from_env(timeout=180)
    except (DockerException, OSError, AssertionError) as error:
        pytest.fail(f"no Docker engine with compose: {str(error).splitlines()[-1]}")
    yield client
    client.close()


@pytest.fixture(scope="session")
def image(engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The image, built once from a clone, under a name of its own."""
    tag = f"{SERVICE}:test-{uuid.uuid4().hex[:12]}"
    clone = tmp_path_factory.mktemp("clone")
    copy_clone(clone)
    run("docker", "build", "--tag", tag, str(clone), seconds=600)
    yield tag
    engine.images.remove(tag, force=True)


def copy_clone(target: Path) -> None:
    """Copy the files of a clone, without the checkout's own inbox, outbox and caches."""
    for name in CLONED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(ROOT / name, target / name)


class ComposeHouse(House):
    """A clone of the repository, run by compose; its state is a volume."""

    def __init__(self, root: Path, engine: docker.DockerClient) -> None:
        super().__init__(root)
        self.outbox.mkdir()
        copy_clone(root)
        self.project = f"test{uuid.uuid4().hex[:12]}"
        # Compose labels its images with the project, so every project has an image of its own, from one cache.
        self._image = f"{SERVICE}:{self.project}"
        self._engine = engine

    def compose(self, *arguments: str, seconds: float = 120, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run ``docker compose …`` on the clone; ``settings`` are in the environment of the calling shell."""
        command = ("docker", "compose", "--project-directory", str(self.root), "--project-name", self.project)
        # A free port: several clones run beside each other.
        own = {"IMAGE": self._image, "STATE_VOLUME": f"{self.project}-state", "DASHBOARD_PORT": "0"}
        return run(*command, *arguments, seconds=seconds, **(own | settings))

    @property
    def container(self) -> Container:
        """The container of the service, as it is now."""
        return self._engine.containers.get(f"{self.project}-{SERVICE}-1")

    def execute(self, *command: str) -> tuple[int, str]:
        """Run a command in the container, as ``docker exec`` does; exit code and output."""
        code, output = self.container.exec_run(list(command))
        assert isinstance(output, bytes)
        return code or 0, output.decode()

    def wait_for_batch(self, count: int = 1, seconds: float = 60) -> None:
        """Wait until ``count`` sets are published, and the inputs of the last one archived."""
        wait_until(lambda: len(self.batches()) == count, seconds)
        wait_until(lambda: (self.inbox / "archive" / self.batches()[-1]).is_dir())

    def down(self) -> None:
        """Remove containers, volumes and image of the project."""
        self.compose("down", "--volumes", "--timeout", "5")
        with suppress(ImageNotFound):
            self._engine.images.remove(self._image, force=True)


@pytest.fixture(scope="module")
def make_compose_house(
    engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], ComposeHouse]]:
    """Makes clones; their containers, volumes and images are removed at the end."""
    built: list[ComposeHouse] = []

    def make() -> ComposeHouse:
        built.append(ComposeHouse(tmp_path_factory.mktemp("compose") / "clone", engine))
        return built[-1]

    yield make
    for house in built:
        house.down()


class Containers:
    """Containers of the image, started as ``docker run`` does; all are removed at the end."""

    def __init__(self, engine: docker.DockerClient, image: str) -> None:
        self._engine = engine
        self._image = image
        self._started: list[Container] = []

    def start(self, *arguments: str, house: House | None = None, **options: Any) -> Container:
        """Start one, with the folders of ``house`` mounted."""
        names = ("inbox", "outbox", "state") if house else ()
        mounts = {str(house.root / name): {"bind": f"/data/{name}", "mode": "rw"} for name in names} if house else {}
        volumes = mounts | options.pop("volumes", {})
        container = self._engine.containers.run(
            self._image, list(arguments), detach=True, volumes=volumes, **{"network_mode": "none", **options}
        )
        self._started.append(container)
        return container

    def run(self, *arguments: str, house: House | None = None, **options: Any) -> tuple[int, str, str]:
        """Run one to its end: exit code, stdout, stderr."""
        container = self.start(*arguments, house=house, **options)
        code = int(container.wait(timeout=180)["StatusCode"])
        return code, container.logs(stderr=False).decode(), container.logs(stdout=False).decode()

    def remove(self) -> None:
        """Remove them all."""
        for container in self._started:
            container.remove(force=True, v=True)


@pytest.fixture
def containers(engine: docker.DockerClient, image: str) -> Iterator[Containers]:
    """Containers of the image, for one test."""
    started = Containers(engine, image)
    yield started
    started.remove()


def stop_seconds(house: ComposeHouse) -> float:
    """Stop the service as a user does; returns the seconds it took."""
    began = time.monotonic()
    house.compose("stop")
    return time.monotonic() - began
