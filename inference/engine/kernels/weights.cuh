// Weights as a device holds them: for each matrix three planes, in groups of eight outputs.
//
// Integers: blocks of a group one after another; word (t, o) of a block's first 128 bytes holds in its low nibbles the values
// 4t..4t+4 of output o and in its high nibbles 4t+16..4t+20, which is what one thread of a warp brings to a product. Fifth and
// sixth bits follow, a word of each output. Eight bits: 128 bytes of the first halves and 128 of the second.
// Factors: 8 or 16 bytes a block. Headers: eight scales and, if there are any, eight minimums a super-block.
#pragma once
#include "numbers.cuh"

// Where a block's scale comes from, as src/kernels/formats.rs says.
enum Scales { OWN, MULTIPLES, SIGNED, HALVES, NIBBLES };
enum Table { NONE, NONLINEAR, E2M1 };

template <int bits_, Table table_, int offset_, Scales scales_, bool min_, int blocks_>
struct Format {
    static const int BITS = bits_;
    static const Table TABLE = table_;
    // Taken off every integer that is no entry of a table.
    static const int OFFSET = offset_;
    static const Scales SCALES = scales_;
    static const bool MIN = min_;
    static const int BLOCKS = blocks_;
    // The scale is a bf16.
    static const bool BRAIN = table_ == E2M1;
    // Each half of a block has a factor.
    static const bool TWO = scales_ == HALVES || scales_ == NIBBLES;
    static const int BLOCK_BYTES = 32 * bits_;
    static const int FACTOR_BYTES = scales_ == OWN ? 0 : scales_ == SIGNED ? 8 : 16;
    static const int HEADER_BYTES = min_ ? 32 : 16;
};

typedef Format<4, NONE, 8, OWN, false, 1> Q4_0;
typedef Format<4, NONE, 0, OWN, true, 1> Q4_1;
typedef Format<5, NONE, 16, OWN, false, 1> Q5_0;
typedef Format<5, NONE, 0, OWN, true, 1> Q5_1;
typedef Format<8, NONE, 0, OWN, false, 1> Q8_0;
typedef Format<4, NONE, 0, NIBBLES, true, 8> Q2K;
typedef Format<4, NONE, 4, HALVES, false, 8> Q3K;
typedef Format<4, NONE, 0, MULTIPLES, true, 8> Q4K;
typedef Format<5, NONE, 0, MULTIPLES, true, 8> Q5K;
typedef Format<6, NONE, 32, HALVES, false, 8> Q6K;
typedef Format<4, NONLINEAR, 0, OWN, false, 1> IQ4NL;
typedef Format<4, NONLINEAR, 0, SIGNED, false, 8> IQ4XS;
typedef Format<4, E2M1, 0, OWN, false, 1> MXFP4;

// Four entries of a table of 16 signed bytes, by their numbers in the bytes of `q`.
template <Table table>
DEVICE unsigned entries(unsigned q) {
    const unsigned t0 = table == NONLINEAR ? 0xBFAD9881u : 0x03020100u;
    const unsigned t1 = table == NONLINEAR ? 0xF6EADDCFu : 0x0C080604u;
    const unsigned t2 = table == NONLINEAR ? 0x26190D01u : 0xFDFEFF00u;
    const unsigned t3 = table == NONLINEAR ? 0x71594535u : 0xF4F8FAFCu;
    unsigned low = q & 0x07070707u;
    unsigned s = (low & 7) | ((low >> 4) & 0x70) | ((low >> 8) & 0x700) | ((low >> 12) & 0x7000);
    unsigned high = ((q >> 3) & 0x01010101u) * 255u;
    return (permute(t0, t1, s) & ~high) | (permute(t2, t3, s) & high);
}

template <class F>
DEVICE int as_signed(unsigned q) {
    if (F::TABLE != NONE) {
        return (int)entries<F::TABLE>(q);
    }
    if (F::OFFSET == 0) {
        return (int)q;
    }
    // Byte by byte: the top bits keep borrows apart.
    return (int)(((q | 0x80808080u) - F::OFFSET * 0x01010101u) ^ 0x80808080u);
}

