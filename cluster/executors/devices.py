"""Which devices the workers with a GPU see."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, cast

from distributed import Client

from diffbio_core.problems import Problem


def seen_devices() -> list[str]:
    """Ids of the devices that this worker may use: those that its environment names, else those that JAX finds."""
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    import jax

    found = [f"{device.platform}:{device.id}" for device in jax.local_devices()]
    return named if named and len(found) <= len(named) else found


def ask_devices(client: Client, addresses: Iterable[str], seconds: float) -> dict[str, list[str]]:
    """What `seen_devices` says on some workers, by address.

    Raises:
        TimeoutError: A worker does not answer within some seconds.
    """

    async def ask() -> dict[str, Any]:
        answers: Any = client._run(seen_devices, workers=list(addresses))
        return await asyncio.wait_for(answers, seconds)

    return cast("dict[str, list[str]]", client.sync(ask))


def device_problems(seen: Mapping[str, list[str]]) -> list[Problem]:
    """A problem for each worker that sees several devices or none, or one that another worker of its host sees.

    Args:
        seen: Ids by the worker's address.
    """
    remedy = "Start one worker per GPU, with CUDA_VISIBLE_DEVICES set to its id alone."
    problems = [
        Problem(f"worker {address}", f"has the resource GPU but sees {', '.join(ids) or 'no device'}", remedy)
        for address, ids in seen.items()
        if len(ids) != 1
    ]
    places = Counter((_host(address), ids[0]) for address, ids in seen.items() if len(ids) == 1)
    shared = [(host, gpu) for (host, gpu), number in places.items() if number > 1]
    return problems + [Problem(f"GPU {gpu} of {host}", "is seen by several workers", remedy) for host, gpu in shared]


def _host(address: str) -> str:
    return address.split("://")[-1].rsplit(":", 1)[0]
