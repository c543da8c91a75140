"""Streams one chat through the official OpenAI client and prints what it saw as one JSON object.

usage: chat.py BASE_URL API_KEY MODEL PROMPT MAX_TOKENS [SEED]
"""

import json
import sys

from openai import OpenAI

base_url, api_key, model, prompt, max_tokens = sys.argv[1:6]
seed = int(sys.argv[6]) if len(sys.argv) > 6 else 7

client = OpenAI(base_url=base_url, api_key=api_key, max_retries=0, timeout=300)
text, finish, mythic, usage, ids, roles, tokens = "", None, None, None, set(), [], []
with client.chat.completions.with_streaming_response.create(
    model=model,
    messages=[{"role": "user", "content": prompt}],
    max_completion_tokens=int(max_tokens),
    seed=seed,
    logprobs=True,
    stream=True,
    stream_options={"include_usage": True},
) as response:
    header = response.headers.get("x-mythic-job-id")
    for chunk in response.parse():
        ids.add(chunk.id)
        if chunk.usage:
            usage = chunk.usage.model_dump()
        extra = (chunk.model_extra or {}).get("mythic")
        if extra:
            mythic = extra
        for choice in chunk.choices:
            if choice.delta.role:
                roles.append(choice.delta.role)
            if choice.delta.content:
                text += choice.delta.content
            if choice.logprobs and choice.logprobs.content:
                tokens += [entry.token for entry in choice.logprobs.content]
            if choice.finish_reason:
                finish = choice.finish_reason

print(
    json.dumps(
        {
            "text": text,
            "finish_reason": finish,
            "mythic": mythic,
            "usage": usage,
            "ids": sorted(ids),
            "roles": roles,
            "logprob_tokens": len(tokens),
            "job_header": header,
        }
    )
)
