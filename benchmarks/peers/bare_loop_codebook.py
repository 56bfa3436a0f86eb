"""The limit for a codebook: aiohttp alone sends the bodies that the package sends, and parses the eight labels."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import aiohttp
from measured import arguments, count_right, measured, text_of
from this_package_codebook import VARIABLES, codebook

Labels = list[tuple[str, ...]]


def template(base_url: str, in_flight: int) -> dict[str, Any]:
    """The body of the package's request for a row, whose text comes last."""
    from hf_synthlabels.annotation.compiler import compile_recipe, read_codebook
    from hf_synthlabels.annotation.prompting.row_inputs import RowForm
    from hf_synthlabels.clients import Request
    from hf_synthlabels.clients.protocol.chat import Sampling, chat_body

    job = compile_recipe(read_codebook(codebook(base_url, in_flight)))
    (joint,) = job.prompt().joint.values()
    messages = joint.messages(RowForm().of_text("TEXT"))
    sampling = Sampling(max_tokens=job.client.max_answer_tokens, response_format="json_schema")
    return chat_body("bench-1", base_url, sampling, Request(0, messages, response_schema=joint.response_schema))


async def labels_of(base_url: str, rows: int, in_flight: int, body: dict[str, Any]) -> Labels:
    labels: Labels = [()] * rows
    numbers = iter(range(rows))
    before, last = body["messages"][:-1], body["messages"][-1]["content"]
    names = [f"topic_{number}" for number in range(VARIABLES)]
    connector = aiohttp.TCPConnector(limit=in_flight)
    async with aiohttp.ClientSession(connector=connector, headers={"Content-Type": "application/json"}) as session:

        async def work(numbers: Iterator[int]) -> None:
            for number in numbers:
                messages = [*before, {"role": "user", "content": last.replace("TEXT", text_of(number))}]
                data = json.dumps({**body, "messages": messages}).encode()
                async with session.post(f"{base_url}/chat/completions", data=data) as response:
                    answer = json.loads(await response.read())
                values = json.loads(answer["choices"][0]["message"]["content"])
                labels[number] = tuple(values[name] for name in names)

        await asyncio.gather(*(work(numbers) for _ in range(in_flight)))
    return labels


def main() -> None:
    options = arguments()
    body = template(options.base_url, options.in_flight)

    def right_rows() -> int:
        labels = asyncio.run(labels_of(options.base_url, options.rows, options.in_flight, body))
        return count_right(values[0] if len(set(values)) == 1 else None for values in labels)

    measured(right_rows)


if __name__ == "__main__":
    main()
