#!/usr/bin/env python3
"""The Compute Market's arithmetic and its proof of throughput, a second time and with no shared code.

    python3 tests/reference/market.py vectors > tests/vectors/market.json
    python3 tests/reference/market.py run            one case a line on standard input, one result a line
    python3 tests/reference/market.py cpu            the whole proof of class `cpu`: side 512, eight rounds

Needs numpy. A cargo test runs all three and compares with the crate.
"""

import hashlib
import json
import struct
import sys

import numpy as np

U64 = 2**64
MAX_LAMPORTS = 2**63 - 1


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


# ---- The proof


def philox(counters, key):
    """Philox4x32-10 of many counters at once: an array of shape (..., 4) of uint64 that hold 32 bits."""
    a, b, c, d = (counters[..., i].astype(np.uint64) for i in range(4))
    low, high = (np.uint64(word) for word in key)
    mask, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    for _ in range(10):
        first = np.uint64(0xD2511F53) * a
        second = np.uint64(0xCD9E8D57) * c
        a, b, c, d = (
            (second >> shift) ^ b ^ low,
            second & mask,
            (first >> shift) ^ d ^ high,
            first & mask,
        )
        low = np.uint64((int(low) + 0x9E3779B9) & 0xFFFFFFFF)
        high = np.uint64((int(high) + 0xBB67AE85) & 0xFFFFFFFF)
    return np.stack([a, b, c, d], axis=-1).astype("<u4")


