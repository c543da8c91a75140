"""ik_llama.cpp's C interface (PyPI's ik-llama-cpp-python) with the same two classes as llama_c.py.

Its structs are those of the package's own bindings. Weights are repacked at load (`-rtr`), which is its fastest on CPUs.
"""

import ctypes
import os
from ctypes import POINTER, c_bool, c_char_p, c_int8, c_int32, c_uint32, c_void_p

import numpy
from ik_llama_cpp import _ctypes_api as api

F16 = 1
# Its flash attention of several sequences in one batch ends in `GGML_ASSERT(S > 0) failed` (0.1.5).
FLASH_ATTENDS_ONE_SEQUENCE = True
LOG = ctypes.CFUNCTYPE(None, ctypes.c_int, c_char_p, c_void_p)


class Model:
    def __init__(self, path):
        self.lib = api._lib
        signatures = {
            "llama_log_set": (None, [LOG, c_void_p]),
            "llama_print_system_info": (c_char_p, []),
            "llama_n_ctx": (c_uint32, [c_void_p]),
            "llama_kv_cache_clear": (None, [c_void_p]),
            "llama_kv_cache_seq_rm": (c_bool, [c_void_p, c_int32, c_int32, c_int32]),
            "llama_decode": (c_int32, [c_void_p, api.llama_batch]),
            "llama_synchronize": (None, [c_void_p]),
            "llama_get_logits_ith": (POINTER(ctypes.c_float), [c_void_p, c_int32]),
        }
        for name, (result, arguments) in signatures.items():
            function = getattr(self.lib, name)
            function.restype, function.argtypes = result, arguments
        self.quiet = LOG(lambda level, text, data: None)
        self.lib.llama_log_set(self.quiet, None)
        api.llama_backend_init()
        params = api.llama_model_default_params()
        params.repack_tensors = True
        params.use_mmap = False
        self.pointer = api.llama_model_load_from_file(os.fsencode(path), params)
        if not self.pointer:
            raise SystemExit(f"ik_llama.cpp cannot load {path}")
        self.vocabulary = api.llama_vocab_n_tokens(api.llama_model_get_vocab(self.pointer))

    def system_info(self):
        return self.lib.llama_print_system_info().decode().strip(" |")


class Context:
    def __init__(self, model, n_ctx, sequences=1, threads=2, flash=1, ubatch=512):
        self.model, self.lib = model, model.lib
        p = api.llama_context_default_params()
        layout = (p.n_ctx, p.n_batch, p.n_ubatch, p.type_k, p.type_v)
        if layout != (512, 2048, 512, F16, F16):
            raise SystemExit(f"this ik_llama.cpp has another interface than the one expected: {layout}")
        p.n_ctx, p.n_batch, p.n_ubatch, p.n_seq_max = n_ctx, max(n_ctx, 512), ubatch, sequences
        p.n_threads = p.n_threads_batch = threads
        p.flash_attn = bool(flash)
        self.pointer = api.llama_init_from_model(model.pointer, p)
        if not self.pointer:
            raise SystemExit("ik_llama.cpp cannot make a context")
        assert self.lib.llama_n_ctx(self.pointer) >= n_ctx

    def close(self):
        api.llama_free(self.pointer)

    def clear(self):
        self.lib.llama_kv_cache_clear(self.pointer)

    def truncate(self, sequence, positions):
        assert self.lib.llama_kv_cache_seq_rm(self.pointer, sequence, positions, -1)

    def decode(self, rows):
        """One batch of rows (sequence, position, token, whether logits are wanted)."""
        n = len(rows)
        sequences = [(c_int32 * 1)(r[0]) for r in rows]
        batch = api.llama_batch(
            n_tokens=n,
            token=(c_int32 * n)(*(r[2] for r in rows)),
            embd=None,
            pos=(c_int32 * n)(*(r[1] for r in rows)),
            n_seq_id=(c_int32 * n)(*([1] * n)),
            seq_id=(POINTER(c_int32) * n)(*(ctypes.cast(s, POINTER(c_int32)) for s in sequences)),
            logits=(c_int8 * n)(*(int(r[3]) for r in rows)),
        )
        code = self.lib.llama_decode(self.pointer, batch)
        if code != 0:
            raise SystemExit(f"llama_decode returned {code}")
        self.lib.llama_synchronize(self.pointer)

    def logits(self, row):
        """Logits of that row of the last batch, valid until the next."""
        pointer = self.lib.llama_get_logits_ith(self.pointer, row)
        return numpy.ctypeslib.as_array(pointer, shape=(self.model.vocabulary,))

    def read(self, tokens, sequence=0, first=0, wanted=None):
        """Reads tokens from position `first` on; logits of the last, or of those from `wanted` on."""
        last = len(tokens) - 1
        self.decode(
            [
                (sequence, first + i, t, i == last if wanted is None else i >= wanted)
                for i, t in enumerate(tokens)
            ]
        )

    def greedy(self, row=-1):
        return int(self.logits(row).argmax())
