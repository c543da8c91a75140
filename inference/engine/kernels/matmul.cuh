// Rows times a matrix. Blocks of 32 are multiplied in integers, by a warp 16 rows and a group of eight outputs at once; of every
// result the blocks are added in order by one thread. K is never split among threads that add.
#pragma once
#include "weights.cuh"

struct Matmul {
    Planes w;
    Rounded y;
    // rows x outputs.
    float *out;
    int rows;
    int blocks;
    int outputs;
};

// What a warp's thread brings of 16 rows from `first` on: rows g and g + 8, words t and t + 4 of a block. Rows beyond the last are
// the last.
DEVICE void rows_of(const Matmul &a, int first, int block, int g, int t, int out[4]) {
    for (int half = 0; half < 2; half++) {
        int row = first + g + 8 * half;
        row = row < a.rows ? row : a.rows - 1;
        const int *q = (const int *)(a.y.q + ((long long)row * a.blocks + block) * 32);
        out[half] = q[t];
        out[half + 2] = q[t + 4];
    }
}

// The integers of a block: of rows g and g + 8 the outputs 2t and 2t + 1.
template <class F>
DEVICE void integers(const Planes &w, long long block, const int y[4], int g, int t, int out[4]) {
    int b[2];
    words<F>(integers_of<F>(w, block), t, g, b);
    if (!F::TWO) {
        products_32(out, y, b);
        return;
    }
    int first[4], second[4];
    products_16(first, y, b[0]);
    products_16(second, y + 2, b[1]);
    for (int i = 0; i < 2; i++) {
        int factors[2];
        factors_of<F>(w, block, 2 * t + i, factors);
        out[i] = factors[0] * first[i] + factors[1] * second[i];
        out[i + 2] = factors[0] * first[i + 2] + factors[1] * second[i + 2];
    }
}

// Most rows of the kernel for few; most blocks of K between two barriers, and results of blocks that are kept there.
enum { NARROW = 16, DEEP = 64, KEPT = 1024 };

// Up to 16 rows, a group a block of eight warps: the warps share the blocks of K, and one thread a result adds what they found.
template <class F>
DEVICE void narrow(const Matmul &a) {
    SHARED Terms found[KEPT];
    int warp = thread_index() / 32, lane = thread_index() % 32, g = lane / 4, t = lane % 4;
    int results = 8 * a.rows;
    int deep = KEPT / results < DEEP ? KEPT / results : DEEP;
    bool adds = thread_index() < results;
    float sum = 0.0f;
    for (int first = 0; first < a.blocks; first += deep) {
        int count = a.blocks - first < deep ? a.blocks - first : deep;
#ifdef __CUDACC_RTC__
#pragma unroll 2
#endif
        for (int i = warp; i < count; i += 8) {
            int y[4], c[4];
            long long block = (long long)block_x() * a.blocks + first + i;
            rows_of(a, 0, first + i, g, t, y);
            integers<F>(a.w, block, y, g, t, c);
            for (int k = 0; k < 4; k++) {
                int row = g + 8 * (k / 2), o = 2 * t + k % 2;
                if (row < a.rows) {
                    long long at = (long long)row * a.blocks + first + i;
                    found[i * results + 8 * row + o] = terms<F>(a.w, block, o, a.y, at, c[k]);
                }
            }
        }
        sync();
        if (adds) {
            for (int i = 0; i < count; i++) {
                sum = step<F>(found[i * results + thread_index()], sum);
            }
        }
        sync();
    }
    int output = 8 * block_x() + thread_index() % 8;
    if (adds && output < a.outputs) {
        a.out[(long long)(thread_index() / 8) * a.outputs + output] = sum;
    }
}

enum { TILES = 2, GROUPS = 2, WARPS = 4 };

