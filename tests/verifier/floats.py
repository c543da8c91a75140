"""Floating-point steps that are the same bits everywhere: fused steps, and the functions that kernel profile 3 is made of.

Plain numpy and exact fractions; no mathematical library decides a bit.
"""

import struct
from fractions import Fraction

import numpy as np

F32 = np.float32
MAGIC = F32(12_582_912.0)


def fma(a, b, c):
    """`a × b + c` of arrays of f32, rounded once, half to even.

    A product of two f32 is exact in f64. Its sum with the third is rounded to odd there, which leaves the second rounding, to f32, what a
    single one would have been.
    """
    product = np.asarray(a, np.float64) * np.asarray(b, np.float64)
    c = np.asarray(c, np.float64)
    total = product + c
    back = total - product
    lost = (product - (total - back)) + (c - back)
    bits = np.atleast_1d(total).view(np.int64)
    lost = np.atleast_1d(lost)
    even = (lost != 0) & (bits & 1 == 0)
    bits = np.where(even, bits + np.where((lost > 0) == (np.atleast_1d(total) > 0), 1, -1), bits)
    return bits.view(np.float64).reshape(np.shape(total)).astype(F32)


def exp(x):
    """e^x of f32, as the engine defines it."""
    x = np.asarray(x, F32)
    x = np.where(x < F32(-87.0), F32(-87.0), x)
    x = np.where(x > F32(88.0), F32(88.0), x).astype(F32)
    shifted = fma(x, F32(np.log2(np.e)), MAGIC)
    n = shifted - MAGIC
    r = fma(n, F32(-0.693_147_2), x)
    r = fma(n, F32(1.904_654_3e-9), r)
    p = np.full_like(r, F32(1.987_569_1e-4))
    for coefficient in (1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5):
        p = fma(p, r, F32(coefficient))
    y = fma(p, r * r, r) + F32(1.0)
    power = (shifted.view(np.uint32) - MAGIC.view(np.uint32) + np.uint32(127)) << np.uint32(23)
    return y * power.view(F32)


def fused(a, b, c):
    """`a × b + c` of three f64, rounded once."""
    return float(Fraction(a) * Fraction(b) + Fraction(c))


def bits_of(x):
    return struct.unpack("<Q", struct.pack("<d", x))[0]


def from_bits(bits):
    return struct.unpack("<d", struct.pack("<Q", bits))[0]


LN_2 = 0.693_147_180_559_945_3
LOG2_E = 1.442_695_040_888_963_4
SQRT_2 = 1.414_213_562_373_095_1
FRAC_2_PI = 0.636_619_772_367_581_4
MAGIC_64 = 6_755_399_441_055_744.0


def ln64(x):
    bits = bits_of(x)
    exponent = (bits >> 52) - 1023
    m = from_bits(bits & ((1 << 52) - 1) | 1023 << 52)
    if m > SQRT_2:
        m, exponent = m * 0.5, exponent + 1
    s = (m - 1.0) / (m + 1.0)
    z, total = s * s, 0.0
    for k in reversed(range(12)):
        total = fused(total, z, 1.0 / (2 * k + 1))
    return fused(float(exponent), LN_2, 2.0 * s * total)


def exp64(x):
    x = max(-700.0, min(700.0, x))
    n = fused(x, LOG2_E, MAGIC_64) - MAGIC_64
    r = fused(n, -2.319_046_813_846_299_6e-17, fused(n, -LN_2, x))
    total = 1.0
    for k in reversed(range(1, 15)):
        total = total * r / k + 1.0
    return total * from_bits((int(n) + 1023) << 52)


def power(base, exponent):
    return exp64(exponent * ln64(base))


SINE = [-1 / 1_307_674_368_000, 1 / 6_227_020_800, -1 / 39_916_800, 1 / 362_880, -1 / 5_040, 1 / 120, -1 / 6]
COSINE = [1 / 20_922_789_888_000, -1 / 87_178_291_200, 1 / 479_001_600, -1 / 3_628_800, 1 / 40_320, -1 / 720, 1 / 24, -0.5]


def sin_cos(x):
    n = fused(x, FRAC_2_PI, MAGIC_64) - MAGIC_64
    r = fused(n, -1.570_796_326_734_125_6, x)
    r = fused(n, -6.077_100_506_303_965_9e-11, r)
    r = fused(n, -2.022_266_248_795_950_6e-21, r)
    z = r * r

    def chain(coefficients):
        total = 0.0
        for coefficient in coefficients:
            total = fused(total, z, coefficient)
        return total

    sin = fused(chain(SINE) * z, r, r)
    cos = fused(chain(COSINE), z, 1.0)
    return [(sin, cos), (cos, -sin), (-sin, -cos), (-cos, sin)][int(n) & 3]