// Values 4t..4t+4 of output o of a block, and 4t+16..4t+20.
template <class F>
DEVICE void words(const unsigned char *block, int t, int o, int out[2]) {
    const unsigned *w = (const unsigned *)block;
    if (F::BITS == 8) {
        out[0] = (int)(w[8 * t + o] ^ 0x80808080u);
        out[1] = (int)(w[8 * t + 32 + o] ^ 0x80808080u);
        return;
    }
    unsigned both = w[8 * t + o];
    unsigned low = both & 0x0F0F0F0Fu, high = (both >> 4) & 0x0F0F0F0Fu;
    if (F::BITS == 5) {
        unsigned fifth = w[32 + o];
        low |= ((fifth >> t) & 0x01010101u) << 4;
        high |= ((fifth >> (t + 4)) & 0x01010101u) << 4;
    }
    if (F::BITS == 6) {
        low |= ((w[32 + o] >> (2 * t)) & 0x03030303u) << 4;
        high |= ((w[40 + o] >> (2 * t)) & 0x03030303u) << 4;
    }
    out[0] = as_signed<F>(low);
    out[1] = as_signed<F>(high);
}

// The planes of a matrix.
struct Planes {
    const unsigned char *integers;
    const unsigned char *factors;
    const unsigned char *headers;
};

template <class F>
DEVICE const unsigned char *integers_of(const Planes &w, long long block) {
    return w.integers + block * F::BLOCK_BYTES;
}

DEVICE float bf16(unsigned short x) { return from_bits((unsigned)x << 16); }

// The scale and the minimum of an output's block; `block` counts through all groups.
template <class F>
DEVICE void scales_of(const Planes &w, long long block, int o, float &scale, float &min) {
    const unsigned short *header = (const unsigned short *)(w.headers + block / F::BLOCKS * F::HEADER_BYTES);
    float d = F::BRAIN ? bf16(header[o]) : from_half(header[o]);
    float m = F::MIN ? from_half(header[8 + o]) : 0.0f;
    const unsigned char *factors = w.factors + block * F::FACTOR_BYTES;
    scale = d;
    min = m;
    if (F::SCALES == MULTIPLES) {
        scale = mul(d, from_int(factors[o]));
        min = -mul(m, from_int(factors[8 + o]));
    }
    if (F::SCALES == SIGNED) {
        scale = mul(d, from_int((signed char)factors[o]));
    }
    if (F::SCALES == NIBBLES) {
        min = -m;
    }
}

// The factor of each half of an output's block.
template <class F>
DEVICE void factors_of(const Planes &w, long long block, int o, int out[2]) {
    const unsigned char *factors = w.factors + block * F::FACTOR_BYTES + 2 * o;
    for (int half = 0; half < 2; half++) {
        out[half] = F::SCALES == NIBBLES ? factors[half] & 15 : (signed char)factors[half];
    }
}

// Rows rounded to int8: of each row and block of 32.
struct Rounded {
    const signed char *q;
    const float *d;
    const float *ds;
    const short *sums;
};

// One block's part of a dot product: two products, of which formats without minimums have the first.
struct Terms {
    float scale, integer, min, rest;
};

template <class F>
DEVICE Terms terms(const Planes &w, long long block, int o, const Rounded &y, long long at, int integer) {
    float scale, min;
    scales_of<F>(w, block, o, scale, min);
    Terms out = {mul(scale, y.d[at]), from_int(integer), 0.0f, 0.0f};
    if (F::SCALES == NIBBLES) {
        const unsigned char *factors = w.factors + block * F::FACTOR_BYTES + 2 * o;
        int minimums = (factors[0] >> 4) * y.sums[2 * at] + (factors[1] >> 4) * y.sums[2 * at + 1];
        out.min = mul(min, y.d[at]);
        out.rest = from_int(minimums);
    } else if (F::MIN) {
        out.min = min;
        out.rest = y.ds[at];
    }
    return out;
}

// A block's part, added to what the blocks before gave.
template <class F>
DEVICE float step(const Terms &terms, float sum) {
    sum = fma_(terms.scale, terms.integer, sum);
    return F::MIN ? fma_(terms.min, terms.rest, sum) : sum;
}
