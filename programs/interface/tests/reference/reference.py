#!/usr/bin/env python3
"""An independent second implementation of the protocol's hashes, sampler and draws.

Written from the protocol's text with other means than the Rust one: exact fractions, whole arrays,
level-by-level trees. Standard library only.

    reference.py run      < cases.jsonl      one {"fn", "args"} a line in, one result a line out
    reference.py vectors  > vectors.json     the golden vectors: [{"fn", "args", "result"}]
"""

import hashlib
import json
import random
import struct
import sys
from decimal import Decimal, getcontext
from fractions import Fraction

from tables import ln_table, ratio_table

getcontext().prec = 50
LN = ln_table()
RATIO = ratio_table()
LN2 = LN[-1]


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def u8(value):
    return struct.pack("<B", value)


def u16(value):
    return struct.pack("<H", value)


def u32(value):
    return struct.pack("<I", value)


def i32(value):
    return struct.pack("<i", value)


def u64(value):
    return struct.pack("<Q", value)


def raw(text):
    return bytes.fromhex(text)


# Trees


def levels(leaves):
    """Every level of a tree, leaves first; an odd last node moves up unchanged."""
    out = [leaves]
    while len(out[-1]) > 1:
        row = out[-1]
        pairs = [row[i : i + 2] for i in range(0, len(row), 2)]
        out.append([sha(b"\1", *pair) if len(pair) == 2 else pair[0] for pair in pairs])
    return out


def merkle_root(leaves):
    leaves = [raw(leaf) for leaf in leaves]
    return levels(leaves)[-1][0].hex() if leaves else None


def merkle_proof(leaves, index):
    path = []
    for row in levels([raw(leaf) for leaf in leaves])[:-1]:
        sibling = index ^ 1
        if sibling < len(row):
            path.append(row[sibling].hex())
        index //= 2
    return path


# Hashes


def prompt_hash(salt, ids):
    return sha(b"mythic/prompt/v1", raw(salt), u32(len(ids)), *map(u32, ids)).hex()


def job_seed(job, user_seed):
    return sha(b"mythic/seed/v1", raw(job), raw(user_seed)).hex()


def output_root(ids):
    chunks = [ids[i : i + 128] for i in range(0, len(ids), 128)]
    leaves = [sha(b"\2", u32(n), *map(u32, chunk)) for n, chunk in enumerate(chunks)]
    return levels(leaves)[-1][0].hex() if leaves else None


def leaf_hash(job, submitter, position, token, top4):
    body = b"".join(u32(i) + i32(logit) for i, logit in top4)
    return sha(b"\0", raw(job), raw(submitter), u32(position), u32(token), body).hex()


def fingerprint(leaf_root, count, terms_hash, output_root):
    return sha(b"mythic/fp/v1", raw(leaf_root), u32(count), raw(terms_hash), raw(output_root)).hex()


def stop_hash(stops):
    if not stops:
        return bytes(32).hex()
    encoded = [stop.encode() for stop in stops]
    return sha(b"mythic/stop/v1", u32(len(stops)), *(u32(len(s)) + s for s in encoded)).hex()


def options_hash(salt, options):
    """What the terms of sampling profile 2 hold: the options' bytes under the prompt's salt."""
    return sha(b"mythic/options/v1", raw(salt), raw(options)).hex()


def rules_bytes(rules):
    """A config's snapshot: durations and the speed of reading, basis points and seats, lamports."""
    slots, bps, lamports = rules[:8], rules[8:14], rules[14:]
    return b"".join([*map(u32, slots), *map(u16, bps), *map(u64, lamports)])


def rules_hash(rules):
    return sha(b"mythic/rules/v1", rules_bytes(rules)).hex()


