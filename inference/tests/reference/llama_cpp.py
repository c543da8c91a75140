"""What llama.cpp (PyPI: xllamacpp) makes of a model file: token ids, chat prompts, greedy answers.

usage: llama_cpp.py MODEL < corpus.json > llama_cpp.json
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
    writer = gguf.GGUFWriter(goal, "llama")
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
    # Flash attention works in f16.
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    # Keys and values unrounded, as ours are.
    params.cache_type_k = xllamacpp.ggml_type.GGML_TYPE_F32
    params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
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
else:
    main()
