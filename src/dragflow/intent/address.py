"""Where a chat-completions server is, and the key that it wants: options and environment, checked (App. D.3)."""

from __future__ import annotations

import ipaddress
import os
from urllib.parse import urlsplit

from dragflow.core.errors import UserError

OFFICIAL = "https://api.openai.com/v1"
KEY_VARIABLE = "OPENAI_API_KEY"
URL_VARIABLE = "OPENAI_BASE_URL"


def service_url(given: str | None) -> str:
    """The address of the service, by option, else by environment, else the official one; without a slash at its end.

    Raises:
        UserError: not an address of http or https, or one that holds a secret.
    """
    url = (given or os.environ.get(URL_VARIABLE, "").strip() or OFFICIAL).rstrip("/")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = None, None
    if parts is not None and ("@" in parts.netloc or parts.query or parts.fragment):
        raise UserError(
            f"the base URL holds more than host and path (a user name, a query): keys come from {KEY_VARIABLE} alone, "
            "because an address is logged and stored"
        )
    if parts is None or parts.scheme not in ("http", "https") or not host or not url.isascii() or not url.isprintable():
        raise UserError(f"base URL {url!r} is not valid: write it as in {OFFICIAL} or http://localhost:8000/v1")
    return url


def is_local(url: str) -> bool:
    """Whether an address means this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def service_key(url: str) -> str | None:
    """The key for a service, from the environment; None where there is none and none is needed.

    Raises:
        UserError: it is missing, is malformed, or would be sent unencrypted. The key itself is never in the text.
    """
    if (fault := _fault(_key(), url)) is not None:
        raise UserError(fault)
    return _key() or None


def _key() -> str:
    return os.environ.get(KEY_VARIABLE, "").strip()


def _fault(key: str, url: str) -> str | None:
    """What is wrong with a key; the caller raises it, because a traceback may show the variables of every frame."""
    if not key:
        needed = f"{OFFICIAL} needs a key: set {KEY_VARIABLE}, or name a local server as `provider.base_url`"
        return needed if url == OFFICIAL else None
    if not (key.isascii() and key.isprintable()) or " " in key:
        return f"{KEY_VARIABLE} holds a character that no key has: copy the key again"
    if urlsplit(url).scheme == "http" and not is_local(url):
        return (
            f"{url} is plain http to another machine, which would expose the key of {KEY_VARIABLE} on the network"
            ": use https or a tunnel to localhost, or unset the key where the server needs none"
        )
    return None
