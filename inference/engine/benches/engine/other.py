"""Another engine's side of the benchmark: a JSON command a line on stdin, a JSON answer a line on stdout.

usage: other.py MODEL THREADS ENGINE, of which ENGINE is

- xllamacpp: llama.cpp as PyPI's package has it
- node-llama-cpp: llama.cpp as npm's package has it, which lies in the directory that NODE_LLAMA_CPP names; it picks the
  variant made for the processor
- ik_llama.cpp: PyPI's ik-llama-cpp-python, with its weights repacked

Everything but the load figures goes through the C interface: whole batches, the largest logit taken, no server and no
sampler in between. The load figures use xllamacpp's server in this process, which batches continuously.
"""

import ctypes
import importlib.metadata
import json
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tests/reference"))


def bindings(engine):
    """The module with the engine's `Model` and `Context`, and its version."""
    if engine == "ik_llama.cpp":
        import ik_c

        return ik_c, f"ik-llama-cpp-python {importlib.metadata.version('ik-llama-cpp-python')}"
    import llama_c

    if engine == "node-llama-cpp":
        package = os.environ["NODE_LLAMA_CPP"]
        bins = os.path.join(package, "bins/linux-x64")
        (llama,) = (f for f in os.listdir(bins) if f.startswith("libllama.v"))
        (ggml,) = (f for f in os.listdir(bins) if f.startswith("libggml.v"))
        os.environ["LLAMA_CPP_LIBRARY"] = os.path.join(bins, llama)
        ctypes.CDLL(os.path.join(bins, "libggml-base.so"), mode=ctypes.RTLD_GLOBAL)
        backends = ctypes.CDLL(os.path.join(bins, ggml), mode=ctypes.RTLD_GLOBAL)
        backends.ggml_backend_load_all_from_path.argtypes = [ctypes.c_char_p]
        backends.ggml_backend_load_all_from_path(os.fsencode(bins))
        with open(os.path.join(package, "package.json")) as file:
            version = json.load(file)["version"]
        return llama_c, f"node-llama-cpp {version}"
    import xllamacpp

    named = os.environ.get("LLAMA_CPP_LIBRARY")
    version = f"xllamacpp {xllamacpp.__version__}"
    return llama_c, f"{named}, beside {version}" if named else version


class Clock:
    """Seconds, and processor seconds of all threads, since it was made."""

    def __init__(self):
        self.began = time.perf_counter(), time.process_time()

    def read(self):
        return {
            "seconds": time.perf_counter() - self.began[0],
            "processor": time.process_time() - self.began[1],
        }


