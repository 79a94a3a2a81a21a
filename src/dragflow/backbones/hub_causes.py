"""Why the hub does not give a model: every cause by its name, with what to do about it, and without any secret.

The libraries' own words are not quoted: they hold addresses, which may hold passwords.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from urllib.parse import urlsplit

_READ_ONLY = "{cache} may not be written: change that, or set HF_HOME to a folder of yours"
_FULL = "the disk of {cache} is full: free space there, or set HF_HOME to another"
_BY_ERRNO = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), _FULL),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), _READ_ONLY),
}
_BY_NAME = {
    "RevisionNotFoundError": "there is no revision {revision} of it on the hub: check `revision`",
    "DisabledRepoError": "the hub has disabled it: name another model",
    "RepositoryNotFoundError": "it is not on the hub, or private, and there is no such folder here: check the name, or "
    "set HF_TOKEN to a token that may read it",
    "OfflineModeIsEnabled": "it is not in the cache and HF_HUB_OFFLINE forbids downloads: unset that once, {instead}",
}
_BY_STATUS = {
    401: "the hub refuses your token: log in again (`hf auth login`), set HF_TOKEN to a valid one, or unset it",
    403: "your token may not read it (403): give the token that right on the hub, or use another in HF_TOKEN",
    404: "a file of it is missing on the hub (404): check the name and `revision`",
    429: "the hub has had too many requests from here (429): wait some minutes; with HF_TOKEN set the limit is higher",
}
_BY_TRANSPORT = {
    "ProxyError": "the proxy refuses the connection to {host}: check HTTPS_PROXY, HTTP_PROXY and NO_PROXY",
    "TimeoutException": "{host} does not answer in time: try again, or raise HF_HUB_ETAG_TIMEOUT and "
    "HF_HUB_DOWNLOAD_TIMEOUT",
    "SSLError": "the certificate of {host} is not accepted: check the clock, a proxy, and SSL_CERT_FILE",
    "ConnectError": "{host} cannot be reached{proxy}: check the network, {instead}",
    "UnsupportedProtocol": "HF_ENDPOINT is not an address of http or https: correct or unset it",
    "InvalidURL": "HF_ENDPOINT is not an address of http or https: correct or unset it",
    "TransportError": "the connection to {host} broke off: try again, what is downloaded is kept",
    "LocalEntryNotFoundError": "{host} cannot be reached{proxy}: check the network, {instead}",
}


def cause(error: BaseException, what: str, model: str, revision: str | None) -> str:
    """One sentence: what could not be loaded, why, and what to do."""
    from huggingface_hub import constants

    proxies = [v for v in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY") if os.environ.get(v) or os.environ.get(v.lower())]
    why = _why(list(_chain(error))).format(
        revision=revision or "main",
        cache=constants.HF_HUB_CACHE,
        host=urlsplit(constants.ENDPOINT).hostname or "the hub",
        instead="or give a folder, or the built-in `nano`" if what == "model" else "or give a folder",
        proxy=f" through the proxy of {proxies[0]}" if proxies else "",
    )
    return f"{what} {model} cannot be loaded: {why}"


def is_final(error: BaseException) -> bool:
    """Whether a copy in the cache does not help: another revision was asked for than there is."""
    return any(_is(one, "RevisionNotFoundError") for one in _chain(error))


def _why(errors: list[BaseException]) -> str:
    for number, why in _BY_ERRNO.items():
        if any(isinstance(one, OSError) and one.errno == number for one in errors):
            return why
    statuses = [status for one in errors if (status := getattr(getattr(one, "response", None), "status_code", None))]
    if any(_is(one, "GatedRepoError") for one in errors):
        return _gated()
    for name, why in _BY_NAME.items():
        if any(_is(one, name) for one in errors):
            return why
    if statuses:
        status = statuses[0]
        return _BY_STATUS.get(status, f"the hub has trouble (status {status}): try again later, {{instead}}")
    for name, why in _BY_TRANSPORT.items():
        if any(_is(one, name) for one in errors):
            return why
    return f"the download failed ({type(errors[0]).__name__}): try again, {{instead}}"


def _gated() -> str:
    from huggingface_hub import get_token

    if get_token() is None:
        return "it is gated: accept its licence on its page of the hub, then set HF_TOKEN to a token of that account"
    return "it is gated, and the account of your token has no access: ask for it on the model's page of the hub"


def _is(error: BaseException, name: str) -> bool:
    """Whether an error is of a class of this name; the hub has changed its HTTP library, which keeps the names."""
    return any(cls.__name__ == name for cls in type(error).__mro__)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and all that led to it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