def lines(n, seed, which):
    """All rows of A (0) or all columns of B (1), as int8."""
    low, high, tweak = struct.unpack("<3I", seed[:12])
    counters = np.zeros((n, n // 16, 4), dtype=np.uint64)
    counters[..., 0] = np.arange(n // 16)[None, :]
    counters[..., 1] = np.arange(n)[:, None]
    counters[..., 2] = which
    counters[..., 3] = tweak
    return philox(counters, (low, high)).reshape(n, n // 4).view(np.int8).reshape(n, n)


def round_seed(lease, unit, epoch, number, link):
    place = struct.pack("<BQI", unit, epoch, number)
    return sha256(b"mythic/probe/v1", lease, place, link)


def product(n, seed):
    # Sums stay below 2^28, so doubles are exact.
    rows, columns = lines(n, seed, 0), lines(n, seed, 1)
    return (rows.astype(np.float64) @ columns.astype(np.float64).T).astype("<i4")


def root(hashes):
    while len(hashes) > 1:
        pairs = [hashes[i : i + 2] for i in range(0, len(hashes), 2)]
        hashes = [sha256(b"\x01", *pair) if len(pair) == 2 else pair[0] for pair in pairs]
    return hashes[0]


def round_root(matrix):
    content = matrix.tobytes()
    return root([sha256(b"\x03", content[i : i + 64]) for i in range(0, len(content), 64)])


def proof(lease, epoch, first, units, rounds, n):
    roots = []
    for unit in range(units):
        link = first
        for number in range(rounds):
            link = round_root(product(n, round_seed(lease, unit, epoch, number, link)))
            roots.append(link)
    return roots, root(list(roots))


# ---- Time and money


def metered(now, mark, ends_at, last, epoch, seconds):
    missed = max(0, epoch - last - 1)
    most = seconds if missed else seconds + seconds // 2
    return min(max(0, min(now, ends_at) - mark), most)


def overdue(slot, last, slots, proof_slots):
    epoch = slot // slots
    due = epoch if slot >= epoch * slots + proof_slots else epoch - 1
    return last < due


def tail(now, slot, mark, ends_at, last, slots, seconds, proof_slots):
    if overdue(slot, last, slots, proof_slots):
        return 0
    return metered(now, mark, ends_at, last, slot // slots, seconds)


def silent(now, slot, mark, ends_at, last, slots, seconds):
    missed = max(0, slot // slots - last - 1)
    return missed if now < ends_at else min(missed, max(0, ends_at - mark) // seconds)


def owed(epochs, start, now, started_at, mark, ends_at, seconds):
    return min(epochs * seconds, max(0, ends_at - max(start, mark)), max(0, now - started_at))


def price(lamports, units, seconds):
    total = lamports * units * seconds
    return total if total <= MAX_LAMPORTS else None


def refute_bond(fee, transactions, epoch_price, open_disputes):
    return [fee * transactions, (epoch_price + 1) // 2 * (1 + open_disputes)]


def refuted(stake_per_unit, units):
    slashed = stake_per_unit * units * 5_000 // 10_000
    return [slashed, slashed * 2_500 // 10_000]


def split(amount, provider_bps, foundation_bps):
    provider = amount * provider_bps // 10_000
    foundation = amount * foundation_bps // 10_000
    return [provider, foundation, amount - provider - foundation]


# ---- Cases


def hexed(text):
    return bytes.fromhex(text)


FUNCTIONS = {
    "philox": lambda counter, key: philox(np.array(counter, dtype=np.uint64), key).tolist(),
    "round_seed": lambda lease, unit, epoch, number, link: round_seed(
        hexed(lease), unit, epoch, number, hexed(link)
    ).hex(),
    "element": lambda n, seed, row, column: int(
        lines(n, hexed(seed), 0)[row].astype(np.int64) @ lines(n, hexed(seed), 1)[column].astype(np.int64)
    ),
    "round_root": lambda n, seed: round_root(product(n, hexed(seed))).hex(),
    "proof": lambda lease, epoch, first, units, rounds, n: proof(
        hexed(lease), epoch, hexed(first), units, rounds, n
    )[1].hex(),
    "metered": metered,
    "tail": tail,
    "silent": silent,
    "owed": owed,
    "price": price,
    "refute_bond": refute_bond,
    "refuted": refuted,
    "split": split,
}


def seed_of(text):
    return sha256(text.encode()).hex()


def cases():
    top = 2**32 - 1
    yield "philox", [[0, 0, 0, 0], [0, 0]]
    yield "philox", [[top] * 4, [top] * 2]
    yield "philox", [[0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0]]
    for i in range(8):
        yield "round_seed", [seed_of("lease"), i, 2 ** (8 * i) - 1, 4095 - i, seed_of(f"link {i}")]
        yield "element", [32 + 16 * i, seed_of(f"element {i}"), 3 * i, 31 - i]
    yield "element", [512, seed_of("last"), 511, 511]
    for n in [16, 32, 48, 64]:
        yield "round_root", [n, seed_of(f"side {n}")]
    for units, rounds in [(1, 1), (1, 3), (2, 2), (3, 5)]:
        yield "proof", [seed_of("lease"), 7, seed_of("first"), units, rounds, 16]
    for now in [999, 1_000, 1_001, 1_060, 1_090, 1_091, 1_500, 20_000]:
        for epoch in [10, 11, 12, 15]:
            yield "metered", [now, 1_000, 1_400, 10, epoch, 60]
        for slot in [1_649, 1_650, 1_699, 1_700, 1_800, 2_000]:
            yield "tail", [now, slot, 1_000, 1_400, 10, 150, 60, 50]
            yield "silent", [now, slot + 300, 1_000, 1_400, 10, 150, 60]
    for epochs in [0, 1, 2, 16, 2**40]:
        for start, now in [(1_300, 1_300), (900, 2_000), (1_500, 1_500), (1_000, 1_030)]:
            yield "owed", [epochs, start, now, 950, 1_000, 1_400, 60]
    for lamports, units, seconds in [(1, 1, 1), (10_000, 8, 3_600), (2**50, 8, 2**9), (2**60, 8, 1), (2**63, 1, 1)]:
        yield "price", [lamports, units, seconds]
    for lamports in [0, 1, 2, 3, 9_999, 600_000, MAX_LAMPORTS]:
        yield "split", [lamports, 5_000, 1_000]
        yield "split", [lamports, 3_333, 1]
        yield "refuted", [lamports // 8, 1 + lamports % 8]
        yield "refute_bond", [10_000, lamports % 24, lamports // 2**20, lamports % 7]


def main():
    match sys.argv[1:]:
        case ["run"]:
            for line in sys.stdin:
                case = json.loads(line)
                print(json.dumps(FUNCTIONS[case["fn"]](*case["args"])))
        case ["vectors"]:
            rows = [
                json.dumps({"fn": name, "args": args, "result": FUNCTIONS[name](*args)})
                for name, args in cases()
            ]
            print("[\n" + ",\n".join(rows) + "\n]")
        case ["cpu"]:
            lease, first = bytes.fromhex(seed_of("lease")), bytes.fromhex(seed_of("first"))
            roots, whole = proof(lease, 12_345, first, 1, 8, 512)
            print(json.dumps({"roots": [root.hex() for root in roots], "proof": whole.hex()}))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