class Side:
    def __init__(self, path, threads, engine):
        self.path, self.threads = path, threads
        self.bindings, self.version = bindings(engine)
        self.model = self.bindings.Model(path)
        self.context = None
        self.shape = None
        self.held = []
        self.server = None
        self.flash = 0

    def info(self, _):
        return {"device": self.model.system_info(), "version": self.version}

    def settings(self, command):
        self.flash = command["flash"]
        self.shape = None
        return {}

    def prepare(self, positions, sequences=1):
        """A fresh context of at least that size; the one there is, emptied, if it fits."""
        if self.shape is None or self.shape[0] < positions or self.shape[1] != sequences:
            if self.context:
                self.context.close()
            flash = self.flash
            if sequences > 1 and hasattr(self.bindings, "FLASH_ATTENDS_ONE_SEQUENCE"):
                flash = 0
            self.context = self.bindings.Context(
                self.model, positions * sequences, sequences, self.threads, flash
            )
            self.shape = (positions, sequences)
        self.context.clear()
        self.held = []

    def prefill(self, command):
        tokens = command["prompt"]
        self.prepare(2304)
        clock = Clock()
        self.context.read(tokens)
        self.context.greedy()
        return {**clock.read(), "tokens": len(tokens)}

    def decode(self, command):
        """Seconds from the first generated token to the last."""
        prompt, n = command["prompt"], command["n"]
        if self.held == prompt and self.shape and self.shape[1] == 1:
            # Read again from the last token on: its logits are wanted.
            self.context.truncate(0, len(prompt) - 1)
            self.context.read(prompt[-1:], first=len(prompt) - 1)
        else:
            self.prepare(2304)
            self.context.read(prompt)
            self.held = prompt
        token = self.context.greedy()
        out = [token]
        clock = Clock()
        for i in range(n - 1):
            self.context.read([token], first=len(prompt) + i)
            token = self.context.greedy()
            out.append(token)
        return {**clock.read(), "tokens": n - 1, "ids": out}

    def streams(self, command):
        """Seconds from all prompts to every last token."""
        prompts, n = command["prompts"], command["n"]
        self.prepare(len(prompts[0]) + n, len(prompts))
        clock = Clock()
        rows = [
            (s, i, t, i == len(p) - 1) for s, p in enumerate(prompts) for i, t in enumerate(p)
        ]
        self.context.decode(rows)
        last = [i for i, row in enumerate(rows) if row[3]]
        tokens = [self.context.greedy(i) for i in last]
        for step in range(n - 1):
            self.context.decode(
                [(s, len(p) + step, tokens[s], True) for s, p in enumerate(prompts)]
            )
            tokens = [self.context.greedy(s) for s in range(len(prompts))]
        return {**clock.read(), "tokens": n * len(prompts)}

    def verify(self, command):
        """One pass over an answer that is known, logits at each of its positions."""
        prompt, output = command["prompt"], command["output"]
        self.prepare(2304)
        clock = Clock()
        self.context.read(prompt + output[:-1], wanted=len(prompt) - 1)
        for i in range(len(output)):
            self.context.greedy(len(prompt) - 1 + i)
        return {**clock.read(), "tokens": len(output)}

    def generate(self, command):
        """Seconds from the prompt to the last token."""
        self.held = []
        clock = Clock()
        out = self.decode(command)
        return {**clock.read(), "tokens": command["n"], "ids": out["ids"]}

    def serve(self):
        import xllamacpp

        if self.context:
            self.context.close()
            self.context, self.shape = None, None
        params = xllamacpp.CommonParams()
        params.model.path = self.path
        params.n_parallel = 5
        params.n_ctx = 5 * 2048
        params.cpuparams.n_threads = self.threads
        params.cpuparams_batch.n_threads = self.threads
        params.warmup = False
        params.verbosity = -1
        params.port = 0
        kinds = xllamacpp.llama_flash_attn_type
        params.flash_attn_type = (
            kinds.LLAMA_FLASH_ATTN_TYPE_ENABLED
            if self.flash
            else kinds.LLAMA_FLASH_ATTN_TYPE_DISABLED
        )
        self.server = xllamacpp.Server(params)

    def under_load(self, command):
        """Streams decode; once each has given `after` tokens, the long prompt comes."""
        if self.server is None:
            self.serve()
        prompts, long, after = command["prompts"], command["long"], command["after"]
        times = [[] for _ in prompts]
        going = threading.Event()

        def stream(index):
            def take(_):
                times[index].append(time.perf_counter())
                if all(len(t) >= after for t in times):
                    going.set()

            self.server.handle_completions(self.body(prompts[index], command["n"]), take)

        threads = [threading.Thread(target=stream, args=(i,)) for i in range(len(prompts))]
        for thread in threads:
            thread.start()
        if not going.wait(120):
            raise SystemExit("llama.cpp's streams gave no tokens")
        began = time.perf_counter()
        first = []
        self.server.handle_completions(
            self.body(long, 1), lambda _: first.append(time.perf_counter())
        )
        for thread in threads:
            thread.join()
        # The last of a stream's messages only says that it is over.
        gaps = [
            b - max(a, began)
            for t in times
            for a, b in zip(t, t[1:-1])
            if b > began and a < first[0]
        ]
        return {"seconds": first[0] - began, "stall": max(gaps), "tokens": len(long)}

    @staticmethod
    def body(prompt, n):
        return {
            "prompt": prompt,
            "n_predict": n,
            "temperature": 0,
            "samplers": ["temperature"],
            "stream": True,
            "cache_prompt": False,
            "ignore_eos": True,
        }


def main():
    # llama.cpp writes to stdout here and there; answers go to a copy of it.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    side = Side(sys.argv[1], int(sys.argv[2]), sys.argv[3])
    for line in sys.stdin:
        command = json.loads(line)
        answer = getattr(side, command["op"])(command)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    # Its threads and ours end with the process.
    os._exit(0)


if __name__ == "__main__":
    main()
