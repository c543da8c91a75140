// Functions of one number, step by step as src/kernels/math.rs has them.
#pragma once
#include "platform.cuh"

// e^x for x up to 88; below -87 it is e^-87. NaN stays.
DEVICE float exp_(float x) {
    const float magic = 12582912.0f;
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    float shifted = fma_(x, 1.44269504f, magic);
    float n = sub(shifted, magic);
    float r = fma_(n, -0.6931472f, x);
    r = fma_(n, 1.9046543e-9f, r);
    float p = 1.9875691e-4f;
    p = fma_(p, r, 1.3981999e-3f);
    p = fma_(p, r, 8.333452e-3f);
    p = fma_(p, r, 4.1665796e-2f);
    p = fma_(p, r, 1.6666665e-1f);
    p = fma_(p, r, 0.5f);
    float y = add(fma_(p, mul(r, r), r), 1.0f);
    return mul(y, from_bits((bits(shifted) - bits(magic) + 127u) << 23));
}

// The larger of two scores; what is no number is never the largest.
DEVICE float larger(float m, float s) { return s > m ? s : m; }

// Below every number.
DEVICE float lowest() { return from_bits(0xFF800000u); }

// Lanes of a sum: value i belongs to lane i mod 64.
enum { LANES = 64 };

// The one order in which 64 lanes in shared memory become a number, which all threads get. Every thread of the block calls it.
DEVICE float sum_lanes(float *lanes) {
    for (int width = LANES / 2; width > 0; width /= 2) {
        sync();
        if (thread_index() < width) {
            lanes[thread_index()] = add(lanes[thread_index()], lanes[thread_index() + width]);
        }
    }
    sync();
    float sum = lanes[0];
    sync();
    return sum;
}
