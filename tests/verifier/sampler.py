"""Sampling profile 2, `seeded-full`: which token the options choose from a row of logits. Python integers alone."""

import sys
from decimal import ROUND_FLOOR, Decimal, getcontext
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[2] / "programs/interface/tests/reference"))
import reference

getcontext().prec = 50
PPM = 1_000_000
ONE = 1 << 16


def table(count, step, bits):
    """exp(−i / step) for i below `count`, in units of 2^−bits, rounded down."""
    return [int(((Decimal(-i) / step).exp() * 2**bits).to_integral_value(ROUND_FLOOR)) for i in range(count)]


WHOLE, UPPER, LOWER = table(23, 1, 50), table(256, 256, 31), table(256, 65_536, 31)


def weight(x):
    """2^32 · exp(−x) for x ≥ 0 in Q16.16."""
    if x >> 16 >= len(WHOLE):
        return 0
    return WHOLE[x >> 16] * (UPPER[x >> 8 & 255] * LOWER[x & 255] >> 31) >> 49


def toward_zero(a, b):
    return a // b if (a < 0) == (b < 0) else -(-a // b)


class Options:
    """A job's options, from their canonical bytes; no bytes are options that change nothing."""

    def __init__(self, data=b""):
        self.top_k, self.top_p, self.min_p = 0, PPM, 0
        self.presence, self.frequency, self.repetition = 0, 0, 1_000
        self.bias, self.stop, self.grammar = {}, [], None
        if not data:
            return
        self.data, self.at = data, 0
        if self.number(1) != 1:
            raise ValueError("options of another version")
        self.top_k, self.top_p, self.min_p = self.number(1), self.number(4), self.number(4)
        self.presence, self.frequency = self.number(2, True), self.number(2, True)
        self.repetition = self.number(2)
        for _ in range(self.number(2)):
            token = self.number(4)
            self.bias[token] = self.number(4, True)
        self.stop = [self.take(self.number(2)) for _ in range(self.number(1))]
        self.grammar = self.take(self.number(4)) or None
        if self.at != len(data):
            raise ValueError("bytes behind the options")

    def take(self, count):
        part = self.data[self.at : self.at + count]
        if len(part) != count:
            raise ValueError("the options end early")
        self.at += count
        return part

    def number(self, size, signed=False):
        return int.from_bytes(self.take(size), "little", signed=signed)


def rounded(row):
    """Logits as Q16.16: half to even, within 32 bits."""
    return np.clip(np.rint(row.astype(np.float64) * ONE), -(2**31), 2**31 - 1).astype(np.int64)


def choose(options, seed, temperature_milli, position, before, logits, allowed=None):
    """The token at a position after the output `before`; `logits` in Q16.16, one for each id. `allowed` are the bits of a mask, the
    lowest id in the lowest; everything where there is none."""
    values = logits.copy()
    for token, bias in options.bias.items():
        values[token] += toward_zero(bias * ONE, 1_000)
    for token in set(before):
        value = int(values[token])
        up, down = (options.repetition, 1_000) if value < 0 else (1_000, options.repetition)
        value = toward_zero(value * up, down)
        penalty = options.frequency * before.count(token) + options.presence
        values[token] = value - toward_zero(penalty * ONE, 1_000)
    ids = np.arange(len(values))
    if allowed is not None:
        ids = np.array([token for token in ids if allowed >> int(token) & 1])
        values = values[ids]
    if temperature_milli == 0:
        return int(ids[np.argmax(values)])
    # Toward zero, in whole arrays.
    scaled = np.sign(values) * (np.abs(values) * 1_000 // temperature_milli)
    order = np.lexsort((ids, -scaled))[:64]
    kept = [(int(scaled[at]), int(ids[at])) for at in order]
    first = kept[0][0]
    if options.top_k:
        kept = kept[: options.top_k]
    if options.top_p < PPM:
        near = scaled[scaled > first - (len(WHOLE) << 16)]
        total = sum(weight(first - int(s)) for s in near)
        reached = 0
        for count, (s, _) in enumerate(kept, 1):
            reached += weight(first - s)
            if reached * PPM >= options.top_p * total:
                kept = kept[:count]
                break
    if options.min_p:
        bar = first + reference.ln(options.min_p) - reference.ln(PPM)
        kept = [entry for entry in kept if entry[0] >= bar] or kept[:1]

    def noisy(entry):
        s, token = entry
        digest = reference.sha(b"mythic/gumbel/v1", seed, reference.u32(position), reference.u32(token))
        return s + reference.noise(digest), -token

    return max(kept, key=noisy)[1]
