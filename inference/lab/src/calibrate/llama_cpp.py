"""Asks llama.cpp (PyPI: xllamacpp) to answer prompts greedily, with log-probabilities.

Reads {"model", "threads", "context", "jobs": [{"index", "prompt_ids", "max_tokens"}]} and writes a
JSON line for each job as it is done: {"index", "ids", "top": [[[id, log-probability] x 4] ...]}.
"""

import json
import sys
import urllib.request

import xllamacpp

work = json.load(sys.stdin)
params = xllamacpp.CommonParams()
params.model.path = work["model"]
params.n_ctx = work["context"]
params.n_parallel = 1
params.cpuparams.n_threads = work["threads"]
params.warmup = False
params.verbosity = -1
params.port = 0
server = xllamacpp.Server(params)

for job in work["jobs"]:
    body = {
        "prompt": job["prompt_ids"],
        "n_predict": job["max_tokens"],
        "temperature": 0,
        "n_probs": 4,
        "return_tokens": True,
        "cache_prompt": False,
    }
    request = urllib.request.Request(
        server.listening_address + "/completion",
        json.dumps(body).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=600) as response:
        answer = json.load(response)
    positions = answer["completion_probabilities"]
    line = {
        "index": job["index"],
        "ids": [p["id"] for p in positions],
        "top": [[[t["id"], t["logprob"]] for t in p["top_logprobs"]] for p in positions],
    }
    print(json.dumps(line), flush=True)
