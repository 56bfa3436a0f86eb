"""What servers really send: reasoning in every form, finish reasons, filters and errors; one reader for all."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hf_synthlabels.clients import Completion, Usage
from hf_synthlabels.clients.protocol.chat import encode_json
from hf_synthlabels.clients.protocol.error_replies import ErrorReply
from hf_synthlabels.clients.protocol.replies import decode_json, parse_reply, read_reply
from hf_synthlabels.labels import Token
from hf_synthlabels.labels.parsing.reasoning import split_reasoning
from tests.servers.chat import chat_completion


def completed(body: Any) -> Completion:
    reply = read_reply(0, body)
    assert isinstance(reply, Completion), reply
    return reply


def failed(body: Any, status: int = 200) -> ErrorReply:
    reply = read_reply(0, body, status=status)
    assert isinstance(reply, ErrorReply), reply
    return reply


# Reasoning in the text

HARMONY = "<|channel|>analysis<|message|>First positive.<|end|><|start|>assistant<|channel|>final<|message|>negative"


def test_reasoning_is_separated_from_the_answer(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, str, str]] = [
        ("<think>\nAt first positive.\n</think>\n\nnegative", "negative", "At first positive."),
        ("At first positive.\n</think>\nnegative", "negative", "At first positive."),
        ("  <Thinking>positive?</Thinking>negative", "negative", "positive?"),
        ("[THINK]positive?[/THINK]negative", "negative", "positive?"),
        ("◁think▷positive?◁/think▷negative", "negative", "positive?"),
        ("<seed:think>positive?</seed:think>negative", "negative", "positive?"),
        (
            "<|START_THINKING|>positive?<|END_THINKING|><|START_RESPONSE|>negative<|END_RESPONSE|>",
            "negative",
            "positive?",
        ),
        ("<think>one</think>\n<think>two</think>negative", "negative", "one\n\ntwo"),
        ("<think>a <think>positive</think> b</think>negative", "negative", "a <think>positive\n\nb"),
        (
            "<think>The tag `</think>` ends it: positive.</think>negative",
            "negative",
            "The tag `</think>` ends it: positive.",
        ),
        (HARMONY, "negative", "First positive."),
        (f"<|start|>assistant{HARMONY}<|return|>", "negative", "First positive."),
        (HARMONY.replace("final<", "final <|constrain|>json<"), "negative", "First positive."),
        (
            "<|channel|>commentary<|message|>plan<|end|><|start|>assistant<|channel|>final<|message|>negative<|return|>",
            "negative",
            "plan",
        ),
        ("analysisFirst positive.assistantfinalnegative", "negative", "First positive."),
    ]
    for text, answer, reasoning in cases:
        with subtests.test(text=text, answer=answer, reasoning=reasoning):
            split = split_reasoning(text)
            assert (split.answer, split.reasoning, split.complete) == (answer, reasoning, True)
            again = split_reasoning(split.answer)
            assert (again.answer, again.reasoning) == (answer, "")


def test_an_answer_without_leading_reasoning_stays_as_it_is(subtests: pytest.Subtests) -> None:
    cases: list[str] = [
        "",
        "analysis of the final text",
        "Use the tag <think> before and </think> after.",
        "A poem.\n<thinking>aloud</thinking>",
    ]
    for text in cases:
        with subtests.test(text=text):
            split = split_reasoning(text)
            assert (split.answer, split.reasoning, split.complete) == (text, "", True)


def test_reasoning_without_an_end_is_a_truncated_answer(subtests: pytest.Subtests) -> None:
    cases: list[str] = [
        "<think>positive, but",
        "<thinking>\npositive",
        "[THINK]positive",
        "<|channel|>analysis<|message|>positive, but",
    ]
    for text in cases:
        with subtests.test(text=text):
            completion = completed(chat_completion(text))
            assert (completion.text, completion.finish_reason) == ("", "length")
            assert "positive" in completion.reasoning


def test_time_grows_with_the_length_of_an_answer_not_with_its_square(subtests: pytest.Subtests) -> None:
    cases: list[str] = ["</think>", "<think></think>", "<think>", "<|channel|>analysis<|message|>", "assistant"]
    for piece in cases:
        with subtests.test(piece=piece):
            split_reasoning("analysis" + piece * 50_000)
            split_reasoning(piece * 50_000 + "positive")


# Reasoning in fields of its own


def test_reasoning_of_a_message_is_kept_apart(subtests: pytest.Subtests) -> None:
    cases: list[dict[str, Any]] = [
        {"content": "negative", "reasoning_content": "positive?"},
        {
            "content": "negative",
            "reasoning": "positive?",
            "reasoning_details": [{"type": "reasoning.text", "text": "positive?"}],
        },
        {"content": "negative", "reasoning_details": [{"type": "reasoning.summary", "summary": "positive?"}]},
        {"content": "negative", "thinking_blocks": [{"type": "thinking", "thinking": "positive?"}]},
        {"content": [{"type": "thinking", "thinking": "positive?"}, {"type": "text", "text": "negative"}]},
        {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "positive?"}]},
                {"type": "text", "text": "nega"},
                {"type": "text", "text": "tive"},
            ]
        },
        {
            "content": [
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "positive?"}]},
                {"type": "output_text", "text": "negative", "annotations": []},
            ]
        },
    ]
    for message in cases:
        with subtests.test(message=message):
            completion = completed(chat_completion(None, message=message))
            assert (completion.text, completion.reasoning, completion.finish_reason) == (
                "negative",
                "positive?",
                "stop",
            )


def logprobs(*tokens: str) -> dict[str, Any]:
    return {"content": [{"token": token, "logprob": -0.5, "top_logprobs": []} for token in tokens]}


def test_tokens_of_the_reasoning_are_none_of_the_label_s(subtests: pytest.Subtests) -> None:
    cases: list[tuple[dict[str, Any], tuple[str, ...], list[str]]] = [
        ({"content": "<think>good</think>\nbad"}, ("<think>", "good", "</think>", "\n", "bad"), ["bad"]),
        (
            {"content": "bad", "reasoning_content": "good"},
            ("good", "</think>", " ba", "d", "<|im_end|>"),
            [" ba", "d", "<|im_end|>"],
        ),
        ({"content": "bad", "reasoning_content": "good"}, ("ba", "d"), ["ba", "d"]),
        ({"content": "bad", "reasoning_content": "good"}, ("good", "</think>"), []),
        ({"content": "<think>good</think>bad"}, ("<think>", "good", "</think>bad"), []),
        ({"content": "bad"}, ("ba", "d"), ["ba", "d"]),
        ({"content": "<think>\n\n</think>\nbad"}, ("<think>", "\n\n", "</think>", "\nba", "d"), ["\nba", "d"]),
    ]
    for message, tokens, kept in cases:
        with subtests.test(message=message, tokens=tokens, kept=kept):
            body = chat_completion(None, message=message)
            body["choices"][0]["logprobs"] = logprobs(*tokens)
            assert [token.text for token in completed(body).tokens] == kept


# Odd optional parts of a paid answer


ODD_NUMBERS: list[Any] = [None, "none", 5.0, float("nan")]
ODD_DETAILS: list[Any] = [[1], None]
ODD_COUNTS: list[Any] = [None, "few", [3]]


def token(logprob: Any, *alternatives: Any) -> dict[str, Any]:
    return {"content": [{"token": "bad", "logprob": logprob, "top_logprobs": list(alternatives)}]}


def test_an_answer_counts_without_its_odd_log_probabilities(subtests: pytest.Subtests) -> None:
    cases: list[Any] = [
        *(token(value) for value in ODD_NUMBERS),
        token(-0.5, {"token": "bad", "logprob": None}),
        token(-0.5, {"logprob": -0.5}),
        {"content": [None]},
        {"content": [{"logprob": -0.5}]},
        {"tokens": ["bad"], "token_logprobs": [-0.5]},
        *([-0.5], "bad", None),
    ]
    for odd in cases:
        with subtests.test(odd=odd):
            body = chat_completion("bad")
            body["choices"][0]["logprobs"] = odd
            completion = completed(body)
            assert (completion.text, completion.usage, completion.tokens) == ("bad", Usage(7, 2), ())


def test_a_log_probability_that_is_rounded_above_zero_is_zero() -> None:
    body = chat_completion("bad")
    body["choices"][0]["logprobs"] = token(1e-7)
    assert completed(body).tokens == (Token("bad", 0.0),)


def test_an_answer_counts_with_what_of_its_usage_can_be_read(subtests: pytest.Subtests) -> None:
    cases: list[tuple[Any, Usage]] = [
        *(({"prompt_tokens_details": details}, Usage(7, 2)) for details in ODD_DETAILS),
        *(({"prompt_tokens_details": {"cached_tokens": cached}}, Usage(7, 2)) for cached in ODD_COUNTS),
        ({"prompt_tokens_details": [1], "prompt_cache_hit_tokens": 4}, Usage(7, 2, 4)),
        ({"prompt_cache_hit_tokens": {}}, Usage(7, 2)),
        *(({"total_tokens": total}, Usage(7, 2)) for total in ODD_COUNTS),
        # Half of a usage would charge a budget too little: without any, it is charged the most that is possible.
        *(({name: odd}, Usage()) for name in ("prompt_tokens", "completion_tokens") for odd in ("two", -2)),
        *((whole, Usage()) for whole in ([1], None)),
    ]
    for odd, usage in cases:
        with subtests.test(odd=odd, usage=usage):
            body = chat_completion("bad")
            counted = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
            body["usage"] = counted | odd if isinstance(odd, dict) else odd
            completion = completed(body)
            assert (completion.text, completion.usage) == ("bad", usage)


def test_an_odd_part_of_the_content_leaves_the_others(subtests: pytest.Subtests) -> None:
    cases: list[Any] = [None, {"type": None, "text": "bad"}, {"type": 7, "text": "x"}]
    for part in cases:
        with subtests.test(part=part):
            is_text = isinstance(part, dict) and part["type"] is None
            parts = [part] if is_text else [part, {"type": "text", "text": "bad"}]
            assert completed(chat_completion(None, message={"content": parts})).text == "bad"


def test_a_reply_without_a_message_is_billed_with_the_tokens_that_the_server_counted() -> None:
    error = failed({"choices": [{"message": None}], "usage": {"prompt_tokens": 7, "completion_tokens": 2}})
    assert (error.retry, error.billed, error.usage) == ("backoff", "billed", Usage(7, 2))


# Finish reasons


def test_why_a_completion_ended(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str | None, str]] = [
        *((said, "stop") for said in ("stop", "STOP", "end_turn", "eos_token", None)),
        *((said, "length") for said in ("length", "MAX_TOKENS", "model_length")),
        *(
            (said, "content_filter")
            for said in (
                "content_filter",
                "content_filter: hate",
                "guardrail_intervened",
                "SAFETY",
            )
        ),
    ]
    for said, reason in cases:
        with subtests.test(said=said, reason=reason):
            assert completed(chat_completion("positive", finish_reason=said)).finish_reason == reason


def test_other_endings_are_failures_that_are_billed(subtests: pytest.Subtests) -> None:
    cases: list[tuple[Any, str]] = [
        ("error", "backoff"),
        ("abort", "backoff"),
        ("tool_calls", "never"),
        ("function_call", "never"),
        ("OTHER", "never"),
        (7, "never"),
    ]
    for said, retry in cases:
        with subtests.test(said=said, retry=retry):
            error = failed(chat_completion("positive", finish_reason=said))
            assert (error.retry, error.billed, error.usage) == (retry, "billed", Usage(7, 2))
            assert str(said) in error.message


def test_an_empty_answer_without_a_reason_is_a_failure() -> None:
    error = failed({"choices": [{"message": {"content": ""}}]})
    assert (error.retry, error.billed) == ("backoff", "not_billed")


# Errors


def test_an_error_in_a_success_is_read_as_the_error(subtests: pytest.Subtests) -> None:
    cases: list[tuple[Any, int | None, str]] = [
        ({"message": "limit", "code": 429}, 429, "throttled"),
        ({"message": "limit", "code": "429"}, 429, "throttled"),
        ({"message": "limit", "type": "rate_limit_error"}, 429, "throttled"),
        ({"message": "limit", "status": "RESOURCE_EXHAUSTED"}, 429, "throttled"),
        ({"message": "limit", "code": 503}, 503, "backoff"),
        ({"message": "limit", "code": 400}, 400, "never"),
        ({"message": "limit", "type": "invalid_request_error"}, 400, "never"),
        ({"message": "limit"}, None, "backoff"),
        ("limit", None, "backoff"),
    ]
    for error, status, retry in cases:
        with subtests.test(error=error, status=status, retry=retry):
            choice = {"error": error, "finish_reason": "error", "message": {"role": "assistant", "content": ""}}
            for body in ({"error": error}, {"error": error, "choices": None, "usage": None}, {"choices": [choice]}):
                reply = failed(body)
                assert (reply.message, reply.status, reply.retry, reply.billed) == (
                    "limit",
                    status,
                    retry,
                    "not_billed",
                )
                assert (reply.failure.kind, reply.failure.http_status) == ("http", status)


def test_an_error_with_usage_is_billed() -> None:
    reply = failed(
        {"error": {"message": "broke off", "code": 502}, "usage": {"prompt_tokens": 5, "completion_tokens": 1}}
    )
    assert (reply.billed, reply.usage) == ("billed", Usage(5, 1))


def test_what_is_no_completion_is_tried_again_and_billed_only_if_it_may_be(subtests: pytest.Subtests) -> None:
    cases: list[tuple[bytes, str, str]] = [
        (b"<!DOCTYPE html><html><head><title>502\n Bad Gateway</title></head></html>", "502 Bad Gateway", "not_billed"),
        (b"", "not a chat completion", "not_billed"),
        (b'{"choices": [{"mess', "not a chat completion", "unknown"),
        (b'{"choices": []}', "not a chat completion", "not_billed"),
        (b'{"choices": [], "usage": {"prompt_tokens": 1}}', "not a chat completion", "billed"),
        (b'{"choices": [], "usage": {"prompt_tokens": "many"}}', "not a chat completion", "unknown"),
        (b'{"choices": [{"message": null}]}', "not a chat completion", "unknown"),
    ]
    for content, words, billed in cases:
        with subtests.test(content=content, words=words, billed=billed):
            reply = parse_reply(0, content)
            assert isinstance(reply, ErrorReply)
            assert words in reply.message
            assert (reply.retry, reply.billed, reply.failure.kind) == ("backoff", billed, "malformed")


AZURE = {
    "error": {
        "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
        "code": "content_filter",
        "status": 400,
        "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {"hate": {"filtered": True}}},
    }
}


def test_a_filter_that_rejects_the_prompt_refuses(subtests: pytest.Subtests) -> None:
    cases: list[Any] = [
        AZURE,
        {"error": {"message": "no", "code": None, "innererror": {"code": "ResponsibleAIPolicyViolation"}}},
        {"error": {"message": "no", "code": "content_policy_violation", "type": "invalid_request_error"}},
        {"error": {"message": "no", "code": "data_inspection_failed"}},
        {"error": {"message": "Content Exists Risk", "type": "invalid_request_error"}},
        {"error": {"message": "Invalid prompt: your prompt was flagged as potentially violating our usage policy."}},
    ]
    for body in cases:
        with subtests.test(body=body):
            for status in (400, 200):
                assert read_reply(3, body, status=status) == Completion(3, finish_reason="content_filter")
            for status in (401, 429, 500):
                assert failed(body, status).status == status


def test_messages_are_one_line_without_halves_of_characters_and_without_secrets() -> None:
    key = "sk-" + "x" * 40
    content = json.dumps({"error": {"message": "no\n " + "a" * 180 + key + " \ud83d", "code": key}}).encode()
    reply = parse_reply(0, content, status=400, redact=lambda text: text.replace(key, "***"))
    assert isinstance(reply, ErrorReply)
    assert "sk-" not in repr(reply)
    assert "\n" not in reply.message
    reply.message.encode()


# Usage


def usage(counts: Any) -> Usage:
    reply = read_reply(0, {"choices": [{"message": {"content": "film"}}], "usage": counts})
    assert isinstance(reply, Completion)
    return reply.usage


def test_usage(subtests: pytest.Subtests) -> None:
    cases: list[tuple[Any, Usage]] = [
        ({"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}, Usage(20, 5)),
        # Thoughts are part of the answer at OpenAI, and in the total alone at gateways to Gemini.
        (
            {
                "prompt_tokens": 20,
                "completion_tokens": 65,
                "total_tokens": 85,
                "completion_tokens_details": {"reasoning_tokens": 60},
            },
            Usage(20, 65),
        ),
        ({"prompt_tokens": 20, "completion_tokens": 198, "total_tokens": 623}, Usage(20, 603)),
        ({"prompt_tokens": 21, "completion_tokens": 0, "total_tokens": 81}, Usage(21, 60)),
        # A total that is too small or missing changes nothing.
        ({"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 0}, Usage(20, 5)),
        ({"prompt_tokens": 20, "completion_tokens": 5}, Usage(20, 5)),
        (
            {"prompt_tokens": 20, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 16}},
            Usage(20, 5, 16),
        ),
        # DeepSeek has a field of its own.
        ({"prompt_tokens": 20, "completion_tokens": 5, "prompt_cache_hit_tokens": 16}, Usage(20, 5, 16)),
        ({}, Usage()),
        (None, Usage()),
    ]
    for counts, read in cases:
        with subtests.test(counts=counts, read=read):
            assert usage(counts) == read


# JSON


def test_what_is_written_is_read_alike_by_python(subtests: pytest.Subtests) -> None:
    cases: list[Any] = [{"a": [1, 2.5, None, True, "é\u2028😀"]}, {"half": "x\ud800y"}, {"many": 2**70}]
    for content in cases:
        with subtests.test(content=content):
            assert json.loads(encode_json(content)) == content
            assert decode_json(encode_json(content)) == content


def test_what_is_no_json_is_told_in_time() -> None:
    with pytest.raises(TypeError):
        encode_json({"a": object()})


def test_what_python_reads_is_read_as_python_reads_it(subtests: pytest.Subtests) -> None:
    cases: list[bytes] = [
        b'{"a": 1, "a": 2}',
        b'"\\ud83d"',
        b"[NaN, Infinity, 1e999, 123456789012345678901234567890]",
        '\ufeff{"a": "é"}'.encode("utf-8-sig").removeprefix(b"\xef\xbb\xbf"),
        '{"a": "é"}'.encode("utf-16"),
    ]
    for text in cases:
        with subtests.test(text=text):
            try:
                expected = json.loads(text)
            except ValueError:
                with pytest.raises(ValueError, match=r"."):
                    decode_json(text)
                return
            assert repr(decode_json(text)) == repr(expected)


def test_what_is_no_json_is_a_value_error(subtests: pytest.Subtests) -> None:
    cases: list[bytes] = [b"", b"{", b'{"a": }', b"<html>", b"\xff\xfe\xfa"]
    for text in cases:
        with subtests.test(text=text), pytest.raises(ValueError, match=r"."):
            decode_json(text)
