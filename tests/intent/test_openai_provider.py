"""The provider `openai` against a real HTTP server: what is sent, what is made of every kind of reply, and the key."""

from __future__ import annotations

import gzip
import io
import json
import logging
import socket
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict
from email.utils import formatdate
from typing import Any

import numpy as np
import pytest
from chat_server import (
    Act,
    ChatServer,
    breaks_off,
    chat_server,
    drips,
    fails,
    hangs,
    picky,
    raw,
    says,
    without_end,
)
from intent_makers import answer, request

from dragflow.core.errors import DragFlowError, IntentError, UserError
from dragflow.intent.openai_http import MAX_REPLY
from dragflow.intent.openai_provider import OpenAIProvider, load
from dragflow.intent.options import ProviderOptions

KEY = "sk-secret-0123456789abcdef"
CHAT = b'{"choices": [{"message": {"content": "%s"}}]}'


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ADMIN_KEY", "DRAGFLOW_INTENT_MODEL", "OPENAI_LOG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with chat_server() as running:
        yield running


def provider(server: ChatServer, **options: Any) -> OpenAIProvider:
    given = {"base_url": server.url, "model": "see-1", "timeout": 5.0} | options
    return OpenAIProvider(ProviderOptions(**given))


def failure(server: ChatServer, *acts: Act, **options: Any) -> DragFlowError:
    server.script(*acts)
    with pytest.raises(DragFlowError) as caught:
        provider(server, **options).propose(request())
    return caught.value


def test_an_answer_becomes_a_proposal_with_its_cost(server: ChatServer) -> None:
    server.script(says(answer()))
    given = provider(server).propose(request())
    assert [c.label for c in given.proposal.candidates] == ["relocation", "deformation", "rotation"]
    assert given.proposal.background_prompt == "a grey field"
    record = given.record
    assert (record.provider, record.model, record.attempts) == ("openai", f"see-1 at {server.url}", 1)
    assert (record.prompt_tokens, record.completion_tokens) == (700, 90)
    assert 0 < record.seconds < 5


def test_the_server_sees_picture_and_overlay_pixel_for_pixel_and_the_schema(server: ChatServer) -> None:
    server.script(says(answer()))
    asked = request()
    provider(server).propose(asked)
    (call,) = server.calls
    assert call.path == "/v1/chat/completions"
    assert [m["role"] for m in call.body["messages"]] == ["system", "user"]
    picture, overlay = call.pictures
    assert np.array_equal(picture, asked.picture)
    assert np.array_equal(overlay, asked.overlay)
    form = call.body["response_format"]
    assert form["type"] == "json_schema"
    assert form["json_schema"]["strict"] is True
    assert form["json_schema"]["schema"]["required"] == ["background_prompt", "change", "candidates"]
    assert call.body["model"] == "see-1"


@pytest.mark.parametrize(("side", "size"), [(64, (43, 64)), (1024, (60, 90))])
def test_pictures_are_sent_no_larger_than_allowed(server: ChatServer, side: int, size: tuple[int, int]) -> None:
    server.script(says(answer()))
    provider(server, max_image_side=side).propose(request())
    assert [p.shape for p in server.calls[0].pictures] == [(*size, 3), (*size, 3)]


