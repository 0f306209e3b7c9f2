"""An S3 server on loopback that counts the requests that it gets."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.request import Request, urlopen

import boto3
import fsspec
import pytest
from moto.server import ThreadedMotoServer


@dataclass
class S3Server:
    """A running server.

    Attributes:
        url: URL of an empty bucket.
        requests: Requests since the start, by method.
        client: Client that does not count.
    """

    url: str
    client: Any
    requests: Counter[str] = field(default_factory=Counter)


@contextmanager
def s3_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """Starts a server, to which the environment leads every client of this process and of those that it starts."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    # What servers of this process hold outlives them.
    urlopen(Request(f"{endpoint}/moto-api/reset", method="POST")).close()
    client = boto3.client("s3", endpoint_url=endpoint)
    client.create_bucket(Bucket="windows")
    found = S3Server("s3://windows/w.zarr", client)
    application = server._server.app  # type: ignore[union-attr]

    def count(environment: Any, respond: Any) -> Any:
        found.requests[environment["REQUEST_METHOD"]] += 1
        return application(environment, respond)

    server._server.app = count  # type: ignore[union-attr]
    try:
        yield found
    finally:
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        server.stop()
