"""What tests of several folders need."""

import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.shape_checks import check_shapes
from tests.wall_clock import WallClock

# Before any test imports JAX: tests and the commands that they start share compiled programs, apart from the user's.
for _name, _value in {
    "JAX_COMPILATION_CACHE_DIR": str(Path(__file__).parents[1] / ".pytest_cache" / "jax"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    # Most of the time goes to compiling; what XLA leaves out changes no value by more than rounding.
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
}.items():
    os.environ.setdefault(_name, _value)

# Laws are tried on the same examples each time, and nothing asserts a time.
settings.register_profile(
    "repeatable", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")

# Before any test imports what it tests.
check_shapes()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first, so that no process has it to do when the others have ended."""
    slow = ("flows/prefect_flows", "flows/training", "flows", "packaging", "examples", "cluster")

    def rank(item: pytest.Item) -> int:
        path = item.path.relative_to(Path(__file__).parent).as_posix()
        return next((place for place, folder in enumerate(slow) if path.startswith(folder)), len(slow))

    items.sort(key=rank)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes are named by their place: processes that share a run's tests must agree on the names, and what bytes hold
    may differ from process to process, as the time in a compressed file does."""
    return argname if isinstance(val, bytes) else None


@pytest.fixture(scope="session", autouse=True)
def interrupts_are_heard() -> Iterator[None]:
    """Ctrl-C ends what tests start, also where the shell that runs them ignores it, as it does for background jobs."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module", autouse=True)
def programs_go_with_their_tests() -> Iterator[None]:
    """What a module's tests have compiled is let go of: all of it together would take 5 GB."""
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """An empty folder that other users may read, unlike ``tmp_path``."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def unprivileged() -> Callable[[], contextlib.AbstractContextManager[None]]:
    """A context in which this process, even if root's, may write only where everyone may."""

    @contextlib.contextmanager
    def another_user() -> Iterator[None]:
        if os.geteuid() != 0:
            yield
            return
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)

    return another_user


@pytest.fixture
def wall_clock(tmp_path: Path) -> WallClock:
    """A clock for processes that a test starts, which has not jumped yet."""
    (tmp_path / "clock").mkdir()
    return WallClock(tmp_path / "clock")
