"""The limit: aiohttp alone. Post, read, parse the JSON; nothing is checked, kept or limited."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import aiohttp
from measured import SYSTEM, arguments, count_right, measured, text_of

SCHEMA = {
    "type": "object",
    "properties": {"label": {"type": "string"}},
    "required": ["label"],
    "additionalProperties": False,
}
FORM = {"type": "json_schema", "json_schema": {"name": "label", "strict": True, "schema": SCHEMA}}


async def label(base_url: str, rows: int, in_flight: int) -> list[str]:
    labels = [""] * rows
    numbers = iter(range(rows))
    connector = aiohttp.TCPConnector(limit=in_flight)
    async with aiohttp.ClientSession(connector=connector, headers={"Content-Type": "application/json"}) as session:

        async def work(numbers: Iterator[int]) -> None:
            for number in numbers:
                messages = [
                    {"role": "system", "content": SYSTEM},
                    {"role": "user", "content": f"<text>\n{text_of(number)}\n</text>"},
                ]
                body = {"model": "bench-1", "messages": messages, "temperature": 0.0, "response_format": FORM}
                data = json.dumps(body).encode()
                async with session.post(f"{base_url}/chat/completions", data=data) as response:
                    answer = json.loads(await response.read())
                labels[number] = json.loads(answer["choices"][0]["message"]["content"])["label"]

        await asyncio.gather(*(work(numbers) for _ in range(in_flight)))
    return labels


def main() -> None:
    told = arguments()
    measured(lambda: count_right(asyncio.run(label(told.base_url, told.rows, told.in_flight))))


if __name__ == "__main__":
    main()
