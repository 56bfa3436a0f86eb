from __future__ import annotations

import json
from typing import Any

import pytest

from hf_synthlabels.clients.protocol.chat import encode_json
from hf_synthlabels.clients.protocol.replies import decode_json


@pytest.mark.parametrize("content", [{"a": [1, 2.5, None, True, "é\u2028😀"]}, {"half": "x\ud800y"}, {"many": 2**70}])
def test_what_is_written_is_read_alike_by_python(content: Any) -> None:
    assert json.loads(encode_json(content)) == content
    assert decode_json(encode_json(content)) == content


def test_what_is_no_json_is_told_in_time() -> None:
    with pytest.raises(TypeError):
        encode_json({"a": object()})


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": 1, "a": 2}',
        b'"\\ud83d"',
        b"[NaN, Infinity, 1e999, 123456789012345678901234567890]",
        '\ufeff{"a": "é"}'.encode("utf-8-sig").removeprefix(b"\xef\xbb\xbf"),
        '{"a": "é"}'.encode("utf-16"),
        b'  {"a": 1}\r\n',
    ],
)
def test_what_python_reads_is_read_as_python_reads_it(text: bytes) -> None:
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(ValueError, match=r"."):
            decode_json(text)
        return
    assert repr(decode_json(text)) == repr(expected)


@pytest.mark.parametrize("text", [b"", b"{", b'{"a": }', b"<html>", b"\xff\xfe\xfa"])
def test_what_is_no_json_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_json(text)
