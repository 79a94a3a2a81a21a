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
        UserError: an empty one, not an address of http or https, or one that holds a secret.
    """
    if given is not None and not given.strip():
        raise UserError(
            "`provider.base_url` is empty, as a shell variable is that is not set: give an address, or leave it out to "
            f"use {URL_VARIABLE} or {OFFICIAL}"
        )
    url = (given or variable(URL_VARIABLE) or OFFICIAL).rstrip("/")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = None, None
    if "@" in url or (parts is not None and (parts.query or parts.fragment)):
        raise UserError(
            f"the base URL holds more than host and path (a user name, a query): keys come from {KEY_VARIABLE} alone, "
            "because an address is logged and stored"
        )
    if parts is None or parts.scheme not in ("http", "https") or not host or not _is_plain(url):
        raise UserError(f"base URL {url!r} is not valid: write it as in {OFFICIAL} or http://localhost:8000/v1")
    return url


def variable(name: str) -> str | None:
    """A variable of the environment, without white space around it; None where it is not set.

    Raises:
        UserError: it is set and empty: whoever set it meant something, and no default is that.
    """
    text = os.environ.get(name)
    if text is not None and not text.strip():
        raise UserError(f"the environment variable {name} is set but empty: give it a value, or unset it")
    return None if text is None else text.strip()


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
    if (fault := _fault(variable(KEY_VARIABLE), url)) is not None:
        raise UserError(fault)
    return variable(KEY_VARIABLE)


def _is_plain(text: str) -> bool:
    """Whether a text fits into a header: ASCII that is seen."""
    return text.isascii() and text.isprintable() and " " not in text


def _fault(key: str | None, url: str) -> str | None:
    """What is wrong with a key; the caller raises it, because a traceback may show the variables of every frame."""
    if key is None:
        needed = f"{OFFICIAL} needs a key: set {KEY_VARIABLE}, or name a local server as `provider.base_url`"
        return needed if url == OFFICIAL else None
    if not _is_plain(key):
        return f"{KEY_VARIABLE} holds a character that no key has: copy the key again"
    if urlsplit(url).scheme == "http" and not is_local(url):
        return (
            f"{url} is plain http to another machine, which would expose the key of {KEY_VARIABLE} on the network"
            ": use https or a tunnel to localhost, or unset the key where the server needs none"
        )
    return None