// Many rows: a warp has 32 of them and two groups, and keeps its sums.
template <class F>
DEVICE void wide(const Matmul &a) {
    int warp = thread_index() / 32, lane = thread_index() % 32, g = lane / 4, t = lane % 4;
    int first_row = block_y() * 16 * TILES;
    int first_group = (block_x() * WARPS + warp) * GROUPS;
    int groups = (a.outputs + 7) / 8;
    float sums[TILES][GROUPS][4];
    for (int i = 0; i < TILES; i++) {
        for (int j = 0; j < GROUPS; j++) {
            for (int k = 0; k < 4; k++) {
                sums[i][j][k] = 0.0f;
            }
        }
    }
    for (int block = 0; block < a.blocks; block++) {
        int y[TILES][4];
        for (int i = 0; i < TILES; i++) {
            rows_of(a, first_row + 16 * i, block, g, t, y[i]);
        }
        for (int j = 0; j < GROUPS; j++) {
            int group = first_group + j < groups ? first_group + j : groups - 1;
            long long at = (long long)group * a.blocks + block;
            for (int i = 0; i < TILES; i++) {
                int c[4];
                integers<F>(a.w, at, y[i], g, t, c);
                for (int k = 0; k < 4; k++) {
                    int row = first_row + 16 * i + g + 8 * (k / 2);
                    row = row < a.rows ? row : a.rows - 1;
                    Terms own = terms<F>(a.w, at, 2 * t + k % 2, a.y, (long long)row * a.blocks + block, c[k]);
                    sums[i][j][k] = step<F>(own, sums[i][j][k]);
                }
            }
        }
    }
    for (int i = 0; i < TILES; i++) {
        for (int j = 0; j < GROUPS; j++) {
            for (int k = 0; k < 4; k++) {
                int row = first_row + 16 * i + g + 8 * (k / 2);
                int output = 8 * (first_group + j) + 2 * t + k % 2;
                if (row < a.rows && output < a.outputs) {
                    a.out[(long long)row * a.outputs + output] = sums[i][j][k];
                }
            }
        }
    }
}

#define BOTH(F) \
    TEMPLATE_KERNEL(narrow_##F, Matmul, narrow<F>(a)) \
    TEMPLATE_KERNEL(wide_##F, Matmul, wide<F>(a))

BOTH(Q4_0)
BOTH(Q4_1)
BOTH(Q5_0)
BOTH(Q5_1)
BOTH(Q8_0)
BOTH(Q2K)
BOTH(Q3K)
BOTH(Q4K)
BOTH(Q5K)
BOTH(Q6K)
BOTH(IQ4NL)
BOTH(IQ4XS)
BOTH(MXFP4)

// Weights that are floats: value by value, eight outputs each.
struct Floats {
    const unsigned char *w;
    const float *x;
    float *out;
    int rows;
    int cols;
    int outputs;
};

enum FloatKind { F16, BF16, F32 };

template <FloatKind kind>
DEVICE float weight_of(const unsigned char *w, long long at) {
    if (kind == F32) {
        return ((const float *)w)[at];
    }
    unsigned short x = ((const unsigned short *)w)[at];
    return kind == F16 ? from_half(x) : bf16(x);
}

// A thread an output and a row: one chain from first to last.
template <FloatKind kind>
DEVICE void floats(const Floats &a) {
    int output = block_x() * block_threads() + thread_index();
    int row = block_y();
    if (output >= a.outputs) {
        return;
    }
    const float *x = a.x + (long long)row * a.cols;
    long long at = (long long)(output / 8) * a.cols * 8 + output % 8;
    float sum = 0.0f;
    for (int i = 0; i < a.cols; i++) {
        sum = fma_(weight_of<kind>(a.w, at + 8LL * i), x[i], sum);
    }
    a.out[(long long)row * a.outputs + output] = sum;
}

TEMPLATE_KERNEL(floats_F16, Floats, floats<F16>(a))
TEMPLATE_KERNEL(floats_BF16, Floats, floats<BF16>(a))
TEMPLATE_KERNEL(floats_F32, Floats, floats<F32>(a))