def test_without_a_key_none_is_sent(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ADMIN_KEY", KEY)
    server.script(says(answer()))
    provider(server).propose(request())
    assert "authorization" not in server.calls[0].headers


def test_the_key_is_the_one_of_the_environment(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.script(says(answer()))
    made = provider(server)
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
    made.propose(request())
    assert server.calls[0].headers["authorization"] == f"Bearer {KEY}"


def test_address_and_model_come_from_the_environment(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/")
    monkeypatch.setenv("DRAGFLOW_INTENT_MODEL", "see-2")
    server.script(says(answer()))
    given = load(ProviderOptions()).propose(request())
    assert server.calls[0].body["model"] == "see-2"
    assert given.record.model == f"see-2 at {server.url}"


def test_a_picture_for_this_machine_does_not_go_through_a_proxy(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with chat_server() as proxy:
        proxy.script(fails(500))
        monkeypatch.setenv("HTTP_PROXY", proxy.url.removesuffix("/v1"))
        server.script(says(answer()))
        provider(server).propose(request())
        assert not proxy.calls


# Failures on the way


def test_a_rate_limit_is_waited_for_as_long_as_the_server_says(server: ChatServer) -> None:
    server.script(fails(429, Retry_After="0.3"), says(answer()))
    began = time.monotonic()
    given = provider(server).propose(request())
    assert time.monotonic() - began >= 0.3
    assert len(server.calls) == 2
    assert given.record.attempts == 1


def test_a_retry_date_in_the_past_means_at_once(server: ChatServer) -> None:
    server.script(fails(503, Retry_After=formatdate(time.time() - 60, usegmt=True)), says(answer()))
    provider(server).propose(request())
    assert len(server.calls) == 2


@pytest.mark.parametrize("said", ["3600", formatdate(4e9, usegmt=True)])
def test_a_wait_longer_than_all_calls_may_take_is_not_begun(server: ChatServer, said: str) -> None:
    error = failure(server, fails(429, "slow down", Retry_After=said))
    assert len(server.calls) == 1
    assert "slow down" in str(error)
    assert "try again in " in str(error)


def test_an_empty_account_is_not_asked_again(server: ChatServer) -> None:
    error = failure(server, fails(429, "You exceeded your quota", code="insufficient_quota"))
    assert len(server.calls) == 1
    assert "You exceeded your quota" in str(error)


@pytest.mark.parametrize("act", [*(fails(status, Retry_After="0.01") for status in (408, 500, 502, 529)), breaks_off])
def test_what_may_pass_is_tried_again(server: ChatServer, act: Act) -> None:
    server.script(act, act, says(answer()))
    provider(server).propose(request())
    assert len(server.calls) == 3


@pytest.mark.parametrize("retries", [0, 2])
def test_a_server_that_fails_for_ever_is_given_up(server: ChatServer, retries: int) -> None:
    error = failure(server, fails(500, "on fire", Retry_After="0.01"), retries=retries)
    assert len(server.calls) == retries + 1
    assert isinstance(error, IntentError)
    assert "500 (on fire)" in str(error)
    assert "`provider.name` rules" in str(error)


def test_all_attempts_together_end_in_time(server: ChatServer) -> None:
    began = time.monotonic()
    error = failure(server, fails(500), timeout=0.1, retries=9)
    assert len(server.calls) == 2  # the waits double: the third attempt would begin after 1.1 s at least
    assert time.monotonic() - began < 3
    assert "within 1 s in all attempts (the last: status 500)" in str(error)


@pytest.mark.parametrize("act", [hangs, drips])
def test_a_server_that_takes_too_long_is_left_after_one_time_out(server: ChatServer, act: Act) -> None:
    began = time.monotonic()
    error = failure(server, act, timeout=0.3)
    assert 0.3 <= time.monotonic() - began < 2
    assert len(server.calls) == 1
    assert "within 0.3 s" in str(error)
    assert "`provider.name` rules" in str(error)


def test_nobody_at_the_address(server: ChatServer) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    error = failure(server, says(answer()), base_url=url)
    assert url in str(error)
    assert "is the server running" in str(error)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(server: ChatServer, status: int) -> None:
    with chat_server() as other:
        other.script(says(answer()))
        error = failure(server, raw(b"", status, Location=f"{other.url}/x?token=1"))
        assert isinstance(error, UserError)
        assert f"{other.url}/x:" in str(error)
        assert "token" not in str(error)
        assert not other.calls
    assert len(server.calls) == 1


@pytest.mark.parametrize(
    ("status", "fix"),
    [(401, "OPENAI_API_KEY"), (403, "OPENAI_API_KEY"), (404, "`provider.base_url`"), (413, "too big")],
)
def test_what_the_person_can_mend_is_said_and_not_tried_again(server: ChatServer, status: int, fix: str) -> None:
    error = failure(server, fails(status, "too big"))
    assert len(server.calls) == 1
    assert fix in str(error)
    assert isinstance(error, IntentError if status == 413 else UserError)


# Replies that do not answer


def test_a_server_without_response_format_is_asked_in_plain_words(server: ChatServer) -> None:
    server.script(picky(says("nonsense")), picky(says("nonsense")), picky(says(f"Sure!\n```json\n{answer()}\n```")))
    given = provider(server).propose(request())
    assert ["response_format" in call.body for call in server.calls] == [True, False, False]
    assert given.record.attempts == 2
    assert len(given.proposal.candidates) == 3


def test_a_bad_request_is_told_if_it_is_bad_without_a_format_too(server: ChatServer) -> None:
    error = failure(server, fails(400, "this model sees no pictures"))
    assert len(server.calls) == 2
    assert "this model sees no pictures" in str(error)


@pytest.mark.parametrize("bad", ["{", "I think it moves.", "", None])
def test_broken_json_is_repaired_once(server: ChatServer, bad: str | None) -> None:
    server.script(says(bad), says(answer()))
    given = provider(server).propose(request())
    assert given.record.attempts == 2
    assert (given.record.prompt_tokens, given.record.completion_tokens) == (1400, 180)


def test_a_broken_rule_goes_back_with_the_answer_that_broke_it(server: ChatServer) -> None:
    bad = answer(label="teleportation")
    server.script(says(bad), says(answer()))
    provider(server).propose(request())
    first, second = (call.body["messages"] for call in server.calls)
    assert second[: len(first)] == first
    assert second[-2] == {"role": "assistant", "content": bad}
    assert second[-1]["role"] == "user"
    assert "candidates.0.label" in second[-1]["content"]


def test_an_answer_that_stays_bad_is_an_error_after_one_repair(server: ChatServer) -> None:
    error = failure(server, says(answer(prompt="see http://evil.example")))
    assert len(server.calls) == 2
    assert isinstance(error, IntentError)
    assert "candidates.0.prompt" in str(error)
    assert "`provider.name` rules" in str(error)


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (says(None, refusal="I cannot look at\x1b[31m faces."), "refuses to answer (I cannot look at [31m faces.)"),
        (says(answer(), finish="content_filter"), "refuses to answer"),
        (says(answer()[:90], finish="length"), "was cut"),
        (says("x" * 70_000), "70000 characters, over the limit of 64000"),
    ],
)
def test_a_refusal_and_an_endless_answer_are_not_argued_with(server: ChatServer, act: Act, words: str) -> None:
    error = failure(server, act)
    assert len(server.calls) == 1
    assert isinstance(error, IntentError)
    assert words in str(error)
    assert "`provider.name` rules" in str(error)


@pytest.mark.parametrize(
    "act",
    [
        raw(b"<html>hello</html>", Content_Type="text/html"),
        raw(b'{"choices": []}'),
        raw(b'{"choices": null, "error": {"message": "hello"}}'),
        raw(b'{"choices": [{"message": {"content": "\xff\xfe"}}]}'),
        raw(b"\xff\xfe\x00"),
        raw(b""),
        raw(b"[" * 200_000),
        raw(b'{"choices": [{"message": {"content": 5}}]}'),
    ],
)
def test_a_reply_that_is_no_completion_is_an_error(server: ChatServer, act: Act) -> None:
    error = failure(server, act)
    assert len(server.calls) == 1
    assert isinstance(error, IntentError)
    assert "not a chat completion" in str(error)
    assert len(str(error)) < 600


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": None}, {"total_tokens": 5}, {"prompt_tokens": "many"}])
def test_a_server_that_does_not_count(server: ChatServer, usage: object) -> None:
    server.script(says(answer(), usage=usage))
    record = provider(server).propose(request()).record
    assert record.prompt_tokens is None
    assert record.completion_tokens is None


def test_a_huge_reply_is_left_unread(server: ChatServer) -> None:
    sent = [0]
    error = failure(server, without_end(sent))
    assert f"longer than {MAX_REPLY} bytes" in str(error)
    assert len(server.calls) == 1
    assert sent[0] < 16 * MAX_REPLY  # what fits into the buffers of two sockets


def test_a_huge_error_is_left_unread(server: ChatServer) -> None:
    error = failure(server, raw(b"x" * (2 * MAX_REPLY), 400))
    assert f"longer than {MAX_REPLY} bytes" in str(error)


def test_a_packed_reply_is_not_unpacked(server: ChatServer) -> None:
    bomb = gzip.compress(b" " * (50 * MAX_REPLY))
    error = failure(server, raw(bomb, Content_Encoding="gzip"))
    assert server.calls[0].headers["accept-encoding"] == "identity"
    assert "is compressed" in str(error)


# The key


def status_line(reason: str) -> Act:
    """A refusal with words of the server in its first line."""

    def act(handler: Any) -> None:
        handler.send_response(413, reason)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return act


def everything(error: BaseException) -> str:
    """An error and all that is chained to it, their attributes, and the variables of every frame but this file's."""
    seen, chain = "", [error]
    while chain:
        one = chain.pop()
        frames = [frame for frame, _ in traceback.walk_tb(one.__traceback__)]
        variables = [repr(list(frame.f_locals.items())) for frame in frames if frame.f_code.co_filename != __file__]
        assert variables
        seen += "".join([*traceback.format_exception(one), repr(one), repr(vars(one)), *variables])
        chain += [other for other in (one.__cause__, one.__context__) if other is not None]
    return seen


@pytest.mark.parametrize(
    "acts",
    [
        (says(answer()),),
        (says(answer(prompt=f"a field with {KEY}")),),
        (says(answer(label=KEY)),),
        (raw(CHAT % f"\\u0073{KEY[1:]}".encode()),),
        (says(answer(prompt=KEY).replace(KEY, f"\\u0073{KEY[1:]}")),),
        (status_line(KEY),),
        (says(None, refusal=f"Bearer {KEY}"),),
        (says(answer(), finish="length"),),
        (fails(401, f"Incorrect API key provided: {KEY}"),),
        (fails(400, f"{'x' * 290} Bearer {KEY}"),),
        (fails(429, KEY, Retry_After="9999"),),
        (fails(500, KEY),),
        (raw(json.dumps({"detail": {"headers": {"authorization": KEY}}}).encode(), 422),),
        (raw(f"Bearer {KEY}".encode(), 502, Content_Type="text/plain"),),
        (raw(f"<{KEY}>".encode()),),
        (raw(b"", 307, Location=f"http://{KEY}@h.example/{KEY}?k={KEY}"),),
        (breaks_off,),
        (without_end([0]),),
        (raw(gzip.compress(KEY.encode()), Content_Encoding="gzip"),),
        (hangs,),
        (picky(says(KEY)),),
    ],
)
def test_the_key_comes_out_nowhere(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], acts: tuple[Act, ...]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    server.script(*acts)
    made = provider(server, timeout=0.5)
    out = ""
    try:
        out += repr(asdict(made.propose(request())))
    except DragFlowError as error:
        out += everything(error)
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    assert server.calls[0].headers["authorization"] == f"Bearer {KEY}"
    logged = lines.getvalue()
    assert "HTTP" in logged
    shown = capfd.readouterr()
    for text in (out, logged, shown.out, shown.err, repr(made), repr(vars(made))):
        assert KEY not in text
        assert KEY[:12] not in text


@pytest.mark.parametrize("bad", ["sk-secret-ä", "sk-secret-x\ny", "sk-secret x", "sk-secret-\x01"])
def test_a_key_that_no_header_can_hold_is_refused_without_being_shown(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch, bad: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", bad)
    error = failure(server, says(answer()))
    assert isinstance(error, UserError)
    assert "sk-secret" not in everything(error)
    assert not server.calls


def test_a_placeholder_for_a_key_is_not_cut_out_of_answers(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a")
    server.script(says(answer()))
    assert provider(server).propose(request()).proposal.background_prompt == "a grey field"


def test_the_official_server_wants_a_key() -> None:
    with pytest.raises(UserError, match="OPENAI_API_KEY"):
        OpenAIProvider(ProviderOptions()).propose(request())


@pytest.mark.parametrize("host", ["example.com", "192.168.1.5:8000", "localhost.example.com", "[2001:db8::1]"])
def test_a_key_does_not_travel_in_clear(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    made = OpenAIProvider(ProviderOptions(base_url=f"http://{host}/v1", model="m"))
    with pytest.raises(UserError, match="plain http") as caught:
        made.propose(request())
    assert KEY not in everything(caught.value)


# Set up


@pytest.mark.parametrize(
    ("url", "remote"),
    [
        (None, True),
        ("http://localhost:1/v1", False),
        ("http://a.localhost/v1", False),
        ("http://127.9.9.9/v1", False),
        ("http://[::1]:5/v1", False),
        ("https://example.com/v1", True),
        ("http://10.0.0.1/v1", True),
    ],
)
def test_which_address_is_this_machine(url: str | None, remote: bool) -> None:
    assert OpenAIProvider(ProviderOptions(base_url=url, model="m")).remote is remote


def test_the_usual_address_needs_no_model_and_is_not_part_of_its_name() -> None:
    assert OpenAIProvider(ProviderOptions()).model == "gpt-5"


def test_another_address_needs_a_model() -> None:
    with pytest.raises(UserError, match="DRAGFLOW_INTENT_MODEL"):
        OpenAIProvider(ProviderOptions(base_url="http://localhost:1/v1"))


@pytest.mark.parametrize(
    "url",
    [
        "example.com/v1",
        "ftp://h/v1",
        "http://",
        "http://h:x/v1",
        "http://h/ä",
        "http://h/\nb",
        "http://h/a b",
        "file:///etc",
    ],
)
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(UserError, match="is not valid"):
        OpenAIProvider(ProviderOptions(base_url=url, model="m"))


@pytest.mark.parametrize("url", ["", " ", "\t\n"])
def test_an_empty_address_does_not_mean_the_public_service(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"`provider\.base_url`"):
        OpenAIProvider(ProviderOptions(base_url=url, model="m"))
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    with pytest.raises(UserError, match="OPENAI_BASE_URL is set but empty"):
        OpenAIProvider(ProviderOptions(model="m"))


@pytest.mark.parametrize("empty", ["", " \n"])
def test_an_empty_variable_is_not_an_unset_one(server: ChatServer, monkeypatch: pytest.MonkeyPatch, empty: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", empty)
    with pytest.raises(UserError, match="OPENAI_API_KEY is set but empty"):
        provider(server).propose(request())
    assert not server.calls
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setenv("DRAGFLOW_INTENT_MODEL", empty)
    with pytest.raises(UserError, match="DRAGFLOW_INTENT_MODEL is set but empty"):
        OpenAIProvider(ProviderOptions())


@pytest.mark.parametrize(
    "url",
    [
        f"https://me:{KEY}@h/v1",
        f"https//me:{KEY}@h/v1",
        f"me:{KEY}@h",
        f"https://h/v1?key={KEY}",
        f"https://h/v1#{KEY}",
    ],
)
def test_an_address_with_a_secret_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(UserError, match="OPENAI_API_KEY") as caught:
        OpenAIProvider(ProviderOptions(base_url=url, model="m"))
    assert KEY not in str(caught.value)
