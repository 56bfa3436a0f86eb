"""The server of the review page: its files, and the calls that it makes."""

from __future__ import annotations

import logging
from importlib import resources
from typing import TYPE_CHECKING, Any

import orjson

from hf_synthlabels.errors import StoreError, SynthLabelsError, import_extra
from hf_synthlabels.review.annotation_session import AnnotationSession
from hf_synthlabels.review.server.access import AccessMiddleware, AccessPolicy
from hf_synthlabels.review.server.api_calls import Call, review_calls

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

MAX_BYTES = 8_000_000
"""Of one request: a written label at its longest, in the worst encoding."""

TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def review_app(desk: AnnotationSession, *, title: str = "", trust: AccessPolicy | None = None) -> AccessMiddleware:
    """The ASGI application of a review.

    Args:
        desk: what is reviewed.
        title: the name of the data.
        trust: from where requests are taken; this machine by default.

    Raises:
        MissingExtraError: the extra `app` is not installed.
    """
    import_extra("starlette", "app")
    from starlette.applications import Starlette
    from starlette.routing import Route

    calls = review_calls(desk, title)
    routes = [Route(f"/api/{name}", _endpoint(call), methods=["POST"]) for name, call in calls.items()]
    routes += [Route("/" if name == "index.html" else f"/{name}", _file(name)) for name in _files()]
    return AccessMiddleware(Starlette(routes=routes), trust)


def _endpoint(call: Call) -> Any:
    from starlette.concurrency import run_in_threadpool

    async def answer(request: Request) -> Response:
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > MAX_BYTES:
                return _json({"error": f"The request is longer than {MAX_BYTES:,} bytes."}, 413)
        try:
            said = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            return _json({"error": f"The request is no JSON: {error}."}, 400)
        if not isinstance(said, dict):
            return _json({"error": "The request is no JSON object."}, 400)
        try:
            return _json(await run_in_threadpool(call, said))
        except StoreError as error:
            return _json({"error": str(error)}, 503)
        except SynthLabelsError as error:
            return _json({"error": str(error)}, 400)
        except Exception:
            logging.getLogger(__name__).exception("a call of the review page failed")
            return _json({"error": "The server has a fault; its log says which."}, 500)

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
