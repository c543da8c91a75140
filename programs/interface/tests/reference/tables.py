#!/usr/bin/env python3
"""Writes src/tables.rs: the tables behind `ln` and `gumbel`.

    python3 tests/reference/tables.py > src/tables.rs

Standard library only. Every entry is computed with 60 digits and rounded half to even to a
multiple of 2**-32. A cargo test runs this file and compares its output with the committed one.
"""

from decimal import Decimal, ROUND_HALF_EVEN, getcontext

getcontext().prec = 60

LN_INTERVALS = 128
RATIO_INTERVALS = 64


def q32(value):
    return int((value * 2**32).to_integral_value(rounding=ROUND_HALF_EVEN))


def ln_table():
    """ln(1 + i/128), i = 0..=128."""
    return [q32((1 + Decimal(i) / LN_INTERVALS).ln()) for i in range(LN_INTERVALS + 1)]


def ratio_table():
    """ln(-ln(1 - v) / v) at v = i/128, i = 0..=64; its limit at v = 0 is 0."""
    out = [0]
    for i in range(1, RATIO_INTERVALS + 1):
        v = Decimal(i) / (2 * RATIO_INTERVALS)
        out.append(q32((-(1 - v).ln() / v).ln()))
    return out


def rust(name, doc, values):
    lines = [f"/// {doc}", f"pub(crate) static {name}: [u32; {len(values)}] = ["]
    row = "   "
    for value in values:
        item = f" {value},"
        if len(row) + len(item) >= 100:
            lines.append(row)
            row = "   "
        row += item
    lines.append(row)
    lines.append("];")
    return "\n".join(lines)


def main():
    print("//! Written by tests/reference/tables.py, which explains it; do not edit.")
    print()
    print(rust("LN", "ln(1 + i/128) in units of 2^-32.", ln_table()))
    print()
    print(rust("RATIO", "ln(-ln(1 - v) / v) at v = i/128 in units of 2^-32.", ratio_table()))


if __name__ == "__main__":
    main()
