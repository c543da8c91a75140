"""A forward pass of the llama shape in the arithmetic of kernel profile 3, to the bit (docs/engine.md)."""

import numpy as np

from floats import F32, exp, fma, power, sin_cos
from gguf import Floats

LANES = 64
SEGMENT = 256
TINY = F32(1e-30)


def sum_lanes(lanes):
    """Halves are added until one is left; lanes are the last axis."""
    width = lanes.shape[-1]
    while width > 1:
        width //= 2
        lanes = lanes[..., :width] + lanes[..., width:]
    return lanes[..., 0]


def norm(x, weight, epsilon):
    n = x.shape[-1]
    lanes = np.zeros((*x.shape[:-1], LANES), F32)
    for start in range(0, n, LANES):
        part = x[..., start : start + LANES]
        width = part.shape[-1]
        lanes[..., :width] = fma(part, part, lanes[..., :width])
    scale = F32(1.0) / np.sqrt(sum_lanes(lanes) / F32(n) + epsilon)
    return x * scale[..., None] * weight


def quantise(x):
    """Rows as blocks of 32 int8, their scales, and these times the integers' sums."""
    blocks = x.reshape(len(x), -1, 32)
    largest = np.abs(blocks).max(-1)
    scale = np.where(largest < TINY, F32(0.0), largest / F32(127.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.where(largest < TINY, F32(0.0), F32(127.0) / largest)
    integers = np.rint(blocks * inverse[..., None]).astype(np.int32)
    return integers, scale, scale * integers.sum(-1).astype(F32)


def product(weights, x):
    """Rows of x times a matrix: rows × outputs."""
    if isinstance(weights, Floats):
        out = np.zeros((len(x), len(weights.values)), F32)
        for i in range(x.shape[1]):
            out = fma(weights.values[None, :, i], x[:, i, None], out)
        return out
    integers, scale, offsets = quantise(x)
    out = np.zeros((len(x), len(weights.integers)), F32)
    for block in range(integers.shape[1]):
        # Integers below 2^53 are exact in f64, whatever the order of their sum.
        exact = integers[:, block].astype(np.float64) @ weights.integers[:, block].astype(np.float64).T
        step = weights.scale[None, :, block] * scale[:, block, None]
        out = fma(step, exact.astype(F32), out)
        if weights.minimum is not None:
            out = fma(weights.minimum[None, :, block], offsets[:, block, None], out)
    return out


class Model:
    """A model of the llama architecture."""

    def __init__(self, file):
        read = lambda key, default=None: file.metadata.get(f"llama.{key}", default)
        if file.metadata["general.architecture"] != "llama":
            raise ValueError(f"the shape of {file.metadata['general.architecture']} is not computed here")
        self.file = file
        self.layers = read("block_count")
        self.heads = read("attention.head_count")
        self.kv_heads = read("attention.head_count_kv", self.heads)
        self.dim = read("attention.key_length", read("embedding_length") // self.heads)
        self.epsilon = F32(read("attention.layer_norm_rms_epsilon"))
        self.embedding = file.tensor("token_embd.weight")
        self.output = file.tensor("output.weight" if "output.weight" in file.tensors else "token_embd.weight")
        rotated = read("rope.dimension_count", self.dim)
        base = float(read("rope.freq_base", 10_000.0))
        linear = float(read("rope.scaling.factor", 1.0)) if read("rope.scaling.type") == "linear" else 1.0
        factors = [1.0] * (rotated // 2)
        if "rope_freqs.weight" in file.tensors:
            factors = [float(f) for f in self.vector("rope_freqs.weight")]
        self.frequencies = [power(base, -2.0 * i / rotated) / f / linear for i, f in enumerate(factors)]

    def vector(self, name):
        return self.file.tensor(name).rows(0)

    def rotate(self, x, angles):
        """Rotates neighbouring pairs of rows × heads × dimensions."""
        cos, sin = (angles[:, None, :, i] for i in (0, 1))
        n = 2 * cos.shape[-1]
        a, b = x[..., 0:n:2].copy(), x[..., 1:n:2].copy()
        x = x.copy()
        x[..., 0:n:2] = a * cos - b * sin
        x[..., 1:n:2] = a * sin + b * cos
        return x

    def logits(self, tokens, wanted=None):
        """Logits of some positions, or of all: positions × vocabulary, f32."""
        x = self.embedding.rows(np.asarray(tokens))
        n = len(tokens)
        angles = [[sin_cos(float(p) * f)[::-1] for f in self.frequencies] for p in range(n)]
        angles = np.array(angles, np.float64).astype(F32)
        for layer in range(self.layers):
            x = self.layer(layer, x, angles)
        wanted = range(n) if wanted is None else wanted
        x = norm(x[list(wanted)], self.vector("output_norm.weight"), self.epsilon)
        return product(self.output, x)

    def layer(self, layer, x, angles):
        n = len(x)
        tensor = lambda part: self.file.tensor(f"blk.{layer}.{part}.weight")
        scale = lambda part: self.vector(f"blk.{layer}.{part}.weight")
        normed = norm(x, scale("attn_norm"), self.epsilon)
        q = product(tensor("attn_q"), normed).reshape(n, self.heads, self.dim)
        k = product(tensor("attn_k"), normed).reshape(n, self.kv_heads, self.dim)
        v = product(tensor("attn_v"), normed).reshape(n, self.kv_heads, self.dim)
        q, k = self.rotate(q, angles), self.rotate(k, angles)
        # Keys and values are kept as f16.
        k, v = (part.astype(np.float16).astype(F32) for part in (k, v))
        attended = self.attention(q, k, v).reshape(n, -1)
        x = x + product(tensor("attn_output"), attended)
        normed = norm(x, scale("ffn_norm"), self.epsilon)
        gate, up = product(tensor("ffn_gate"), normed), product(tensor("ffn_up"), normed)
        gate = gate / (F32(1.0) + exp(-gate)) * up
        return x + product(tensor("ffn_down"), gate)

    def attention(self, q, k, v):
        """All rows at once: rows × heads × dimensions. What a row does not read is left out of every step."""
        n = len(q)
        group = self.heads // self.kv_heads
        k, v = (np.repeat(part, group, 1) for part in (k, v))
        q = q * (F32(1.0) / np.sqrt(F32(self.dim)))
        scores = np.zeros((n, self.heads, n), F32)
        for d in range(self.dim):
            scores = fma(q[:, :, None, d], k[None, :, :, d].transpose(0, 2, 1), scores)
        reads = np.tril(np.ones((n, n), bool))[:, None, :]
        largest = np.where(reads, scores, F32(-np.inf)).max(-1)
        weights = exp(np.where(reads, scores - largest[..., None], F32(0.0)))
        sums, values = None, None
        for start in range(0, n, SEGMENT):
            end = min(n, start + SEGMENT)
            lanes = np.zeros((n, self.heads, LANES), F32)
            part = np.zeros_like(q)
            for p in range(start, end):
                here = reads[:, :, p]
                lane = lanes[..., p % LANES]
                lanes[..., p % LANES] = np.where(here, lane + weights[..., p], lane)
                part = np.where(here[..., None], fma(weights[..., p, None], v[None, p], part), part)
            total = sum_lanes(lanes)
            if sums is None:
                sums, values = total, part
            else:
                reached = reads[:, :, start]
                sums = np.where(reached, sums + total, sums)
                values = np.where(reached[..., None], values + part, values)
        return values * (F32(1.0) / sums)[..., None]
