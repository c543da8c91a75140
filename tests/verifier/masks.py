"""Which tokens a grammar allows at each position of an answer: by llguidance's own Python package, whose version belongs to the profile."""

import llguidance

VERSION = "1.9.1"
if llguidance.__version__ != VERSION:
    raise ImportError(f"llguidance {llguidance.__version__} is no {VERSION}")
HEAD = '%llguidance {"no_forcing": true}\n'
MARKER, LONGEST = 0xFF, 512


class Words:
    """A vocabulary as the library asks for it."""

    def __init__(self, tokens, ends):
        self.tokens, self.eos_token_id, self.bos_token_id, self.special_token_ids = tokens, ends[0], None, []

    def __call__(self, text):
        raise NotImplementedError("nothing is tokenized")


def tokenizer(pieces, controls, ends):
    """Of the bytes of all tokens, the texts of control tokens by id, and the tokens that end an answer."""
    words = [piece if len(piece) <= LONGEST and MARKER not in piece else b"" for piece in pieces]
    for token, text in controls.items():
        bare = text[1:] if text[:1] in ("<", "[") else text
        bare = bare[:-1] if bare[-1:] in (">", "]") else bare
        name = f"<{bare}>".encode() if len(bare.encode()) <= LONGEST else b""
        words[token] = bytes([MARKER]) + name
    for token in ends:
        if words[token][:1] != bytes([MARKER]):
            words[token] = b""
    wrapped = llguidance.TokenizerWrapper(Words(words, ends))
    return llguidance.LLTokenizer(wrapped, n_vocab=len(words), eos_token=list(ends), slices=[])


class Limit(Exception):
    """The library's, which says nothing of the answer."""


class Course:
    """Follows an answer."""

    def __init__(self, words, grammar):
        self.matcher = llguidance.LLMatcher(words, HEAD + grammar, log_level=0)
        self.check()

    def check(self):
        if self.matcher.is_error():
            raise Limit(self.matcher.get_error())

    def mask(self):
        """A bit for each token, the lowest id in the lowest bit."""
        bits = self.matcher.compute_bitmask()
        self.check()
        return int.from_bytes(bits, "little")

    def push(self, token):
        self.matcher.consume_token(token)
        self.check()