def terms_hash(terms):
    """`terms`: one value a term, in the protocol's order; the config's snapshot is the last."""
    (owner, requester, canceller, nonce, model, prompt, prompt_tokens, max_output_tokens, price_in,
     price_out, seed, temperature_milli, profile, stops, source, deadline_slots, rules) = terms
    return sha(
        b"mythic/terms/v1", raw(owner), raw(requester), raw(canceller), raw(nonce), raw(model),
        raw(prompt), u32(prompt_tokens), u32(max_output_tokens), u32(price_in), u32(price_out),
        raw(seed), u16(temperature_milli), u8(profile), raw(stops), u8(len(source)),
        source.encode("ascii"), u32(deadline_slots), rules_bytes(rules),
    ).hex()


def model_identity(creator, model):
    (weights, tokenizer, template, quantisation, kernel_profile, context_length, max_job_tokens,
     error_ppm, miss_ppm, commit_slots, min_vram_mib, eos_ids) = model
    return sha(
        b"mythic/model/v2", raw(creator), raw(weights), raw(tokenizer), raw(template), u16(quantisation),
        u16(kernel_profile), u32(context_length), u32(max_job_tokens), u32(error_ppm),
        u32(miss_ppm), u16(commit_slots), u32(min_vram_mib), u8(len(eos_ids)),
        *map(u32, eos_ids + [0] * (8 - len(eos_ids))),
    ).hex()


def positions_hash(positions, digests):
    return sha(b"mythic/positions/v2", *map(u32, positions), *map(raw, digests)).hex()


def exact_digest(leaves):
    entries = (
        u32(position) + u32(token) + b"".join(u32(i) + struct.pack("<i", logit) for i, logit in top)
        for position, token, top in leaves
    )
    return sha(b"mythic/exact/v1", *entries).hex()


def work_digest(fifths):
    return sha(b"mythic/work/v1", *(u32(i) + struct.pack("<i", logit) for i, logit in fifths)).hex()


def juror_commitment(case, authority, salt, vote):
    return sha(b"mythic/juror/v1", raw(case), raw(authority), raw(salt), raw(vote)).hex()


# Logarithm and noise


