"""Writes a model of the shape of Llama 3.2 1B with random weights: what is computed costs as much as in a trained one.

usage: shaped.py TOKENIZER_FROM.gguf OUT.gguf Q4_K_M|Q4_0|Q8_0 [LAYERS]

Tokenizer, special tokens and chat template are those of the first file. Which tensors of Q4_K_M are Q6_K is llama.cpp's rule for this shape.
"""

import os
import sys

import numpy
from gguf import GGMLQuantizationType as T
from gguf import GGUFReader, GGUFWriter

EMBEDDING, FEED_FORWARD, HEADS, KV_HEADS, LAYERS = 2048, 8192, 32, 8, 16
CONTEXT = 8192
FILE_TYPES = {"Q4_0": 2, "Q8_0": 7, "Q4_K_M": 15}


def blocks(kind, rows, cols, noise):
    """Rows of random weights of about 1 / √cols, whose mean is 0, as bytes of the format."""
    size = 1 / numpy.sqrt(cols)

    def half(value, n):
        return numpy.broadcast_to(numpy.array([value], "<f2").view(numpy.uint8), (n, 2))

    def random(n, width):
        return noise.integers(0, 256, (n, width), numpy.uint8)

    if kind in (T.Q4_0, T.Q8_0):
        n = rows * cols // 32
        # A value is d × (0..15 less 8), or d × (−128..127).
        scale, width = (size / 4.6, 16) if kind == T.Q4_0 else (size / 74, 32)
        parts = [half(scale, n), random(n, width)]
    elif kind == T.Q4_K:
        n = rows * cols // 256
        # Scales and minimums are 32 in all: d × 32 × (0..15) less 7.5 × d × 32.
        d = size / (4.6 * 32)
        scales = numpy.array([160] * 8 + [0] * 4, numpy.uint8)
        parts = [half(d, n), half(7.5 * d, n), numpy.broadcast_to(scales, (n, 12)), random(n, 128)]
    else:
        n = rows * cols // 256
        # d × 8 × (0..63 less 32).
        scales = numpy.full((n, 16), 8, numpy.uint8)
        parts = [random(n, 192), scales, half(size / (18.5 * 8), n)]
    return numpy.concatenate(parts, axis=1).reshape(rows, -1)


def kind_of(quantisation, part, layer, layers):
    if quantisation != "Q4_K_M":
        return T[quantisation]
    more = layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2
    return T.Q6_K if part == "embedding" or (part in ("attn_v", "ffn_down") and more) else T.Q4_K


def tensors(quantisation, layers):
    """Name, kind, rows and columns of each."""
    kv = EMBEDDING // HEADS * KV_HEADS
    # The embedding is the output matrix too.
    yield "token_embd.weight", kind_of(quantisation, "embedding", 0, layers), None, EMBEDDING
    yield "output_norm.weight", T.F32, 1, EMBEDDING
    shapes = {
        "attn_q": (EMBEDDING, EMBEDDING),
        "attn_k": (kv, EMBEDDING),
        "attn_v": (kv, EMBEDDING),
        "attn_output": (EMBEDDING, EMBEDDING),
        "ffn_gate": (FEED_FORWARD, EMBEDDING),
        "ffn_up": (FEED_FORWARD, EMBEDDING),
        "ffn_down": (EMBEDDING, FEED_FORWARD),
    }
    for layer in range(layers):
        for norm in ("attn_norm", "ffn_norm"):
            yield f"blk.{layer}.{norm}.weight", T.F32, 1, EMBEDDING
        for part, (rows, cols) in shapes.items():
            kind = kind_of(quantisation, part, layer, layers)
            yield f"blk.{layer}.{part}.weight", kind, rows, cols


def main():
    source, out, quantisation = sys.argv[1:4]
    layers = int(sys.argv[4]) if len(sys.argv) > 4 else LAYERS
    reader = GGUFReader(source)
    writer = GGUFWriter(None, "llama")
    writer.add_name(f"Random 1B {quantisation}")
    writer.add_file_type(FILE_TYPES[quantisation])
    writer.add_block_count(layers)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(EMBEDDING)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(EMBEDDING // HEADS)
    writer.add_rope_freq_base(500_000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    for key, field in reader.fields.items():
        if key.startswith("tokenizer."):
            kinds = field.types
            writer.add_key_value(key, field.contents(), kinds[0], kinds[-1] if len(kinds) > 1 else None)
    vocabulary = len(reader.fields["tokenizer.ggml.tokens"].data)
    all_tensors = [
        (name, kind, rows or vocabulary, cols)
        for name, kind, rows, cols in tensors(quantisation, layers)
    ]
    noise = numpy.random.default_rng(1)
    ones = numpy.ones(EMBEDDING, numpy.float32)
    for name, kind, rows, cols in all_tensors:
        if kind == T.F32:
            writer.add_tensor_info(name, ones.shape, ones.dtype, ones.nbytes)
        else:
            width = blocks(kind, 1, cols, noise).shape[1]
            writer.add_tensor_info(name, (rows, width), numpy.dtype(numpy.uint8), rows * width, kind)
    part = f"{out}.part"
    writer.write_header_to_file(part)
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for _, kind, rows, cols in all_tensors:
        writer.write_tensor_data(ones if kind == T.F32 else blocks(kind, rows, cols, noise))
    writer.close()
    os.replace(part, out)


if __name__ == "__main__":
    main()
