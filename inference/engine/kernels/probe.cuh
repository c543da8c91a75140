// The product that a provider proves in each epoch, of programs/interface/src/market/probe.rs: all of it is integers.
#pragma once
#include "platform.cuh"

struct ProbeLines {
    unsigned *out;
    // Blocks of sixteen elements in all, and of a line.
    long long len;
    int per_line;
    unsigned factor;
    unsigned key[2];
    unsigned tweak;
    int rest;
};

// A thread a block: ten rounds of Philox4x32.
KERNEL(probe_lines, ProbeLines) {
    long long i = (long long)block_x() * block_threads() + thread_index();
    if (i >= a.len) {
        return;
    }
    unsigned x = (unsigned)(i % a.per_line), y = (unsigned)(i / a.per_line), z = a.factor, w = a.tweak;
    unsigned low = a.key[0], high = a.key[1];
    for (int round = 0; round < 10; round++) {
        unsigned long long first = 0xD2511F53ull * x, second = 0xCD9E8D57ull * z;
        x = (unsigned)(second >> 32) ^ y ^ low;
        y = (unsigned)second;
        z = (unsigned)(first >> 32) ^ w ^ high;
        w = (unsigned)first;
        low += 0x9E3779B9u;
        high += 0xBB67AE85u;
    }
    unsigned *out = a.out + 4 * i;
    out[0] = x;
    out[1] = y;
    out[2] = z;
    out[3] = w;
}

struct ProbeProduct {
    // Rows, and columns one after another; n int8 each.
    const signed char *rows;
    const signed char *columns;
    int *out;
    int n;
    int rest;
};

enum { PROBE_TILES = 2, PROBE_GROUPS = 4 };

// A warp has 32 rows and 32 columns, a block of eight warps 256 columns. n is a multiple of 16.
KERNEL(probe_product, ProbeProduct) {
    int warp = thread_index() / 32, lane = thread_index() % 32, g = lane / 4, t = lane % 4;
    int first_row = block_y() * 16 * PROBE_TILES;
    int first_column = (block_x() * 8 + warp) * 8 * PROBE_GROUPS;
    int sums[PROBE_TILES][PROBE_GROUPS][4];
    for (int i = 0; i < PROBE_TILES; i++) {
        for (int j = 0; j < PROBE_GROUPS; j++) {
            for (int k = 0; k < 4; k++) {
                sums[i][j][k] = 0;
            }
        }
    }
    for (int at = 0; at < a.n; at += 16) {
        int x[PROBE_TILES][2];
        for (int i = 0; i < 2 * PROBE_TILES; i++) {
            int row = first_row + 8 * i + g;
            row = row < a.n ? row : a.n - 1;
            x[i / 2][i % 2] = ((const int *)(a.rows + (long long)row * a.n + at))[t];
        }
        for (int j = 0; j < PROBE_GROUPS; j++) {
            int column = first_column + 8 * j + g;
            column = column < a.n ? column : a.n - 1;
            int y = ((const int *)(a.columns + (long long)column * a.n + at))[t];
            for (int i = 0; i < PROBE_TILES; i++) {
                int c[4];
                products_16(c, x[i], y);
                for (int k = 0; k < 4; k++) {
                    sums[i][j][k] += c[k];
                }
            }
        }
    }
    for (int i = 0; i < PROBE_TILES; i++) {
        for (int j = 0; j < PROBE_GROUPS; j++) {
            for (int k = 0; k < 4; k++) {
                int row = first_row + 16 * i + g + 8 * (k / 2);
                int column = first_column + 8 * j + 2 * t + k % 2;
                if (row < a.n && column < a.n) {
                    a.out[(long long)row * a.n + column] = sums[i][j][k];
                }
            }
        }
    }
}
