#!/usr/bin/env python3
"""Golden choices of sampling profile 2, as the independent sampler makes them: choices.py > choices.json

A case: logits as the bits of f32, the options' canonical bytes and the seed as hex, temperature, position, the output before it, and the
token.
"""

import json
import random
import struct

import numpy as np

from sampler import Options, choose, rounded
from test_verifier import options


def logits(rng):
    """Coarse, so that many are equal; now and then some far off, or none at all."""
    row = [rng.randrange(-200, 200) / 16 for _ in range(rng.choice((4, 63, 64, 65, 200)))]
    for _ in range(rng.randrange(3)):
        row[rng.randrange(len(row))] = rng.choice((float("-inf"), -40_000.0, 90.25, 2.0**-18))
    return row


def cases():
    rng = random.Random(12)
    for _ in range(60):
        row = logits(rng)
        ids = range(len(row))
        kind = {}
        if rng.random() < 0.5:
            kind["top_k"] = rng.choice((1, 2, 40, 63))
        if rng.random() < 0.5:
            kind["top_p"] = rng.choice((1, 1_000, 500_000, 900_000, 999_999))
        if rng.random() < 0.4:
            kind["min_p"] = rng.choice((1, 50_000, 1_000_000))
        if rng.random() < 0.5:
            kind |= {"presence": rng.randint(-2_000, 2_000), "frequency": rng.randint(-2_000, 2_000)}
        if rng.random() < 0.5:
            kind["repetition"] = rng.choice((1, 500, 1_100, 10_000))
        if rng.random() < 0.5:
            biased = sorted(rng.sample(ids, rng.randrange(1, 4)))
            kind["bias"] = [(token, rng.choice((-100_000, -333, 1, 7_777, 100_000))) for token in biased]
        data, seed = options(**kind), rng.randbytes(32)
        temperature, position = rng.choice((0, 1, 300, 1_000, 2_000)), rng.randrange(4_096)
        before = [rng.choice(ids) for _ in range(rng.randrange(12))]
        bits = [struct.unpack("<I", struct.pack("<f", value))[0] for value in row]
        token = choose(Options(data), seed, temperature, position, before, rounded(np.array(row, np.float32)))
        yield {
            "logits": bits, "options": data.hex(), "seed": seed.hex(), "temperature_milli": temperature, "position": position,
            "output": before, "token": token,
        }


def text():
    return "[\n" + ",\n".join(json.dumps(case) for case in cases()) + "\n]\n"


if __name__ == "__main__":
    print(text(), end="")
