"""Calls functions, asks for JSON, continues a text and streams a response through the official OpenAI client; prints what it saw
as one JSON object.

usage: shapes.py BASE_URL API_KEY MODEL
"""

import json
import sys
from typing import Literal

from openai import BadRequestError, OpenAI
from pydantic import BaseModel

base_url, api_key, model = sys.argv[1:4]
client = OpenAI(base_url=base_url, api_key=api_key, max_retries=0, timeout=300)


class City(BaseModel):
    city: Literal["Bern", "Rome"]
    is_capital: bool


parameters = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["Bern", "Rome"]}},
    "required": ["city"],
    "additionalProperties": False,
}
tools = [{"type": "function", "function": {"name": "weather", "description": "The weather of a city.", "parameters": parameters}}]
messages = [{"role": "user", "content": "How is the weather in Bern?"}]
chat = {"model": model, "tools": tools, "max_completion_tokens": 120, "temperature": 0}

first = client.chat.completions.create(messages=messages, tool_choice="required", parallel_tool_calls=False, **chat)
called = first.choices[0].message
streamed = ""
names = []
with client.chat.completions.create(messages=messages, tool_choice="required", parallel_tool_calls=False, stream=True, **chat) as stream:
    for chunk in stream:
        for choice in chunk.choices:
            for call in choice.delta.tool_calls or []:
                streamed += call.function.arguments or ""
                names += [call.function.name] if call.function.name else []
history = [*messages, called, {"role": "tool", "tool_call_id": called.tool_calls[0].id, "content": "It is sunny."}]
second = client.chat.completions.create(messages=history, **{**chat, "tool_choice": "none", "max_completion_tokens": 24})

parsed = client.chat.completions.parse(
    model=model,
    messages=[{"role": "user", "content": "Name a city as JSON."}],
    response_format=City,
    max_completion_tokens=120,
    temperature=0,
)
drawn = client.chat.completions.create(
    model=model,
    messages=messages,
    max_completion_tokens=8,
    top_p=0.8,
    presence_penalty=0.5,
    frequency_penalty=0.5,
    logit_bias={"5": -1},
    extra_body={"top_k": 40, "min_p": 0.01, "repetition_penalty": 1.1},
)
text = client.completions.create(model=model, prompt="Once upon a time", max_tokens=8, temperature=0)

events, deltas, response = [], "", None
with client.responses.create(
    model=model, instructions="Be brief.", input="Name three colours.", max_output_tokens=16, temperature=0, stream=True
) as stream:
    for event in stream:
        events.append(event.type)
        if event.type == "response.output_text.delta":
            deltas += event.delta
        if event.type in ("response.completed", "response.incomplete"):
            response = event.response
flat = [{"type": "function", "name": "weather", "parameters": parameters, "strict": True}]
asked = client.responses.create(
    model=model, input="How is the weather in Rome?", tools=flat, tool_choice="required", parallel_tool_calls=False, max_output_tokens=120, temperature=0
)
try:
    client.responses.create(model=model, input="more", previous_response_id=response.id)
    refused = None
except BadRequestError as error:
    refused = error.param

print(
    json.dumps(
        {
            "finish_reason": first.choices[0].finish_reason,
            "call": [called.tool_calls[0].function.name, json.loads(called.tool_calls[0].function.arguments)],
            "streamed": [names, json.loads(streamed)],
            "second": second.choices[0].message.content,
            "parsed": parsed.choices[0].message.parsed.model_dump(),
            "drawn": drawn.system_fingerprint,
            "completion": text.choices[0].text,
            "events": [events[0], events[-1]],
            "deltas": deltas,
            "output_text": response.output_text,
            "usage": response.usage.model_dump(),
            "response_call": [asked.output[-1].type, json.loads(asked.output[-1].arguments)],
            "refused": refused,
        }
    )
)
