"""Addresses are checked before anything is sent, and a proxy of the environment is used as other tools use it."""

from __future__ import annotations

import pytest

from hf_synthlabels.clients.protocol.base_url import (
    Proxy,
    check_base_url,
    endpoint_url,
    is_loopback,
    proxy_for,
    split_query,
)
from hf_synthlabels.errors import ConfigError

PROXY_NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXY_NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_an_address_is_kept_but_for_its_last_slash(subtests: pytest.Subtests) -> None:
    cases: list[str] = [
        "https://api.openai.com/v1",
        "http://localhost:8000/v1",
        "http://[::1]:8000/v1",
        "https://müller.example/v1",
        "https://me.openai.azure.com/openai/v1?api-version=2024-10-21",
    ]
    for address in cases:
        with subtests.test(address=address):
            assert check_base_url(address) == address
            assert check_base_url(address + "/") == address


def test_what_is_no_address_of_an_api_is_refused_in_one_line(subtests: pytest.Subtests) -> None:
    cases: list[str] = [
        "",
        "localhost:8000/v1",
        "ftp://api.openai.com/v1",
        "http:///v1",
        "http://localhost:99999/v1",
        "http://[::1/v1",
        "https://<resource>.openai.azure.com/openai/v1",
        "http://localhost:8000/v1 ",
        "http://localhost:8000/v1#chat",
        "http://localhost:8000/v1/chat/completions",
    ]
    for address in cases:
        with subtests.test(address=address):
            with pytest.raises(ConfigError, match="`base_url`") as caught:
                check_base_url(address)
            assert len(str(caught.value).splitlines()) == 1


def test_a_secret_in_an_address_is_refused_and_not_repeated(subtests: pytest.Subtests) -> None:
    cases: list[str] = [
        "https://me:hunter2@host/v1",
        "me:hunter2@host/v1",
        "https://me:p@hunter2@host:99999/v1",
        "https://host:99999/v1?api_key=hunter2",
        "host/v1?api_key=hunter2",
    ]
    for address in cases:
        with subtests.test(address=address):
            for with_secret in (address, "https://host/v1?api-key=hunter2", "https://host/v1?access_token=hunter2"):
                with pytest.raises(ConfigError, match="`base_url`") as caught:
                    check_base_url(with_secret)
                assert "hunter2" not in str(caught.value)


def test_a_query_stays_behind_the_path() -> None:
    assert endpoint_url("http://host/v1") == "http://host/v1/chat/completions"
    assert endpoint_url("http://host/v1/?api-version=1&x=") == "http://host/v1/chat/completions?api-version=1&x="
    assert split_query("http://host/v1?api-version=1&x=") == ("http://host/v1", {"api-version": "1", "x": ""})


@pytest.mark.parametrize(
    ("environment", "url", "proxy"),
    [
        ({"http_proxy": "http://p:1"}, "http://llm.example/v1", Proxy("http://p:1")),
        ({"HTTPS_PROXY": "http://p:1/"}, "https://llm.example/v1", Proxy("http://p:1")),
        ({"HTTPS_PROXY": "http://p:1"}, "http://llm.example/v1", None),
        ({"ALL_PROXY": "p:1"}, "https://llm.example/v1", Proxy("http://p:1")),
        ({"ALL_PROXY": "socks5://q:2", "HTTPS_PROXY": "http://p:1"}, "https://llm.example/v1", Proxy("http://p:1")),
        ({"https_proxy": "http://me:a%40b@p:1"}, "https://llm.example/v1", Proxy("http://p:1", "me", "a@b")),
        ({"https_proxy": "http://p:1", "NO_PROXY": "other,.llm.example"}, "https://llm.example:8000/v1", None),
        ({"http_proxy": "http://p:1", "no_proxy": "10.0.0.0/8, x"}, "http://10.1.2.3:8000/v1", None),
        ({"http_proxy": "http://p:1", "no_proxy": "10.0.0.0/8"}, "http://11.1.2.3:8000/v1", Proxy("http://p:1")),
        ({"all_proxy": "http://p:1"}, "http://127.0.0.2:8000/v1", None),
        ({"all_proxy": "socks5://q:2"}, "http://localhost:8000/v1", None),
    ],
)
def test_the_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], url: str, proxy: Proxy | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(url) == proxy


def test_a_proxy_of_an_unsupported_kind_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://me:hunter2@q:2")
    with pytest.raises(ConfigError, match="socks5") as caught:
        proxy_for("https://llm.example/v1")
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(Proxy("http://p:1", "me", "hunter2"))


def test_this_machine(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, bool]] = [
        ("LOCALHOST.", True),
        ("a.localhost", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("0.0.0.0", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:10.0.0.1", False),
        ("localhost.example", False),
        ("", False),
    ]
    for host, local in cases:
        with subtests.test(host=host, local=local):
            assert is_loopback(host) == local
