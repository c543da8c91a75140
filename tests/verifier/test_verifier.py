"""The verifier on answers of a small random model: honest ones are found honest, and each lie is named. Run: python3 -m unittest.

Another test holds the forward pass against the engine's golden hashes, where the default model's file is: MYTHIC_MODEL names it.
"""

import base64
import copy
import hashlib
import json
import os
import struct
import tempfile
import unittest
from pathlib import Path

import numpy as np

import chain
import reference
from forward import Model
from gguf import File
from sampler import Options, choose, rounded, weight
from verify import ALPHABET_OF_BYTES, NO_TOKEN, four_largest, masks, verify, words_of

VOCABULARY, WIDTH, EOS = 96, 64, 95
SALT, SEED = bytes(range(16)), bytes(range(32))
ADDRESS, SUBMITTER = bytes([1]) * 32, bytes([2]) * 32


def base58(data):
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = chain.ALPHABET[digit] + text
    return text


def write_model(path):
    """A model of the llama shape: two layers, grouped heads, weights in three formats."""
    rng = np.random.default_rng(5)
    metadata = {
        "general.architecture": "llama", "llama.block_count": 2, "llama.embedding_length": WIDTH, "llama.feed_forward_length": 96,
        "llama.attention.head_count": 4, "llama.attention.head_count_kv": 2, "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.dimension_count": 16, "llama.rope.freq_base": 10_000.0, "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": [ALPHABET_OF_BYTES[33 + i] for i in range(VOCABULARY)],
    }
    tensors = {"token_embd.weight": (VOCABULARY, WIDTH, 8), "output_norm.weight": (1, WIDTH, 0)}
    for layer in range(2):
        shapes = {
            "attn_norm": (1, WIDTH, 0), "attn_q": (64, WIDTH, 8), "attn_k": (32, WIDTH, 2), "attn_v": (32, WIDTH, 1),
            "attn_output": (WIDTH, 64, 8), "ffn_norm": (1, WIDTH, 0), "ffn_gate": (96, WIDTH, 2), "ffn_up": (96, WIDTH, 8),
            "ffn_down": (WIDTH, 96, 2),
        }
        tensors |= {f"blk.{layer}.{part}.weight": shape for part, shape in shapes.items()}

    def text(value):
        return struct.pack("<Q", len(value.encode())) + value.encode()

    def value(of):
        match of:
            case str():
                return 8, text(of)
            case float():
                return 6, struct.pack("<f", of)
            case int():
                return 4, struct.pack("<I", of)
            case list():
                return 9, struct.pack("<IQ", 8, len(of)) + b"".join(map(text, of))

    def encoded(name, rows, cols, kind):
        values = rng.normal(0, 0.4, (rows, cols)).astype("<f4")
        if kind == 0:
            # Logits that are near each other, so that noise and options matter.
            scale = 0.2 if name == "output_norm.weight" else 1
            return (scale + scale * values / 8).astype("<f4").tobytes()
        if kind == 1:
            return values.astype("<f2").tobytes()
        blocks = values.reshape(-1, 32)
        scale = (np.abs(blocks).max(1) / (127 if kind == 8 else 7)).astype("<f2")
        integers = np.rint(blocks / scale.astype("<f4")[:, None]).astype(np.int8)
        if kind == 2:
            nibbles = (integers + 8).clip(0, 15).astype(np.uint8)
            integers = nibbles[:, :16] | nibbles[:, 16:] << 4
        return b"".join(s.tobytes() + row.tobytes() for s, row in zip(scale, integers))

    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    for key, of in metadata.items():
        kind, data = value(of)
        head += text(key) + struct.pack("<I", kind) + data
    body = b""
    for name, (rows, cols, kind) in tensors.items():
        dims = (cols,) if rows == 1 else (cols, rows)
        head += text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, len(body))
        body += encoded(name, rows, cols, kind)
        body += bytes(-len(body) % 32)
    path.write_bytes(head + bytes(-len(head) % 32) + body)


def options(top_k=0, top_p=1_000_000, min_p=0, presence=0, frequency=0, repetition=1_000, bias=(), stop=(), grammar=b""):
    out = struct.pack("<BBIIhhHH", 1, top_k, top_p, min_p, presence, frequency, repetition, len(bias))
    out += b"".join(struct.pack("<Ii", *entry) for entry in bias)
    out += bytes([len(stop)]) + b"".join(struct.pack("<H", len(text)) + text for text in stop)
    return out + struct.pack("<I", len(grammar)) + grammar


