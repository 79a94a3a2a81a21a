"""A browser gets the page only after a person has given the token; guesses are slow."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from typing import Any

import pytest
from fastapi.testclient import TestClient

from dragflow.http.app import create_app
from dragflow.http.login import COOKIE, FREE_GUESSES, LONGEST, Patience, address_of, session_of
from dragflow.http.refused import Refused
from dragflow.http.settings import ServerSettings
from dragflow.service import Service

TOKEN = "a token that nobody guesses"
HTML = {"Accept": "text/html,application/xhtml+xml"}


@pytest.fixture
def guarded(service: Service, settings: ServerSettings) -> Iterator[TestClient]:
    app = create_app(service, replace(settings, token=TOKEN))
    with TestClient(app, base_url="http://example.org", follow_redirects=False) as client:
        yield client


def test_a_page_asks_for_the_token_and_opens_with_it(guarded: TestClient) -> None:
    asked = guarded.get("/docs", headers=HTML)
    assert asked.status_code == 401
    assert '<form method="post" action="/login?page=/docs">' in asked.text
    assert "<script" not in asked.text
    assert asked.headers["cache-control"] == "no-store"
    assert TOKEN not in asked.text
    wrong = guarded.post("/login?page=/docs", data={"token": "wrong"})
    assert (wrong.status_code, "That is not the token." in wrong.text) == (401, True)
    assert "set-cookie" not in wrong.headers
    right = guarded.post("/login?page=/docs", data={"token": f" {TOKEN} "})
    assert (right.status_code, right.headers["location"]) == (303, "/docs")
    cookie = right.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    assert {"httponly", "samesite=strict", "path=/"} <= set(cookie.lower().split("; "))
    assert TOKEN not in cookie
    assert guarded.get("/docs", headers=HTML).status_code == 200
    assert guarded.get("/v1/models").status_code == 200
    assert guarded.post("/v1/previews", json={}, headers={"Origin": "http://evil.example"}).status_code == 403


def test_programs_get_a_problem_and_not_a_page(guarded: TestClient) -> None:
    for headers in ({}, {"Accept": "*/*"}, HTML | {"Authorization": "Bearer wrong"}):
        answer = guarded.get("/v1/models", headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")


def test_without_a_token_nothing_is_asked_for(client: TestClient) -> None:
    assert "password" not in client.get("/docs", headers=HTML).text
    assert client.post("/login", data={"token": ""}).status_code == 404


def test_the_cookie_is_not_sent_unencrypted_where_the_page_was_not(service: Service, settings: ServerSettings) -> None:
    app = create_app(service, replace(settings, token=TOKEN))
    with TestClient(app, base_url="https://example.org", follow_redirects=False) as client:
        assert "Secure" in client.post("/login", data={"token": TOKEN}).headers["set-cookie"]


def sent_to(text: str) -> str:
    """Where the form of a page is sent."""
    found = re.search(r'action="([^"]+)"', text)
    assert found is not None
    return unescape(found[1])


@pytest.mark.parametrize(
    ("opened", "landed"),
    [
        ("/login", "/"),
        ("/login?page=/login", "/"),
        ("/login?page=/docs%3Fa%3D1", "/docs?a=1"),
        ("/?__theme=dark&name=a%26b", "/?__theme=dark&name=a%26b"),
        ("/docs?next=//evil.example", "/docs?next=//evil.example"),
        ("/caf%C3%A9?x=%C3%A9", "/caf%C3%A9?x=%C3%A9"),
    ],
)
def test_a_person_lands_on_the_page_that_was_opened(guarded: TestClient, opened: str, landed: str) -> None:
    asked = guarded.get(opened, headers=HTML)
    assert asked.status_code == 401
    wrong = guarded.post(sent_to(asked.text), data={"token": "wrong"})
    again = guarded.get(sent_to(wrong.text), headers=HTML)  # as when the address is opened once more
    right = guarded.post(sent_to(again.text), data={"token": TOKEN})
    assert (right.status_code, right.headers["location"]) == (303, landed)


def test_whoever_is_known_is_led_on_from_the_form(guarded: TestClient) -> None:
    guarded.cookies.set(COOKIE, session_of(TOKEN))
    for opened, landed in (("/login", "/"), ("/login?page=/docs%3Fa%3D1", "/docs?a=1"), ("/login?page=//evil", "/")):
        answer = guarded.get(opened, headers=HTML)
        assert (answer.status_code, answer.headers["location"]) == (303, landed)


@pytest.mark.parametrize(
    "page",
    ["https://evil.example", "//evil.example", "/\\evil.example", "", "/\r\nx: y", "/\t/evil.example", "javascript:1"],
)
def test_the_form_leads_to_no_other_server(guarded: TestClient, page: str) -> None:
    answer = guarded.post("/login", params={"page": page}, data={"token": TOKEN})
    assert answer.headers["location"] == "/"


def test_a_page_of_another_site_cannot_send_the_form(guarded: TestClient) -> None:
    assert guarded.post("/login", data={"token": TOKEN}, headers={"Origin": "http://evil.example"}).status_code == 403


def test_forms_that_are_none_are_refused(guarded: TestClient) -> None:
    whole = {"Content-Type": "multipart/form-data; boundary=x"}
    assert guarded.post("/login", content=b"--y", headers=whole).status_code == 400
    assert guarded.post("/login", json={"token": TOKEN}).status_code == 401
    assert guarded.post("/login", content=b"token=" + b"x" * 70_000).status_code == 413
    assert guarded.get("/login", headers=HTML).status_code == 401


def test_wrong_tokens_make_an_address_wait_and_nothing_of_them_is_logged(
    guarded: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        for number in range(FREE_GUESSES):
            way: dict[str, Any] = (
                {"data": {"token": f"guess-{number}"}}
                if number % 2
                else {"headers": {"Authorization": f"Bearer guess-{number}"}}
            )
            answer = guarded.post("/login" if number % 2 else "/v1/previews", **way)
            assert answer.status_code == 401
        for answer in (
            guarded.post("/login", data={"token": TOKEN}),
            guarded.get("/v1/models", headers={"Authorization": f"Bearer {TOKEN}"}),
        ):
            assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
            assert "try again in 1 s" in answer.text
    assert "guess-" not in caplog.text
    assert TOKEN not in caplog.text
    guarded.cookies.set(COOKIE, session_of(TOKEN))
    assert guarded.get("/v1/models").status_code == 200


def test_each_wrong_token_costs_twice_the_time_of_the_last() -> None:
    now = 1000.0
    patience = Patience(lambda: now)

    def waits(address: str = "guesser") -> float:
        try:
            patience.check(address)
        except Refused as error:
            return float((error.headers or {})["Retry-After"])
        return 0

    waited: list[float] = []
    for _ in range(FREE_GUESSES + 8):
        waited.append(waits())
        now += waits()
        patience.wrong("guesser")
    assert waited == [0] * FREE_GUESSES + [1, 2, 4, 8, 16, 32, LONGEST, LONGEST]
    assert waits("another") == 0
    now += 1000
    patience.wrong("guesser")
    assert waits() == 0
    patience.right("guesser")
    for _ in range(FREE_GUESSES - 1):
        patience.wrong("guesser")
    assert waits() == 0


@pytest.mark.parametrize(
    ("client", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_a_client_of_ipv6_is_its_network(client: str, counted: str) -> None:
    assert address_of({"client": (client, 1234)}) == counted


def test_another_address_of_the_same_network_waits_too(service: Service, settings: ServerSettings) -> None:
    app = create_app(service, replace(settings, token=TOKEN))
    for number in range(FREE_GUESSES + 1):
        client = TestClient(app, client=(f"2001:db8::{number + 1:x}", 1), headers={"Authorization": "Bearer wrong"})
        assert client.get("/v1/models").status_code == (401 if number < FREE_GUESSES else 429)
    elsewhere = TestClient(app, client=("2001:db8:0:1::1", 1), headers={"Authorization": f"Bearer {TOKEN}"})
    assert elsewhere.get("/v1/models").status_code == 200


def test_the_addresses_that_are_counted_are_bounded() -> None:
    patience = Patience()
    for number in range(5000):
        patience.wrong(str(number))
    assert len(patience._wrong) == 4096


def test_the_cookie_changes_with_the_token() -> None:
    assert session_of(TOKEN) != session_of(TOKEN + "!")
    assert TOKEN not in session_of(TOKEN)
