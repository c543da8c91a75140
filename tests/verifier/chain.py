"""What the chain holds of a job and its model, from their accounts' bytes (docs/protocol.md), and what evidence commits to."""

import base64
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "programs/interface/tests/reference"))
import reference
from reference import raw, sha, u32

TERMS = [
    ("owner", 32), ("requester", 32), ("canceller", 32), ("nonce", 16), ("model", 32), ("prompt_hash", 32), ("prompt_tokens", 4),
    ("max_output_tokens", 4), ("price_in", 4), ("price_out", 4), ("seed", 32), ("temperature_milli", 2), ("sampling_profile", 1),
    ("options_hash", 32), ("prompt_source", 97), ("deadline_slots", 4), ("rules", 108),
]
JOB = [
    ("header", 16), *TERMS, ("terms_hash", 32), ("rent_payer", 32), ("grant", 32), ("grant_window_start", 8), ("validator", 32),
    ("requested_slot", 8), ("accepted_slot", 8), ("deadline_slot", 8), ("cancel_slot", 8), ("submitted_slot", 8), ("case_slot", 8),
    ("ended_slot", 8), ("open", 1), ("end_reason", 1), ("finish_reason", 1), ("output_tokens", 4), ("output_root", 32),
    ("fingerprint", 32), ("amounts", 80),
]
MODEL = [
    ("header", 16), ("identity", 32), ("keys", 128), ("name", 49), ("prices", 8), ("numbers", 32), ("weights_hash", 32),
    ("tokenizer_hash", 32), ("chat_template_hash", 32), ("quantisation", 2), ("kernel_profile", 2), ("context_length", 4),
    ("max_job_tokens", 4), ("error_ppm", 4), ("miss_ppm", 4), ("commit_slots", 2), ("min_vram_mib", 4), ("eos_count", 1), ("eos_ids", 32),
]
EOS, STOPPED = 1, 3
TOP4, FULL = 1, 2


class Account:
    """Fields of an account as bytes; `number` reads one."""

    def __init__(self, data, layout, first):
        if len(data) != sum(size for _, size in layout) or data[0] != first:
            raise ValueError("another account")
        at = 0
        for name, size in layout:
            setattr(self, name, data[at : at + size])
            at += size

    def number(self, name):
        return int.from_bytes(getattr(self, name), "little")

    def terms(self):
        """The hash of the terms: the prompt source without the zeroes behind it."""
        parts = [getattr(self, name) for name, _ in TERMS]
        source = self.prompt_source
        parts[[name for name, _ in TERMS].index("prompt_source")] = source[: 1 + source[0]]
        return sha(b"mythic/terms/v1", *parts)

    def eos(self):
        ids = [int.from_bytes(self.eos_ids[at : at + 4], "little") for at in range(0, 32, 4)]
        return ids[: self.eos_count[0]]


def job(data):
    return Account(data, JOB, 7)


def model(data):
    return Account(data, MODEL, 3)


ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def base58(text):
    number = 0
    for letter in text:
        number = number * 58 + ALPHABET.index(letter)
    return number.to_bytes(32, "big")


def options_of(evidence):
    return base64.b64decode(evidence.get("options") or "")


def mismatch(address, state, evidence):
    """What of the evidence is not the result's on chain, if anything is."""
    tokens, salt = evidence["output_ids"], evidence["salt"]
    if len(tokens) != len(evidence["leaves"]) or not tokens:
        return "leaves"
    job, submitter = base58(evidence["job"]).hex(), base58(evidence["submitter"]).hex()
    leaves = [
        reference.leaf_hash(job, submitter, position, token, top4)
        for position, (token, top4) in enumerate(zip(tokens, evidence["leaves"]))
    ]
    root, output = reference.merkle_root(leaves), reference.output_root(tokens)
    fingerprint = reference.fingerprint(root, len(tokens), evidence["terms_hash"], output)
    options = options_of(evidence)
    said = {
        "job": (evidence["job"], address),
        "submitter": (submitter, state.validator.hex()),
        "terms": (evidence["terms_hash"], state.terms_hash.hex()),
        "prompt": (reference.prompt_hash(salt, evidence["prompt_ids"]), state.prompt_hash.hex()),
        "count": (len(tokens), state.number("output_tokens")),
        "output": (output, state.output_root.hex()),
        "fingerprint": (fingerprint, state.fingerprint.hex()),
    }
    if state.number("sampling_profile") == FULL:
        bound = reference.options_hash(salt, options.hex()) if options else bytes(32).hex()
        said["options"] = (bound, state.options_hash.hex())
    return next((name for name, (one, other) in said.items() if one != other), None)


def fault(state, eos, position, token, top4):
    """The rule that a leaf breaks by itself, if it breaks one."""
    if state.number("sampling_profile") == FULL:
        found = reference.check_unreplayed(position, token, top4)
    else:
        seed, temperature = state.seed.hex(), state.number("temperature_milli")
        found = reference.check_leaf(seed, temperature, position, token, top4)
    if found:
        return found
    last = position + 1 == state.number("output_tokens")
    if not last:
        return "EndInside" if token in eos else None
    return "NoEnd" if state.number("finish_reason") == EOS and token not in eos else None
