#!/usr/bin/env python3
"""Checks one answer with nothing of the node's code: by the model's file, the accounts' bytes and the evidence.

    verify.py SUBJECT.json

SUBJECT: {"file": the GGUF file, "address": the job's, "job" and "model": the accounts' bytes in base64, "evidence": as nodes and
gateways serve it}. Prints {"finding", …} and exits with 0 (honest), 6 (false) or 7 (that can't be said):

- `withheld`: the evidence is not the result's; `what` differs
- `fault`: a leaf at `position` breaks a rule by itself
- `fraud`: at `positions` the four largest logits or the token are not what model and sampler give
- `unknown`: another file, another kernel profile, or a grammar that can't be followed here
- `honest`

What it computes: models of the llama architecture in kernel profile 3, sampling profiles 1 and 2. It needs numpy, and for grammars
llguidance of the profile's version: masks are what that library says they are.
"""

import base64
import hashlib
import json
import sys

import numpy as np

import chain
import reference
from forward import Model
from gguf import File
from sampler import Options, choose, rounded

try:
    import masks
    LIMIT = masks.Limit
except ImportError:
    masks, LIMIT = None, ()

KERNEL_PROFILE = 3
NO_TOKEN = 2**32 - 1


def four_largest(row, q16):
    """Chosen as f32, the lower id among equals; then rounded and ordered."""
    order = np.lexsort((np.arange(len(row)), -row.astype(np.float64)))[:4]
    four = [[int(token), int(q16[token])] for token in order]
    return sorted(four, key=lambda entry: (-entry[1], entry[0]))


def letters():
    """How byte-level vocabularies write each byte: as itself where it can be seen, else as a letter from 256 on."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + i) for i, byte in enumerate(others)}


ALPHABET_OF_BYTES = letters()
BYTES_OF_LETTERS = {letter: byte for byte, letter in ALPHABET_OF_BYTES.items()}


UNKNOWN, CONTROL, USER_DEFINED, UNUSED = 2, 3, 4, 5


def kind_of(file, token):
    kinds = file.metadata.get("tokenizer.ggml.token_type") or []
    return kinds[token] if token < len(kinds) else 1


def text_of(file, token):
    """The bytes of a token of a byte-level vocabulary; none of a control token."""
    if file.metadata.get("tokenizer.ggml.model") != "gpt2":
        raise NotImplementedError("texts of another kind of vocabulary")
    kind, text = kind_of(file, token), file.metadata["tokenizer.ggml.tokens"][token]
    if kind in (UNKNOWN, CONTROL, UNUSED):
        return b""
    if kind == USER_DEFINED:
        return text.encode()
    letters = (bytes([BYTES_OF_LETTERS[letter]]) if letter in BYTES_OF_LETTERS else letter.encode() for letter in text)
    return b"".join(letters)


def words_of(file, eos):
    """The vocabulary as grammars see it."""
    tokens = file.metadata["tokenizer.ggml.tokens"]
    controls = {token: text for token, text in enumerate(tokens) if kind_of(file, token) in (UNKNOWN, CONTROL) and text}
    return masks.tokenizer([text_of(file, token) for token in range(len(tokens))], controls, eos)


def course(file, state, options, tokens, eos):
    """For each position whether a token may stand there, and which the grammar allows: none behind an end or what left the grammar, nor
    where a stop is claimed that is none."""
    text, over, inside, may, allowed = b"", False, True, [], []
    grammar = masks.Course(words_of(file, eos), options.grammar.decode()) if options.grammar else None
    for position, token in enumerate(tokens):
        text += text_of(file, token) if options.stop else b""
        stops = any(stop in text for stop in options.stop)
        last = position + 1 == len(tokens)
        claimed = last and state.number("finish_reason") == chain.STOPPED
        may.append(inside and not over and (stops or not claimed))
        allowed.append(grammar.mask() if grammar and inside and not over else None)
        over = over or stops or token in eos
        if allowed[-1] is not None and not over and not last:
            if allowed[-1] >> token & 1:
                grammar.push(token)
            else:
                inside = False
    return may, allowed


def verify(subject):
    state = chain.job(base64.b64decode(subject["job"]))
    spec = chain.model(base64.b64decode(subject["model"]))
    evidence = subject["evidence"]
    if state.terms() != state.terms_hash:
        return {"finding": "unknown", "what": "the terms do not give their hash"}
    what = chain.mismatch(subject["address"], state, evidence)
    if what:
        return {"finding": "withheld", "what": what}
    tokens, leaves = evidence["output_ids"], evidence["leaves"]
    for position, (token, top4) in enumerate(zip(tokens, leaves)):
        what = chain.fault(state, spec.eos(), position, token, top4)
        if what:
            return {"finding": "fault", "position": position, "what": what}
    with open(subject["file"], "rb") as file:
        if hashlib.file_digest(file, "sha256").digest() != spec.weights_hash:
            return {"finding": "unknown", "what": "another file"}
    if spec.number("kernel_profile") != KERNEL_PROFILE:
        return {"finding": "unknown", "what": "another kernel profile"}
    options = Options(chain.options_of(evidence))
    if options.grammar and not masks:
        return {"finding": "unknown", "what": "a grammar"}
    return compare(subject["file"], state, spec, evidence, options)


def compare(path, state, spec, evidence, options):
    file = File(path)
    prompt, tokens = evidence["prompt_ids"], evidence["output_ids"]
    full = state.number("sampling_profile") == chain.FULL
    may, allowed = [True] * len(tokens), [None] * len(tokens)
    if full:
        try:
            may, allowed = course(file, state, options, tokens, spec.eos())
        except LIMIT as limit:
            return {"finding": "unknown", "what": f"a grammar: {limit}"}
    first = len(prompt) - 1
    rows = Model(file).logits(prompt + tokens[:-1], range(first, first + len(tokens)))
    temperature = state.number("temperature_milli")
    differing = []
    for position, (row, token, top4) in enumerate(zip(rows, tokens, evidence["leaves"])):
        q16 = rounded(row)
        four = four_largest(row, q16)
        if full:
            mask = allowed[position]
            due = choose(options, state.seed, temperature, position, tokens[:position], q16, mask) if may[position] else NO_TOKEN
        else:
            due = reference.choose(state.seed.hex(), temperature, position, four)
        if four != [list(entry) for entry in top4] or token != due:
            differing.append(position)
    return {"finding": "fraud", "positions": differing} if differing else {"finding": "honest"}


def main():
    with open(sys.argv[1]) as file:
        found = verify(json.load(file))
    print(json.dumps(found))
    sys.exit({"honest": 0, "unknown": 7, "withheld": 7}.get(found["finding"], 6))


if __name__ == "__main__":
    main()