class Node:
    """An answer as it is made, honest or not, with the accounts that commit to it."""

    def __init__(self, path, profile=chain.TOP4, data=b"", temperature=900, count=6, finish=2, end=lambda tokens: False):
        self.path, self.model, self.file = path, Model(File(path)), None
        self.profile, self.data, self.temperature, self.finish = profile, data, temperature, finish
        self.prompt, self.tokens, self.leaves = [3, 40, 7], [], []
        chosen = Options(data)
        grammar = masks.Course(words_of(File(path), [EOS]), chosen.grammar.decode()) if chosen.grammar else None
        while len(self.tokens) < count and not end(self.tokens):
            allowed = grammar.mask() if grammar else None
            row = self.model.logits(self.prompt + self.tokens, [-1])[0]
            q16 = rounded(row)
            four = four_largest(row, q16)
            position = len(self.tokens)
            if profile == chain.FULL:
                token = choose(chosen, SEED, temperature, position, self.tokens, q16, allowed)
                if grammar and token != EOS:
                    grammar.push(token)
            else:
                token = reference.choose(SEED.hex(), temperature, position, four)
            self.tokens.append(token)
            self.leaves.append(four)

    def subject(self):
        """What the chain holds once this was submitted, and the evidence."""
        with open(self.path, "rb") as file:
            weights = hashlib.file_digest(file, "sha256").digest()
        eos = struct.pack("<BI", 1, EOS) + bytes(28)
        spec = weights + bytes(64) + struct.pack("<HHIIIIHI", 7, 3, 512, 256, 0, 0, 100, 0) + eos
        bound = bytes.fromhex(reference.options_hash(SALT.hex(), self.data.hex())) if self.data else bytes(32)
        prompt = bytes.fromhex(reference.prompt_hash(SALT.hex(), self.prompt))
        source = b"http://g"
        terms = bytes(96) + bytes(16) + bytes(32) + prompt + struct.pack("<IIII", len(self.prompt), 64, 1, 1) + SEED
        terms += struct.pack("<HB", self.temperature, self.profile) + bound
        terms += bytes([len(source)]) + source + bytes(96 - len(source)) + struct.pack("<I", 100) + bytes(108)
        blank = chain.job(bytes([7]) + bytes(15) + terms + bytes(827 - 16 - len(terms)))
        terms_hash = blank.terms()
        evidence = {
            "job": base58(ADDRESS), "submitter": base58(SUBMITTER), "terms_hash": terms_hash.hex(), "salt": SALT.hex(),
            "prompt_ids": self.prompt, "output_ids": self.tokens, "leaves": self.leaves, "seed": SEED.hex(),
            "temperature_milli": self.temperature,
        }
        if self.profile == chain.FULL:
            evidence["options"] = base64.b64encode(self.data).decode()
        leaves = [
            reference.leaf_hash(ADDRESS.hex(), SUBMITTER.hex(), at, token, four)
            for at, (token, four) in enumerate(zip(self.tokens, self.leaves))
        ]
        output = reference.output_root(self.tokens)
        print_of = reference.fingerprint(reference.merkle_root(leaves), len(leaves), terms_hash.hex(), output)
        job = bytes([7]) + bytes(15) + terms + terms_hash + bytes(72) + SUBMITTER + bytes(56)
        job += struct.pack("<BBBI", 0, 0, self.finish, len(self.tokens)) + bytes.fromhex(output + print_of) + bytes(80)
        model = bytes([3]) + bytes(15) + bytes(32 * 5 + 49 + 8 + 32) + spec
        return {
            "file": str(self.path), "address": base58(ADDRESS), "job": base64.b64encode(job).decode(),
            "model": base64.b64encode(model).decode(), "evidence": evidence,
        }


