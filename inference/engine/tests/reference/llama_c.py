"""llama.cpp's C interface through ctypes: exact batches and raw logits, which its server does not give.

The library is the one inside PyPI's xllamacpp of the version below, or the file that
LLAMA_CPP_LIBRARY names, built from the same sources (for this machine's instruction set, say).
"""

import ctypes
import os
from ctypes import POINTER, Structure, byref, c_bool, c_char_p, c_float, c_int, c_int8, c_int32, c_size_t
from ctypes import c_uint32, c_void_p

import numpy

F32, F16 = 0, 1


class ContextParams(Structure):
    """`llama_context_params` of that version; `Context` checks its defaults before it is used."""

    _fields_ = [
        ("n_ctx", c_uint32),
        ("n_batch", c_uint32),
        ("n_ubatch", c_uint32),
        ("n_seq_max", c_uint32),
        ("n_rs_seq", c_uint32),
        ("n_outputs_max", c_uint32),
        ("n_outputs_max_per_seq", c_uint32),
        ("n_threads", c_int32),
        ("n_threads_batch", c_int32),
        ("ctx_type", c_int),
        ("rope_scaling_type", c_int),
        ("pooling_type", c_int),
        ("attention_type", c_int),
        ("flash_attn_type", c_int),
        ("rope_and_yarn", c_float * 6),
        ("yarn_orig_ctx", c_uint32),
        ("defrag_thold", c_float),
        ("cb_eval", c_void_p * 2),
        ("type_k", c_int),
        ("type_v", c_int),
        ("moe_cache_size", c_size_t),
        ("abort_callback", c_void_p * 2),
        ("flags", c_bool * 8),
        ("samplers", c_void_p),
        ("n_samplers", c_size_t),
        ("ctx_other", c_void_p),
    ]


class Opaque(Structure):
    """A struct whose defaults are passed on unread; longer than the real one."""

    _fields_ = [("bytes", c_size_t * 64)]


class Batch(Structure):
    _fields_ = [
        ("n_tokens", c_int32),
        ("token", POINTER(c_int32)),
        ("embd", POINTER(c_float)),
        ("pos", POINTER(c_int32)),
        ("n_seq_id", POINTER(c_int32)),
        ("seq_id", POINTER(POINTER(c_int32))),
        ("logits", POINTER(c_int8)),
    ]


LOG = ctypes.CFUNCTYPE(None, c_int, c_char_p, c_void_p)


def library():
    path = os.environ.get("LLAMA_CPP_LIBRARY")
    if not path:
        import xllamacpp.xllamacpp

        path = xllamacpp.xllamacpp.__file__
    lib = ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    signatures = {
        "llama_backend_init": (None, []),
        "llama_log_set": (None, [LOG, c_void_p]),
        "llama_print_system_info": (c_char_p, []),
        "llama_model_default_params": (Opaque, []),
        "llama_model_load_from_file": (c_void_p, [c_char_p, Opaque]),
        "llama_model_get_vocab": (c_void_p, [c_void_p]),
        "llama_vocab_n_tokens": (c_int32, [c_void_p]),
        "llama_tokenize": (
            c_int32,
            [c_void_p, c_char_p, c_int32, POINTER(c_int32), c_int32, c_bool, c_bool],
        ),
        "llama_context_default_params": (ContextParams, []),
        "llama_init_from_model": (c_void_p, [c_void_p, ContextParams]),
        "llama_free": (None, [c_void_p]),
        "llama_n_ctx": (c_uint32, [c_void_p]),
        "llama_n_threads": (c_int32, [c_void_p]),
        "llama_get_memory": (c_void_p, [c_void_p]),
        "llama_memory_clear": (None, [c_void_p, c_bool]),
        "llama_memory_seq_rm": (c_bool, [c_void_p, c_int32, c_int32, c_int32]),
        "llama_decode": (c_int32, [c_void_p, Batch]),
        "llama_synchronize": (None, [c_void_p]),
        "llama_get_logits_ith": (POINTER(c_float), [c_void_p, c_int32]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


class Model:
    def __init__(self, path):
        self.lib = library()
        self.quiet = LOG(lambda level, text, data: None)
        self.lib.llama_log_set(self.quiet, None)
        self.lib.llama_backend_init()
        self.pointer = self.lib.llama_model_load_from_file(
            os.fsencode(path), self.lib.llama_model_default_params()
        )
        if not self.pointer:
            raise SystemExit(f"llama.cpp cannot load {path}")
        self.words = self.lib.llama_model_get_vocab(self.pointer)
        self.vocabulary = self.lib.llama_vocab_n_tokens(self.words)

    def tokenize(self, text):
        """Ids of a text, in which control tokens stand for themselves; no beginning of a sequence is added."""
        data = text.encode()
        room = len(data) + 8
        ids = (c_int32 * room)()
        count = self.lib.llama_tokenize(self.words, data, len(data), ids, room, False, True)
        assert 0 <= count <= room
        return list(ids[:count])

    def system_info(self):
        return self.lib.llama_print_system_info().decode().strip(" |")


class Context:
    """Sequences of one model. `flash` is -1 (llama.cpp chooses), 0 or 1; keys and values are of `kv`."""

    def __init__(self, model, n_ctx, sequences=1, threads=2, flash=-1, ubatch=512, kv=F16):
        self.model, self.lib = model, model.lib
        p = self.lib.llama_context_default_params()
        layout = (p.n_ctx, p.n_batch, p.n_ubatch, p.n_seq_max, p.flash_attn_type, p.type_k, p.type_v)
        if layout != (512, 2048, 512, 1, -1, F16, F16):
            raise SystemExit(f"this llama.cpp has another interface than the one expected: {layout}")
        p.n_ctx, p.n_batch, p.n_ubatch, p.n_seq_max = n_ctx, max(n_ctx, 512), ubatch, sequences
        p.n_threads = p.n_threads_batch = threads
        p.flash_attn_type, p.type_k, p.type_v = flash, kv, kv
        self.pointer = self.lib.llama_init_from_model(model.pointer, p)
        if not self.pointer:
            raise SystemExit("llama.cpp cannot make a context")
        assert self.lib.llama_n_ctx(self.pointer) >= n_ctx
        assert self.lib.llama_n_threads(self.pointer) == threads
        self.memory = self.lib.llama_get_memory(self.pointer)

    def close(self):
        self.lib.llama_free(self.pointer)

    def clear(self):
        self.lib.llama_memory_clear(self.memory, False)

    def truncate(self, sequence, positions):
        assert self.lib.llama_memory_seq_rm(self.memory, sequence, positions, -1)

    def decode(self, rows):
        """One batch of rows (sequence, position, token, whether logits are wanted)."""
        n = len(rows)
        sequences = (c_int32 * n)(*(r[0] for r in rows))
        size = ctypes.sizeof(c_int32)
        pointers = (POINTER(c_int32) * n)(
            *(ctypes.cast(byref(sequences, i * size), POINTER(c_int32)) for i in range(n))
        )
        batch = Batch(
            n,
            (c_int32 * n)(*(r[2] for r in rows)),
            None,
            (c_int32 * n)(*(r[1] for r in rows)),
            (c_int32 * n)(*([1] * n)),
            pointers,
            (c_int8 * n)(*(int(r[3]) for r in rows)),
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


def log_softmax(logits):
    x = numpy.asarray(logits, dtype=numpy.float64)
    x = x - x.max()
    return x - numpy.log(numpy.exp(x).sum())
