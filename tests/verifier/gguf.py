"""GGUF files, as the format's description says: metadata, tensors, and their weights in blocks of 32 integers."""

import mmap
import struct

import numpy as np

F32 = np.float32
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


class File:
    """A file's metadata, and where its tensors lie."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.at = 0
        if self.take(4) != b"GGUF" or self.scalar("I") not in (2, 3):
            raise ValueError(f"{path} is no GGUF file of version 2 or 3")
        tensors, pairs = self.scalar("Q"), self.scalar("Q")
        self.metadata = {}
        for _ in range(pairs):
            key = self.text()
            self.metadata[key] = self.value(self.scalar("I"))
        self.tensors = {}
        for _ in range(tensors):
            name = self.text()
            dims = [self.scalar("Q") for _ in range(self.scalar("I"))]
            kind, offset = self.scalar("I"), self.scalar("Q")
            self.tensors[name] = (dims, kind, offset)
        alignment = self.metadata.get("general.alignment", 32)
        self.start = -(-self.at // alignment) * alignment

    def take(self, count):
        self.at += count
        return self.data[self.at - count : self.at]

    def scalar(self, kind):
        return struct.unpack("<" + kind, self.take(struct.calcsize("<" + kind)))[0]

    def text(self):
        return self.take(self.scalar("Q")).decode(errors="surrogateescape")

    def value(self, kind):
        if kind == 8:
            return self.text()
        if kind == 9:
            inner, count = self.scalar("I"), self.scalar("Q")
            return [self.value(inner) for _ in range(count)]
        return self.scalar(SCALARS[kind])

    def tensor(self, name):
        """The weights of a matrix, or of a vector as a matrix of one row."""
        dims, kind, offset = self.tensors[name]
        cols, rows = dims[0], int(np.prod(dims[1:], dtype=np.int64))
        if kind in FLOATS:
            width, read = FLOATS[kind]
            raw = np.frombuffer(self.data, np.uint8, rows * cols * width, self.start + offset)
            return Floats(read(raw).reshape(rows, cols))
        values, size, read = BLOCKS[kind]
        raw = np.frombuffer(self.data, np.uint8, rows * cols // values * size, self.start + offset)
        return Blocks(*read(raw.reshape(rows, cols // values, size)))


class Floats:
    """Weights that are stored as floats."""

    def __init__(self, values):
        self.values = values

    def rows(self, index):
        return self.values[index]


class Blocks:
    """Weights as integers: of each block of 32 those with their factors, a scale and a minimum or none.

    value = scale × integer + minimum.
    """

    def __init__(self, integers, scale, minimum=None):
        rows = integers.shape[0]
        self.integers = integers.reshape(rows, -1, 32)
        self.scale = scale.reshape(rows, -1).astype(F32)
        self.minimum = None if minimum is None else minimum.reshape(rows, -1).astype(F32)

    def rows(self, index):
        """Rows as f32: a product, rounded, and a sum."""
        values = self.scale[index][..., None] * self.integers[index].astype(F32)
        minimum = F32(0.0) if self.minimum is None else self.minimum[index][..., None]
        values = values + minimum
        return values.reshape(*values.shape[:-2], -1)


def half(raw):
    """Two bytes at the end of a shape as an f16, widened."""
    return np.ascontiguousarray(raw).view("<f2")[..., 0].astype(F32)


def nibbles(raw):
    return np.concatenate([raw & 15, raw >> 4], -1)


def fifth_bits(raw):
    """A bit for each of 32 integers, from four bytes."""
    bits = np.ascontiguousarray(raw).view("<u4")
    return ((bits >> np.arange(32, dtype=np.uint32)) & 1).astype(np.uint8) << 4


def q4_0(b):
    return nibbles(b[..., 2:]).astype(np.int16) - 8, half(b[..., :2])


def q4_1(b):
    return nibbles(b[..., 4:]).astype(np.int16), half(b[..., :2]), half(b[..., 2:4])


def q5_0(b):
    return (nibbles(b[..., 6:]) | fifth_bits(b[..., 2:6])).astype(np.int16) - 16, half(b[..., :2])


def q5_1(b):
    integers = nibbles(b[..., 8:]) | fifth_bits(b[..., 4:8])
    return integers.astype(np.int16), half(b[..., :2]), half(b[..., 2:4])


def q8_0(b):
    return b[..., 2:].view(np.int8).astype(np.int16), half(b[..., :2])


def six_bits(s):
    """Eight scales and eight minima of six bits, from twelve bytes."""
    low, mid, high = s[..., :4], s[..., 4:8], s[..., 8:]
    scales = np.concatenate([low & 63, (high & 15) | (low >> 6) << 4], -1)
    minima = np.concatenate([mid & 63, (high >> 4) | (mid >> 6) << 4], -1)
    return scales.astype(F32), minima.astype(F32)


def k_scales(b):
    scales, minima = six_bits(b[..., 4:16])
    # An f16 times six bits is exact.
    return half(b[..., :2])[..., None] * scales, -(half(b[..., 2:4])[..., None] * minima)


def halves_of(raw):
    """Low nibbles of each 32 bytes, then the high ones."""
    parts = raw.reshape(*raw.shape[:-1], -1, 32)
    return np.stack([parts & 15, parts >> 4], -2).reshape(*raw.shape[:-1], -1, 32)


def q4_k(b):
    return halves_of(b[..., 16:]).astype(np.int16), *k_scales(b)


def q5_k(b):
    high = b[..., None, 16:48] >> np.arange(8, dtype=np.uint8)[:, None] & 1
    return (halves_of(b[..., 48:]) | high << 4).astype(np.int16), *k_scales(b)


def q6_k(b):
    low, high, factors = b[..., :128], b[..., 128:192], b[..., 192:208].view(np.int8)
    blocks = []
    for i in range(8):
        part, four = i // 4, i % 4
        nibble = low[..., 64 * part + 32 * (four % 2) :][..., :32] >> (4 if four >= 2 else 0) & 15
        bits = high[..., 32 * part :][..., :32] >> 2 * four & 3
        integers = (nibble | bits << 4).astype(np.int16) - 32
        blocks.append(integers * np.repeat(factors[..., 2 * i : 2 * i + 2], 16, -1).astype(np.int16))
    return np.stack(blocks, -2), np.repeat(half(b[..., 208:])[..., None], 8, -1)


def q3_k(b):
    low, s = b[..., 32:96], b[..., 96:108]
    blocks = []
    for i in range(8):
        integers = (low[..., 32 * (i // 4) :][..., :32] >> 2 * (i % 4) & 3) | (b[..., :32] >> i & 1) << 2
        factors = []
        for n in (2 * i, 2 * i + 1):
            nibble = s[..., n] & 15 if n < 8 else s[..., n - 8] >> 4
            factors.append((nibble | (s[..., 8 + n % 4] >> 2 * (n // 4) & 3) << 4).astype(np.int16) - 32)
        factors = np.repeat(np.stack(factors, -1), 16, -1)
        blocks.append((integers.astype(np.int16) - 4) * factors)
    return np.stack(blocks, -2), np.repeat(half(b[..., 108:])[..., None], 8, -1)


FLOATS = {
    0: (4, lambda raw: raw.view("<f4")),
    1: (2, lambda raw: raw.view("<f2").astype(F32)),
    30: (2, lambda raw: (raw.view("<u2").astype(np.uint32) << 16).view(F32)),
}
# Values and bytes of a block, or of what shares a header.
BLOCKS = {
    2: (32, 18, q4_0),
    3: (32, 20, q4_1),
    6: (32, 22, q5_0),
    7: (32, 24, q5_1),
    8: (32, 34, q8_0),
    11: (256, 110, q3_k),
    12: (256, 144, q4_k),
    13: (256, 176, q5_k),
    14: (256, 210, q6_k),
}