class Verifier(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.path = Path(cls.folder.name) / "small.gguf"
        write_model(cls.path)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def node(self, **kind):
        return Node(self.path, **kind)

    def found(self, node):
        return verify(node.subject())

    def test_honest_answers_are_found_honest(self):
        kinds = [
            {}, {"temperature": 0}, {"profile": chain.FULL}, {"profile": chain.FULL, "data": options(top_k=3, bias=[(5, 40_000)])},
            {"profile": chain.FULL, "data": options(top_p=300_000, min_p=20_000, presence=500, frequency=-300, repetition=1_300)},
            {"profile": chain.FULL, "data": options(repetition=2_000), "temperature": 0},
        ]
        for kind in kinds:
            with self.subTest(**kind):
                self.assertEqual(self.found(self.node(**kind)), {"finding": "honest"})

    def test_who_ignores_an_option_is_found(self):
        for data in (options(bias=[(9, 100_000)]), options(top_k=1), options(top_p=1), options(repetition=10_000)):
            node = self.node(profile=chain.FULL, data=data, count=12)
            other = self.node(profile=chain.FULL, count=12)
            self.assertNotEqual(node.tokens, other.tokens)
            node.tokens, node.leaves = other.tokens, other.leaves
            self.assertEqual(self.found(node)["finding"], "fraud", data)

    def test_one_altered_token_or_logit_is_named(self):
        for profile in (chain.TOP4, chain.FULL):
            node = self.node(profile=profile)
            node.leaves[2] = copy.deepcopy(node.leaves[2])
            node.leaves[2][3][1] -= 1
            self.assertEqual(self.found(node), {"finding": "fraud", "positions": [2]})
        node = self.node(profile=chain.FULL)
        node.tokens[5] = (node.tokens[5] + 1) % EOS
        self.assertEqual(self.found(node), {"finding": "fraud", "positions": [5]})

    def test_rules_that_need_no_model_are_faults(self):
        def lie(change, **kind):
            node = self.node(**kind)
            node.leaves = copy.deepcopy(node.leaves)
            change(node)
            return self.found(node)

        def swap(node):
            node.leaves[1][0], node.leaves[1][1] = node.leaves[1][1], node.leaves[1][0]

        for profile in (chain.TOP4, chain.FULL):
            self.assertEqual(lie(swap, profile=profile)["what"], "NotOrdered")
            repeated = lie(lambda node: node.leaves[4][1].__setitem__(0, node.leaves[4][0][0]), profile=profile)
            self.assertEqual((repeated["position"], repeated["what"]), (4, "RepeatedId"))
            none = lie(lambda node: node.tokens.__setitem__(3, NO_TOKEN), profile=profile)
            self.assertEqual((none["position"], none["what"]), (3, "NotTheChoice"))
        inside = lie(lambda node: node.tokens.__setitem__(2, EOS), profile=chain.FULL)
        self.assertEqual(inside["what"], "EndInside")
        self.assertEqual(self.found(self.node(finish=chain.EOS, profile=chain.FULL))["what"], "NoEnd")

    def test_an_answer_ends_with_its_stop_string_and_claims_none_that_is_not_there(self):
        free = self.node(profile=chain.FULL, count=8)
        letter = bytes([33 + free.tokens[4]])
        at = free.tokens.index(free.tokens[4])
        data = options(stop=[letter])
        runs_on = self.node(profile=chain.FULL, data=data, count=8)
        self.assertEqual(self.found(runs_on), {"finding": "fraud", "positions": list(range(at + 1, 8))})
        stopped = self.node(profile=chain.FULL, data=data, count=at + 1, finish=chain.STOPPED)
        self.assertEqual(self.found(stopped), {"finding": "honest"})
        early = self.node(profile=chain.FULL, data=data, count=max(at, 1), finish=chain.STOPPED)
        if at:
            self.assertEqual(self.found(early), {"finding": "fraud", "positions": [at - 1]})

    @unittest.skipUnless(masks, "no llguidance of the profile's version")
    def test_who_leaves_its_grammar_is_found(self):
        ended = lambda tokens: tokens[-1:] == [EOS]
        for temperature in (0, 900):
            kind = {"profile": chain.FULL, "temperature": temperature, "count": 8}
            data = options(grammar=b'start: "ab" | "ba" "c"+\n')
            honest = self.node(data=data, end=ended, **kind)
            self.assertEqual(self.found(honest), {"finding": "honest"})
            free = self.node(**kind)
            free.data = data
            found = self.found(free)
            self.assertEqual((found["finding"], found["positions"][-1]), ("fraud", 7))
        # What the grammar would not have left is nobody's choice, and behind it nothing may stand.
        altered = self.node(data=options(grammar=b"start: /[a-f]{8}/\n"), **kind)
        altered.tokens[3] = ord("z") - 33
        self.assertEqual(self.found(altered)["positions"], [3, 4, 5, 6, 7])

    @unittest.skipUnless(masks, "no llguidance of the profile's version")
    def test_masks_are_those_that_the_profile_keeps(self):
        words = ['{"', '":', '",', '"}', '"name"', "name", "true", "false", "null", ' "', ": ", ", ", "[]", "{}", "12", "3.5", "abc", "  ", "\n",
                 "no", "yes", "☃", "<tool_call>", "</tool_call>"]
        pieces = [bytes([byte]) for byte in range(256)] + [word.encode() for word in words]
        pieces += [b""] * (320 - len(pieces))
        vocabulary = masks.tokenizer(pieces, {300: "<|end|>", 301: "<|call|>"}, [300])
        schema = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 10}, "age": {"type": "integer", "minimum": 0}},
                  "required": ["name"], "additionalProperties": False}
        cases = [
            ("object", 'start: %json {"type":"object"}\n', '{"name": [true, 12]}'),
            ("schema", f"start: %json {json.dumps(schema)}\n", '{"name": "abc", "age": 12}'),
            ("choice", 'start: "yes" | "no"\n', "no"),
            ("call", 'start: text "{}</tool_call>"\ntext[suffix="<tool_call>"]: /(.|\\n)*/\n', "abc<tool_call>{}</tool_call>"),
            ("pattern", "start: /[a-c]{2,4}(12)?/\n", "abc12"),
        ]
        made = ""
        for name, grammar, text in cases:
            course, rest, position = masks.Course(vocabulary, grammar), text.encode(), 0
            while True:
                mask = course.mask() & (1 << 320) - 1
                digest = hashlib.sha256(mask.to_bytes(40, "little")).hexdigest()[:16]
                made += f"{name} {position:2} {mask.bit_count():3} {digest}\n"
                if not rest:
                    break
                # The longest token at each place.
                token = max((id for id, piece in enumerate(pieces) if piece and rest.startswith(piece)), key=lambda id: (len(pieces[id]), id))
                course.push(token)
                rest, position = rest[len(pieces[token]) :], position + 1
        kept = Path(__file__).parents[2] / "inference/sampling/tests/masks.txt"
        self.assertEqual(made, kept.read_text())

    def test_evidence_of_something_else_is_withholding(self):
        for name, change in (
            ("prompt", lambda evidence: evidence["prompt_ids"].append(1)),
            ("output", lambda evidence: evidence["output_ids"].__setitem__(0, 1)),
            ("fingerprint", lambda evidence: evidence["leaves"][0][0].__setitem__(1, 1)),
            ("options", lambda evidence: evidence.__setitem__("options", base64.b64encode(options(top_k=2)).decode())),
            ("submitter", lambda evidence: evidence.__setitem__("submitter", base58(ADDRESS))),
        ):
            subject = self.node(profile=chain.FULL, data=options(top_k=4), count=3).subject()
            subject["evidence"] = copy.deepcopy(subject["evidence"])
            change(subject["evidence"])
            self.assertEqual(verify(subject), {"finding": "withheld", "what": name})

    def test_weights_never_rise_and_are_the_exponential(self):
        last = weight(0)
        self.assertEqual(last, 2**32)
        for x in range(0, 24 << 16, 977):
            own = weight(x)
            self.assertLessEqual(own, last)
            self.assertLess(abs(own - 2**32 * np.exp(-x / 65_536)), 8)
            last = own

    def test_golden_choices_are_those_that_are_made_now(self):
        import choices

        kept = (Path(__file__).parent / "choices.json").read_text()
        self.assertEqual(choices.text(), kept, "choices.py > choices.json writes them")

    def test_logits_are_those_of_the_engines_golden_file(self):
        path = os.environ.get("MYTHIC_MODEL")
        golden = Path(__file__).parents[2] / "inference/engine/tests/reference/logits.json"
        golden = json.loads(golden.read_text())
        if not path or golden["kernel_profile"] != 3:
            self.skipTest("no file of the default model, or another kernel profile")
        # It keeps every eighth position.
        rows = Model(File(path)).logits(golden["tokens"], range(0, len(golden["tokens"]), 8))
        found = [hashlib.sha256(row.astype("<f4").tobytes()).hexdigest() for row in rows]
        self.assertEqual(found, golden["logits_sha256"])


if __name__ == "__main__":
    unittest.main()
