// Kernels on a processor, for tests: a block's threads are fibers that run in turns from barrier to barrier. Products have the
// places that PTX gives a warp's threads. Barriers that not all threads reach are an error, as on a GPU they hang.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#define DEVICE static inline
// Of the one block that runs.
#define SHARED static
#define KERNEL(name, Args)                                                        \
    static void name##_body(const Args &);                                        \
    static host::Kernel name##_kernel(#name, sizeof(Args),                        \
        [](const void *a) { name##_body(*static_cast<const Args *>(a)); });       \
    static void name##_body(const Args &a)
#define TEMPLATE_KERNEL(name, Args, call) KERNEL(name, Args) { call; }

namespace host {

struct Kernel {
    const char *name;
    size_t size;
    void (*run)(const void *);
    Kernel *next;
    Kernel(const char *name, size_t size, void (*run)(const void *));
};

struct Thread {
    int index, x, y, z, threads;
};

extern Thread now;

// All threads of the block, or of the warp.
void block_barrier();
void warp_barrier();

// Where the threads of this warp show each other words.
extern int shown[32][32][4];

} // namespace host

DEVICE int thread_index() { return host::now.index; }
DEVICE int block_threads() { return host::now.threads; }
DEVICE int block_x() { return host::now.x; }
DEVICE int block_y() { return host::now.y; }
DEVICE int block_z() { return host::now.z; }
DEVICE void sync() { host::block_barrier(); }

DEVICE float fma_(float x, float y, float z) { return fmaf(x, y, z); }
DEVICE float mul(float x, float y) { return x * y; }
DEVICE float add(float x, float y) { return x + y; }
DEVICE float sub(float x, float y) { return x - y; }
DEVICE float div_(float x, float y) { return x / y; }
DEVICE float root(float x) { return sqrtf(x); }
DEVICE float from_int(int x) { return static_cast<float>(x); }

DEVICE unsigned bits(float x) {
    unsigned out;
    memcpy(&out, &x, sizeof out);
    return out;
}

DEVICE float from_bits(unsigned x) {
    float out;
    memcpy(&out, &x, sizeof out);
    return out;
}

DEVICE unsigned permute(unsigned x, unsigned y, unsigned s) {
    uint64_t bytes = static_cast<uint64_t>(y) << 32 | x;
    unsigned out = 0;
    for (int i = 0; i < 4; i++) {
        out |= static_cast<unsigned>(bytes >> 8 * (s >> 4 * i & 7) & 255) << 8 * i;
    }
    return out;
}

DEVICE float from_half(unsigned short x) {
    unsigned sign = (x & 0x8000u) << 16, exponent = x >> 10 & 31, rest = x & 1023;
    if (exponent == 0) {
        float size = static_cast<float>(rest) * 0x1p-24f;
        return from_bits(sign | bits(size));
    }
    return from_bits(sign | (exponent == 31 ? 0x7F800000u : (exponent + 112) << 23) | rest << 13);
}

DEVICE unsigned short to_half(float x) {
    unsigned all = bits(x), sign = all >> 16 & 0x8000u, size = all & 0x7FFFFFFFu;
    if (size > 0x7F800000u) {
        return 0x7FFF;
    }
    if (size >= 0x477FF000u) {
        return static_cast<unsigned short>(sign | 0x7C00u);
    }
    if (size < 0x38800000u) {
        // The sum's last bit is that of the smallest f16.
        return static_cast<unsigned short>(sign | (bits(from_bits(size) + 0.5f) - bits(0.5f)));
    }
    unsigned rounded = size + 0xFFFu + (size >> 13 & 1);
    return static_cast<unsigned short>(sign | ((rounded >> 13) - (112u << 10)));
}

DEVICE int byte_of(int word, int i) { return static_cast<int8_t>(static_cast<unsigned>(word) >> 8 * i); }

// c[0..2] of row g and columns 2t, 2t + 1; c[2..4] of row g + 8.
DEVICE void products(int c[4], const int *a, int rows_words, const int *b, int words) {
    int warp = thread_index() / 32, lane = thread_index() % 32, g = lane / 4, t = lane % 4;
    int(*mine)[4] = host::shown[warp];
    static int columns[32][32][2];
    for (int i = 0; i < rows_words; i++) {
        mine[lane][i] = a[i];
    }
    for (int i = 0; i < words; i++) {
        columns[warp][lane][i] = b[i];
    }
    host::warp_barrier();
    for (int i = 0; i < 4; i++) {
        int column = 2 * t + i % 2, half = i / 2;
        c[i] = 0;
        for (int k = 0; k < 16 * words; k++) {
            int part = k / 16, from = k % 16 / 4;
            int x = byte_of(mine[4 * g + from][half + 2 * part], k % 4);
            int y = byte_of(columns[warp][4 * column + from][part], k % 4);
            c[i] += x * y;
        }
    }
    host::warp_barrier();
}

DEVICE void products_32(int c[4], const int a[4], const int b[2]) { products(c, a, 4, b, 2); }
DEVICE void products_16(int c[4], const int a[2], int b) { products(c, a, 2, &b, 1); }