def ln_q32(n):
    exponent = n.bit_length() - 1
    mantissa = (n * 2**32 // 2**exponent) - 2**32
    index, fraction = divmod(mantissa, 2**25)
    return exponent * LN2 + LN[index] + (LN[index + 1] - LN[index]) * fraction // 2**25


def to_q16(units):
    return (units + 2**15) // 2**16


def close(q16, exact):
    assert abs(Decimal(q16) / 2**16 - exact) <= Decimal(2) ** -12, (q16, exact)


def ln(n):
    if n == 0:
        return None
    value = to_q16(ln_q32(n))
    close(value, Decimal(n).ln())
    return value


def gumbel(x):
    odd = 2 * x + 1
    if odd < 2**32:
        value = to_q16(32 * LN2 - ln_q32(33 * LN2 - ln_q32(odd)))
    else:
        rest = 2**33 - odd
        index, fraction = divmod(rest, 2**26)
        ratio = RATIO[index] + (RATIO[index + 1] - RATIO[index]) * fraction // 2**26
        value = to_q16(33 * LN2 - ln_q32(rest) - ratio)
    close(value, -(-(Decimal(odd) / 2**33).ln()).ln())
    return value


def noise(digest):
    return gumbel(int.from_bytes(digest[:4], "little"))


# Sampler


def round_q16(bits):
    value = struct.unpack("<f", u32(bits))[0]
    if value != value:
        return None
    if value in (float("inf"), float("-inf")):
        return 2**31 - 1 if value > 0 else -(2**31)
    return max(-(2**31), min(2**31 - 1, round(Fraction(value) * 65536)))


def top4(bits):
    values = [struct.unpack("<f", u32(b))[0] for b in bits]
    if len(values) < 4 or any(v != v for v in values):
        return None
    largest = sorted(range(len(values)), key=lambda i: (-values[i], i))[:4]
    return sorted(([i, round_q16(bits[i])] for i in largest), key=lambda e: (-e[1], e[0]))


def choose(seed, temperature_milli, position, top4):
    def score(token, logit):
        if temperature_milli == 0:
            return logit
        scaled = abs(logit) * 1000 // temperature_milli
        gum = noise(sha(b"mythic/gumbel/v1", raw(seed), u32(position), u32(token)))
        return (scaled if logit >= 0 else -scaled) + gum

    return min(top4, key=lambda entry: (-score(*entry), entry[0]))[0]


def check_four(top4):
    ids = [i for i, _ in top4]
    if len(set(ids)) < 4:
        return "RepeatedId"
    if top4 != sorted(top4, key=lambda e: (-e[1], e[0])):
        return "NotOrdered"
    return None


def check_leaf(seed, temperature_milli, position, token, top4):
    chosen = lambda: choose(seed, temperature_milli, position, top4) == token
    return check_four(top4) or (None if chosen() else "NotTheChoice")


def check_unreplayed(position, token, top4):
    """Sampling profile 2: whatever was chosen, it is not the number that stands for none."""
    return check_four(top4) or ("NotTheChoice" if token == 2**32 - 1 else None)


def own_leaf(position, top4, chosen, in_grammar, is_over, stops_here, output_tokens, finish_reason):
    """What a juror's digest holds at a position of sampling profile 2: position, token, four largest."""
    says_stopped = finish_reason == 3 and position == output_tokens - 1
    none = is_over or not in_grammar or (says_stopped and not stops_here)
    return [position, 2**32 - 1 if none else chosen, top4]


# Draws


def sample(count, fingerprint, hashes):
    places = list(range(count))
    if count <= 16:
        return places
    for i in range(16):
        digest = sha(b"mythic/sample/v1", raw(fingerprint), raw(hashes[i % 4]), u32(i))
        j = i + int.from_bytes(digest[:8], "little") % (count - i)
        places[i], places[j] = places[j], places[i]
    return sorted(places[:16])


def rank(case, slot_hash, index, authority, stake):
    if stake == 0:
        return None
    digest = sha(b"mythic/jury/v1", raw(case), raw(slot_hash), u32(index), raw(authority))
    return ln(stake) + noise(digest)


# Comparison


def error_ppm(x, y):
    return abs(x - y) * 1_000_000 // max(abs(x), abs(y), 65536)


def compare(rule, kind, pairs):
    """Broken rules, sorted. `pairs`: [given, own], given of 4 (submitted) or 5 (checkers)."""
    broken = []
    if rule == "exact":
        tail = (lambda given: given[4]) if kind == "checkers" else (lambda given: given[3])
        if any(given[:4] != own[:4] or tail(given) != own[4] for given, own in pairs):
            broken.append("different")
        return broken
    tau1, tau3 = rule
    errors = [[error_ppm(x, y) for x, y in zip(given[:4], own[:4])] for given, own in pairs]
    flat = [min(e, 5 * tau1) for row in errors for e in row]
    if sum(flat) > tau1 * len(flat):
        broken.append("mean")
    if sum(max(row) > 5 * tau1 for row in errors) >= max(4, len(pairs) // 4):
        broken.append("large")
    if kind == "checkers":
        left_out = sum(error_ppm(a[4], b[4]) > 5 * tau1 for a, b in pairs)
    else:
        left_out = sum(g[3] < o[4] and error_ppm(g[3], o[4]) > 5 * tau1 for g, o in pairs)
    if Fraction(left_out) > Fraction(tau3, 1_000_000) * len(pairs):
        broken.append("omitted")
    return sorted(broken)


# Verdicts and money of a case

LIMIT = 2**63 - 1


def part(amount, bps):
    return amount * min(bps, 10_000) // 10_000


def pieces(tokens, chunks, leaves):
    """Transactions that show so much: a chunk in each, and leaves by two up to 2,048 tokens."""
    return chunks + (leaves if tokens > 2_048 else leaves // 2 + leaves % 2)


def committer_bit(slot_hash, authority):
    digest = sha(b"mythic/committer/v1", raw(slot_hash), raw(authority))
    return int.from_bytes(digest[:4], "little") % 4_096


def bond(slash_bps, bond_bps, seats, tariff, cap, answering_fee, kind, nth, stake, fee, pieces):
    """At stake, answering fee, tariffs, total; None beyond what an amount can be."""
    answering = answering_fee * pieces
    at_stake = tariffs = each = 0
    if kind == "false":
        at_stake = part(part(stake, slash_bps), bond_bps) * nth
        if nth == 1:
            each = tariff + min(fee, cap)
            tariffs = each * seats
    total = at_stake + answering + tariffs
    return [at_stake, answering, tariffs, total] if max(each, total) <= LIMIT else None


def slash_cap(ground, slash, committed):
    return min(slash, committed) if ground == "jury" else slash


def decide(ground, exact, shown, seats, claims):
    """Verdict, ground, outcomes, rewarded claim, its share, paid jurors, fined seats.

    A seat: [taken, revealed, first seat of its juror, digests it finds true, for each digest the seats that agree].
    A claim: [says false, digest of its group or 0, names a proven fault]."""
    total = len(seats)
    quorum = next(n for n in range(total + 1) if 3 * n >= 2 * total)
    keys = 2 if total <= 3 else 3
    first = lambda some: {seats[i][2] for i in some}
    enough = lambda some: len(some) >= quorum and len(first(some)) >= keys

    def agreed(some, digest):
        groups = [{i} | (some & set(seats[i][4][digest])) for i in sorted(some)]
        group = max(groups, key=len, default=set())
        return group if enough(group) else None

    taken = {i for i, seat in enumerate(seats) if seat[0]}
    revealed = {i for i in taken if seats[i][1]}
    workers, against, truths = revealed, set(), {}
    decidable = True
    if exact:
        same = agreed(revealed, 0)
        decidable = same is not None
        if decidable:
            workers, against = same, revealed - same
    digests = [1] + [group for _, group, _ in claims if group]
    for digest in digests if decidable else []:
        right = {i for i in workers if digest in seats[i][3]}
        wrong = agreed(workers - right, digest)
        if enough(right):
            truths[digest], side = True, right
        elif wrong is not None:
            truths[digest], side = False, wrong
        else:
            continue
        against = against | (workers - side)

    outcomes = []
    for says_false, group, proved in claims:
        found = {truths.get(1), truths.get(group) if group else True}
        if ground == "unanswered":
            outcomes.append("right")
        elif not says_false:
            outcomes.append("wrong" if shown else "undecided")
        elif proved:
            outcomes.append("right")
        else:
            outcomes.append("right" if False in found else "wrong" if found == {True} else "undecided")
    falses = [i for i, claim in enumerate(claims) if claim[0]]
    having = lambda wanted: [i for i in falses if outcomes[i] == wanted]
    earliest = lambda some: some[0] if some else None
    honest = sorted(first(revealed - against))

    if ground == "unanswered":
        return ["guilty", ground, outcomes, earliest(falses + [0]), 1_000, [], []]
    if ground == "no_claim":
        return ["void", ground, outcomes, None, 4_000, [], []]
    fined = sorted((taken - revealed) | against)
    if ground == "fault":
        standing, share = earliest(having("right") + having("undecided")), 4_000
        if standing is None:
            standing, share = (0 if claims and not falses else None), 1_000
        return ["fault", ground, outcomes, standing, share, honest, fined]
    if having("right"):
        return ["guilty", "jury", outcomes, having("right")[0], 4_000, honest, fined]
    if not having("undecided"):
        return ["not_guilty", "jury", outcomes, None, 4_000, honest, fined]
    why = "too_few_judges" if len(first(revealed)) < keys else "no_quorum"
    return ["void", why, outcomes, None, 4_000, honest, fined]


def share_out(verdict, rewarded, share, paid, claims, tariff, juror_tariff, slashed):
    """Each claim's, each juror's, submitter's, prover's, burned. A claim: [at stake, answering fee, tariffs, wrong]."""
    guilty = verdict in ("guilty", "fault")
    reward = part(slashed, share)
    rest = slashed - reward
    if guilty:
        juror = min(tariff, rest // paid if paid else 0)
        burned = rest - juror * paid
    else:
        juror, burned = (tariff if verdict == "not_guilty" else juror_tariff), 0
    amounts, submitter = [], 0
    for index, (at_stake, answering, tariffs, wrong) in enumerate(claims):
        amount = answering + tariffs
        if wrong:
            burned += at_stake
        else:
            amount += at_stake
        if guilty:
            amount += reward if index == rewarded else 0
        else:
            amount -= answering
            submitter += answering
            amount -= juror * paid if tariffs else 0
        amounts.append(amount)
    prover = reward if guilty and rewarded is None else 0
    if any(amount < 0 for amount in amounts):
        return None
    return [amounts, juror, submitter, prover, burned]


FUNCTIONS = {
    f.__name__: f
    for f in (
        merkle_root, merkle_proof, prompt_hash, job_seed, output_root, leaf_hash, fingerprint,
        stop_hash, options_hash, rules_hash, terms_hash, model_identity, juror_commitment, ln, gumbel, round_q16, top4, choose,
        check_leaf, check_unreplayed, own_leaf, sample, rank, error_ppm, compare, positions_hash, exact_digest, work_digest, bond, slash_cap, decide,
        share_out, pieces, committer_bit,
    )
}


# Golden vectors


def cases():
    rng = random.Random(20)
    key = lambda: rng.randbytes(32).hex()
    ids = lambda n: [rng.randrange(49152) for _ in range(n)]
    bits = lambda value: struct.unpack("<I", struct.pack("<f", value))[0]
    logit = lambda: rng.randrange(-(40 << 16), 40 << 16)

    def four():
        entries = [[token, logit()] for token in rng.sample(range(49152), 4)]
        return sorted(entries, key=lambda e: (-e[1], e[0]))

    for n in (0, 1, 2, 3, 5, 8, 13):
        leaves = [key() for _ in range(n)]
        yield "merkle_root", [leaves]
        for index in range(n):
            yield "merkle_proof", [leaves, index]
    for n in (0, 1, 7):
        yield "prompt_hash", [rng.randbytes(16).hex(), ids(n)]
    yield "job_seed", [key(), key()]
    for n in (0, 1, 127, 128, 129, 300):
        yield "output_root", [ids(n)]
    for _ in range(2):
        yield "leaf_hash", [key(), key(), rng.randrange(2**32), rng.randrange(2**32), four()]
        yield "fingerprint", [key(), rng.randrange(2**32), key(), key()]
        yield "juror_commitment", [key(), key(), key(), rng.randbytes(60).hex()]
    for stops in ([], [""], ["\n\n"], ["END", "Fin – Ω"]):
        yield "stop_hash", [stops]
    for source in ("", "http://127.0.0.1:4002", "x" * 96):
        rules = [rng.randrange(1, 2**32) for _ in range(8)]
        rules += [rng.randrange(2**16) for _ in range(6)] + [rng.randrange(2**63) for _ in range(8)]
        yield "rules_hash", [rules]
        yield "terms_hash", [[
            key(), key(), key(), rng.randbytes(16).hex(), key(), key(), 7, 512, 25_000, 50_000,
            key(), 1000, 1, bytes(32).hex(), source, 1_500, rules,
        ]]
    for eos in ([2], [2, 5, 128_009]):
        yield "model_identity", [key(), [
            key(), key(), key(), 3, 1, 8_192, 2_048, 0, 0, 100, 0, eos,
        ]]
    for n in (0, 1, 2, 3, 10**9, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1):
        yield "ln", [n]
    for x in (0, 1, 2, 2**30, 2**31 - 1, 2**31, 2**31 + 1, 2**32 - 2, 2**32 - 1):
        yield "gumbel", [x]
    for value in (0.0, -0.0, 1.0, -1.5, 2**-17, 3 * 2**-17, 5 * 2**-17, -(2**-17), -3 * 2**-17,
                  2**-150 * 2, 32767.998, 32768.0, -32768.0, -40000.0, 1e38, float("inf"),
                  float("-inf"), float("nan")):
        yield "round_q16", [bits(value)]
    yield "top4", [[bits(v) for v in (1.0, 1.0, 1.0, 1.0, 1.0, 0.5)]]
    yield "top4", [[bits(v) for v in (1.0, 1.0 + 2**-20, 1.0 + 2**-19, 0.0, -1.0)]]
    yield "top4", [[bits(rng.uniform(-30, 30)) for _ in range(64)]]
    yield "top4", [[bits(float("-inf")) for _ in range(5)]]
    yield "top4", [[bits(1.0), bits(float("nan")), bits(0.0), bits(2.0)]]
    yield "top4", [[bits(1.0)] * 3]
    for temperature in (0, 1, 700, 1000, 2000, 65535):
        for _ in range(3):
            entries, seed, position = four(), key(), rng.randrange(4096)
            yield "choose", [seed, temperature, position, entries]
            yield "check_leaf", [seed, temperature, position, entries[0][0], entries]
    tied = [[3, 65536], [9, 65536], [11, 65536], [40, 65536]]
    yield "choose", [key(), 0, 0, tied]
    yield "check_leaf", [key(), 0, 0, 3, [tied[1], tied[0]] + tied[2:]]
    yield "check_leaf", [key(), 0, 0, 3, [tied[0], tied[1], tied[0], tied[3]]]
    for count in (0, 1, 16, 17, 18, 100, 4096, 2**20):
        yield "sample", [count, key(), [key() for _ in range(4)]]
    for stake in (0, 1, 10**9, 5 * 10**9, 2**63 - 1):
        yield "rank", [key(), key(), rng.randrange(15), key(), stake]
    for pair in ([0, 0], [65536, 65537], [0, 1], [-(2**31), 2**31 - 1], [-7, 7], [655360, 648000]):
        yield "error_ppm", pair

    def pairs(count, width, spread):
        out = []
        for _ in range(count):
            given = sorted((logit() for _ in range(4)), reverse=True)
            own = [g + rng.randint(-spread, spread) for g in given] + [given[3]]
            out.append([given + [given[3]] * (width - 4), own])
        return out

    for kind, width in (("submitted", 4), ("checkers", 5)):
        for rule in ("exact", [10_000, 0], [2_000, 125_000], [0, 0]):
            for spread in (0, 40, 4_000, 400_000):
                yield "compare", [rule, kind, pairs(rng.choice((1, 3, 16)), width, spread)]
    yield "compare", [[10_000, 0], "submitted", []]
    given = [10 << 16, 9 << 16, 8 << 16, 7 << 16]
    yield "compare", [[10_000, 0], "submitted", [[given, given + [8 << 16]]]]
    yield "compare", ["exact", "submitted", [[given, given + [given[3] + 1]]]]

    for positions in ([], [0], list(range(0, 48, 3))):
        yield "positions_hash", [positions, [key() for _ in range(len(positions) // 4)]]
    for count in (0, 1, 2, 16):
        leaves = [[3 * i, rng.randrange(2**32), four()] for i in range(count)]
        yield "exact_digest", [leaves]
        yield "work_digest", [[[rng.randrange(2**32), logit()] for _ in range(3 * count)]]
    # Nothing that the sampler may choose.
    yield "exact_digest", [[[0, 2**32 - 1, four()]]]
    # A fresh generator, so that the vectors above stay as they are.
    rng = random.Random(5)
    defaults = [5_000, 150, 15, 20_000, 10_000_000, 5_000]
    for kind, nth, count in (("false", 1, 12), ("false", 2, 1), ("false", 16, 0), ("withheld", 1, 12)):
        yield "bond", [*defaults, kind, nth, 10**9, 25_600, count]
    yield "bond", [5_000, 1_000, 3, 20_000, 10_000_000, 5_000, "false", 1, 2 * 10**9, 10**9, 20]
    yield "bond", [10_000, 10_000, 15, *[2**63 - 1] * 3, "false", 16, 2**63 - 1, 2**63 - 1, 18]
    for ground in ("jury", "unanswered", "fault"):
        yield "slash_cap", [ground, 10**9, 4 * 10**8]
    for seats in (3, 5, 7, 15):
        everybody = list(range(seats))
        for part_of in (0, 1, 2, 3):
            fraud = everybody[: -(-seats * part_of // 3)]
            honest = [i for i in everybody if i not in fraud]
            votes = [
                [True, True, i, [] if i in fraud else [1], [everybody, fraud if i in fraud else honest]]
                for i in everybody
            ]
            for ground in ("jury", "fault"):
                yield "decide", [ground, True, True, votes, [[False, 0, False], [True, 0, False]]]
            lonely = [[*vote[:4], [everybody, [i]]] for i, vote in enumerate(votes)]
            yield "decide", ["jury", False, True, lonely, [[True, 0, False]]]
            lazy = [[*vote[:4], [fraud if i in fraud else honest, vote[4][1]]] for i, vote in enumerate(votes)]
            yield "decide", ["jury", True, True, lazy, [[True, 0, False]]]
        two = [[True, True, 0 if i < 2 else 2, [], [everybody, everybody]] for i in everybody]
        yield "decide", ["jury", True, True, two, [[True, 0, False]]]
        for _ in range(3):
            findings = [
                [rng.random() < 0.9, rng.random() < 0.9, i, [d for d in (1, 2, 3) if rng.random() < 0.7],
                 [[j for j in everybody if rng.random() < 0.9] for _ in range(4)]]
                for i in everybody
            ]
            claims = [[True, 0, False], [True, 2, False], [True, 3, True]]
            for ground in ("jury", "fault"):
                yield "decide", [ground, True, True, findings, claims]
    for ground in ("unanswered", "no_claim", "fault"):
        empty = [[False, False, i, [], [[], []]] for i in range(15)]
        yield "decide", [ground, True, ground == "no_claim", empty, [[False, 0, False]]]
        yield "decide", [ground, True, False, empty, [[False, 0, False], [True, 0, False]]]
    for verdict, rewarded, share in (("guilty", 1, 4_000), ("guilty", 0, 1_000), ("fault", None, 1_000),
                                     ("not_guilty", None, 4_000), ("void", None, 4_000)):
        for count in (0, 1, 11):
            claims = [[7_500_000, 100_000, 684_000, verdict != "void"], [15_000_000, 10_000, 0, False]]
            slashed = 500_000_001 if verdict in ("guilty", "fault") else 0
            yield "share_out", [verdict, rewarded, share, count, claims, 45_600, 20_000, slashed]
    for shown in ((512, 4, 16), (512, 4, 17), (300, 0, 2), (2_048, 16, 16), (2_049, 17, 16), (1, 1, 1)):
        yield "pieces", list(shown)
    for _ in range(4):
        yield "committer_bit", [key(), key()]
    # Sampling profile 2; a fresh generator once more.
    rng = random.Random(7)
    for length in (0, 1, 200):
        yield "options_hash", [rng.randbytes(16).hex(), rng.randbytes(length).hex()]
    entries = four()
    for token in (entries[3][0], 0, 2**32 - 2, 2**32 - 1):
        yield "check_unreplayed", [7, token, entries]
    yield "check_unreplayed", [7, 3, [tied[1], tied[0]] + tied[2:]]
    yield "check_unreplayed", [7, 3, [tied[0], tied[1], tied[0], tied[3]]]
    for in_grammar, is_over, stops_here in ((True, False, False), (True, False, True), (False, False, False), (True, True, True)):
        for position, reason in ((8, 3), (9, 3), (9, 1), (9, 2)):
            yield "own_leaf", [position, four(), 77, in_grammar, is_over, stops_here, 10, reason]


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
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
