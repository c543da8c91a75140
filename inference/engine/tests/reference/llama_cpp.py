"""What llama.cpp (PyPI: xllamacpp) makes of a model file: token ids, chat prompts, greedy answers, log-probabilities.

usage: llama_cpp.py MODEL < corpus.json > llama_cpp.json
       llama_cpp.py --score MODEL [f32] < windows.json
           log-probabilities of given ids after given ids; with f32, of keys and values too
       llama_cpp.py --tokenize MODEL < texts.json
       llama_cpp.py --unquantise MODEL F32MODEL (PyPI: gguf)
"""

import json
import sys
import urllib.request


def unquantise(source, goal):
    """Writes the same model with every tensor as f32."""
    import gguf
    from gguf.quants import dequantize

    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(goal, reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name in ("general.architecture", "general.file_type"):
            continue
        kind = field.types[0]
        item = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), kind, sub_type=item)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, dequantize(tensor.data, tensor.tensor_type).astype("float32"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def score(path, exact):
    """Reads `[{"ids": […], "first": n, "asked": [[id, …], …]}, …]`: after each of the ids from number `first` on,
    the log-probabilities of the ids asked there."""
    import llama_c

    model = llama_c.Model(path)
    kv = llama_c.F32 if exact else llama_c.F16
    windows = json.load(sys.stdin)
    longest = max(len(w["ids"]) for w in windows)
    # Flash attention rounds to f16 inside.
    context = llama_c.Context(model, longest, flash=0, kv=kv)
    out = []
    for window in windows:
        context.clear()
        context.read(window["ids"], wanted=window["first"])
        rows = []
        for i, asked in enumerate(window["asked"]):
            values = llama_c.log_softmax(context.logits(window["first"] + i))
            rows.append([round(float(values[id]), 5) for id in asked])
        out.append(rows)
    json.dump(out, sys.stdout)


def tokenize(path):
    import llama_c

    model = llama_c.Model(path)
    json.dump([model.tokenize(text) for text in json.load(sys.stdin)], sys.stdout)


def main():
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = sys.argv[1]
    params.n_ctx = 2048
    params.n_parallel = 1
    params.cpuparams.n_threads = 2
    params.warmup = False
    params.verbosity = -1
    params.use_jinja = True
    params.port = 0
    # Flash attention rounds to f16 inside.
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    server = xllamacpp.Server(params)

    def post(path, body):
        request = urllib.request.Request(
            server.listening_address + path,
            json.dumps(body).encode(),
            {"content-type": "application/json"},
        )
        return json.load(urllib.request.urlopen(request, timeout=300))

    def tokenize(text):
        body = {"content": text, "add_special": True, "parse_special": True}
        return post("/tokenize", body)["tokens"]

    def greedy(item):
        prompt = post("/apply-template", {"messages": item["messages"]})["prompt"]
        ids = tokenize(prompt)
        answer = post(
            "/completion",
            {
                "prompt": ids,
                "n_predict": item["max_tokens"],
                "temperature": 0,
                "n_probs": 4,
                "return_tokens": True,
                "cache_prompt": False,
            },
        )
        return {
            "prompt": prompt,
            "prompt_ids": ids,
            "text": answer["content"],
            "ids": answer["tokens"],
            "logprobs": [
                [[t["id"], round(t["logprob"], 5)] for t in p["top_logprobs"]]
                for p in answer["completion_probabilities"]
            ],
        }

    corpus = json.load(sys.stdin)
    json.dump(
        {
            "tokens": [tokenize(text) for text in corpus["texts"]],
            "answers": [greedy(item) for item in corpus["answers"]],
        },
        sys.stdout,
    )
    sys.stdout.write("\n")


if sys.argv[1] == "--unquantise":
    unquantise(sys.argv[2], sys.argv[3])
elif sys.argv[1] == "--tokenize":
    tokenize(sys.argv[2])
elif sys.argv[1] == "--score":
    score(sys.argv[2], sys.argv[3:] == ["f32"])
else:
    main()
