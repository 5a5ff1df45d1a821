"""The HTTP client that asks a server: it goes nowhere else, and takes no answer without end."""

from typing import Any

LARGEST = 16 << 20  # bytes of an answer
_REDIRECTS = 5  # that a server may send us round by itself


class Elsewhere(Exception):
    """The server sends us to another origin, which would get our headers."""


def guarded_client(**options: Any) -> Any:
    """An asynchronous client for the openai library.

    It follows redirects within one origin (scheme, host and port, RFC 6454) only, and raises
    ValueError for an answer beyond LARGEST once it is unpacked.
    """
    import openai

    class Guarded(openai.DefaultAsyncHttpxClient):
        async def send(self, request: Any, *, stream: bool = False, **how: Any) -> Any:
            how["follow_redirects"] = False
            for _ in range(_REDIRECTS):
                response = await super().send(request, stream=True, **how)
                following = response.next_request
                if following is None:
                    break
                await response.aclose()
                if _origin(following.url) != _origin(request.url):
                    raise Elsewhere(f"it redirects to {_origin(following.url)[1]}")
                request = following
            else:
                raise ValueError("it redirects in a circle")
            body = bytearray()
            try:
                async for part in response.aiter_bytes():
                    body += part
                    if len(body) > LARGEST:
                        raise ValueError(f"it has more than {LARGEST >> 20} MiB")
            finally:
                await response.aclose()
            packed = ("content-encoding", "content-length", "transfer-encoding")
            headers = [(n, v) for n, v in response.headers.multi_items() if n not in packed]
            return type(response)(
                response.status_code, headers=headers, content=bytes(body), request=request
            )

    return Guarded(**options)


def _origin(url: Any) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)
