"""A URL -> the transport that goes there. A new transport is a line in `TRANSPORTS`."""

import re
from collections.abc import Callable
from urllib.parse import urlsplit

from seal_cli.store.remote.folder import Folder
from seal_cli.store.remote.hub import Hub
from seal_cli.store.remote.objects import Objects
from seal_cli.store.remote.sftp import Sftp
from seal_cli.store.remote.transport import Address, Transport
from stages.errors import ConfigError

TRANSPORTS: dict[str, Callable[[Address], Transport]] = {
    "file": Folder,
    "s3": Objects,
    "gs": Objects,
    "sftp": Sftp,
    "hf": Hub,
}
_UNPLAIN = re.compile(r"[\x00-\x1f\x7f*?#%\[\]\\]")


def parsed(url: str) -> Address:
    """The parts of a URL. Raises ConfigError, which never repeats what may be a password."""
    known = ", ".join(f"{name}://" for name in TRANSPORTS)
    try:
        parts = urlsplit(url)
        user, password, _ = parts.username, parts.password, parts.port
    except ValueError as error:
        raise ConfigError("the URL is not understood.", f"Write one of {known}…") from error
    if parts.scheme not in TRANSPORTS:
        what = f"{parts.scheme}://" if parts.scheme else "a URL without a scheme"
        raise ConfigError(f"{what} is not known here.", f"Write one of {known}…")
    if password is not None or (user is not None and parts.scheme != "sftp"):
        raise ConfigError(
            f"the {parts.scheme}:// URL has credentials in it.",
            "Leave them out, and set them in the environment: a URL is stored and shown.",
        )
    path = parts.path.rstrip("/")
    unplain = parts.query or parts.fragment or _UNPLAIN.search(url)
    if unplain or any(part in ("", ".", "..") for part in path.split("/")[1:]):
        raise ConfigError(
            f"the path of the {parts.scheme}:// URL is not plain.",
            "Leave out ., .., //, and any of * ? # % [ ] \\.",
        )
    if not parts.netloc and not path:
        raise ConfigError(f"{parts.scheme}:// says no place.", f"Write one of {known}…")
    return Address(parts.scheme, parts.netloc, path)


def reach(url: str) -> Transport:
    """The transport to a URL. Raises ConfigError where the URL or the installation is wrong."""
    address = parsed(url)
    return TRANSPORTS[address.scheme](address)
