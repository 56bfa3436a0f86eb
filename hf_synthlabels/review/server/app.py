"""Web application of the review page: static files and API."""

from __future__ import annotations

import logging
from importlib import resources
from typing import TYPE_CHECKING, Any

import orjson

from hf_synthlabels.errors import StoreError, SynthLabelsError, import_extra
from hf_synthlabels.review.annotation_session import AnnotationSession
from hf_synthlabels.review.codebook.codebook_session import CodebookSession
from hf_synthlabels.review.server.access import AccessMiddleware, AccessPolicy
from hf_synthlabels.review.server.api_calls import Call, review_calls

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

MAX_BYTES = 8_000_000
"""Maximum size of a request: the longest text label in the least compact encoding."""

TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def review_app(
    session: AnnotationSession | CodebookSession, *, title: str = "", policy: AccessPolicy | None = None
) -> AccessMiddleware:
    """The ASGI application of a review.

    Args:
        session: the review.
        title: name of the data.
        policy: accepted requests (default: this machine only).

    Raises:
        MissingExtraError: the extra `app` is not installed.
    """
    import_extra("starlette", "app")
    from starlette.applications import Starlette
    from starlette.routing import Route

    calls = review_calls(session, title)
    routes = [Route(f"/api/{name}", _endpoint(call), methods=["POST"]) for name, call in calls.items()]
    routes += [Route("/" if name == "index.html" else f"/{name}", _file(name)) for name in _files()]
    return AccessMiddleware(Starlette(routes=routes), policy)


def _endpoint(call: Call) -> Any:
    from starlette.concurrency import run_in_threadpool

    async def answer(request: Request) -> Response:
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > MAX_BYTES:
                return _json({"error": f"The request exceeds {MAX_BYTES:,} bytes."}, 413)
        try:
            content = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            return _json({"error": f"The request is not JSON: {error}."}, 400)
        if not isinstance(content, dict):
            return _json({"error": "The request is not a JSON object."}, 400)
        try:
            return _json(await run_in_threadpool(call, content))
        except StoreError as error:
            return _json({"error": str(error)}, 503)
        except SynthLabelsError as error:
            return _json({"error": str(error)}, 400)
        except Exception:
            logging.getLogger(__name__).exception("a call of the review page failed")
            return _json({"error": "Internal server error; see the log of the server."}, 500)

    return answer


def _json(content: Any, status: int = 200) -> Response:
    from starlette.responses import Response

    return Response(orjson.dumps(content), status, media_type="application/json")


def _files() -> list[str]:
    folder = resources.files("hf_synthlabels.review") / "static"
    return sorted(file.name for file in folder.iterdir() if file.name[file.name.rfind(".") :] in TYPES)


def _file(name: str) -> Any:
    from starlette.responses import Response

    content = (resources.files("hf_synthlabels.review") / "static" / name).read_bytes()
    kind = TYPES[name[name.rfind(".") :]]

    async def answer(_: Request) -> Response:
        return Response(content, media_type=kind)

    return answer
