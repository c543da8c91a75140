// What is done with whole rows: norms, rounding to int8, gates, the rotary embedding, and small steps.
#pragma once
#include "numbers.cuh"

struct RmsNorm {
    const float *x;
    const float *weight;
    float *out;
    int n;
    float epsilon;
};

// One row a block of 64 threads: out = x / rms(x) * weight. `out` may be `x`.
KERNEL(rms_norm, RmsNorm) {
    SHARED float lanes[LANES];
    const float *x = a.x + (long long)block_x() * a.n;
    float *out = a.out + (long long)block_x() * a.n;
    float lane = 0.0f;
    for (int i = thread_index(); i < a.n; i += LANES) {
        lane = fma_(x[i], x[i], lane);
    }
    lanes[thread_index()] = lane;
    float mean = div_(sum_lanes(lanes), from_int(a.n));
    float scale = div_(1.0f, root(add(mean, a.epsilon)));
    for (int i = thread_index(); i < a.n; i += LANES) {
        out[i] = mul(mul(x[i], scale), a.weight[i]);
    }
}

struct Quantise {
    const float *x;
    signed char *q;
    float *d;
    float *ds;
    short *sums;
    long long blocks;
};

// A thread a block of 32 values: the integers, their scale, the scale times their sum, and the sums of both halves.
KERNEL(quantise, Quantise) {
    long long block = (long long)block_x() * block_threads() + thread_index();
    if (block >= a.blocks) {
        return;
    }
    const float *x = a.x + 32 * block;
    signed char *q = a.q + 32 * block;
    unsigned most = 0;
    for (int i = 0; i < 32; i++) {
        unsigned size = bits(x[i]) & 0x7FFFFFFFu;
        most = size > most ? size : most;
    }
    float amax = from_bits(most);
    float d = div_(amax, 127.0f);
    int sums[2] = {0, 0};
    if (amax < 1e-30f || most >= 0x7F800000u) {
        if (amax < 1e-30f) {
            d = 0.0f;
        }
        for (int i = 0; i < 32; i++) {
            q[i] = 0;
        }
    } else {
        const float magic = 12582912.0f;
        float inverse = div_(127.0f, amax);
        for (int i = 0; i < 32; i++) {
            // What the magic number leaves in the low bits is the integer.
            int value = (int)(bits(add(mul(x[i], inverse), magic)) - bits(magic));
            q[i] = (signed char)value;
            sums[i / 16] += value;
        }
    }
    a.d[block] = d;
    a.ds[block] = mul(d, from_int(sums[0] + sums[1]));
    a.sums[2 * block] = (short)sums[0];
    a.sums[2 * block + 1] = (short)sums[1];
}

// Steps on every value of rows one after another; `cols` is of `y` where it is one row.
struct Values {
    float *x;
    const float *y;
    long long len;
    int cols;
    float by;
};

DEVICE long long value_index() { return (long long)block_x() * block_threads() + thread_index(); }

KERNEL(add_rows, Values) {
    long long i = value_index();
    if (i < a.len) {
        a.x[i] = add(a.x[i], a.y[i]);
    }
}

KERNEL(add_bias, Values) {
    long long i = value_index();
    if (i < a.len) {
        a.x[i] = add(a.x[i], a.y[i % a.cols]);
    }
}

KERNEL(scale_rows, Values) {
    long long i = value_index();
    if (i < a.len) {
        a.x[i] = mul(a.x[i], a.by);
    }
}

// x = silu(x) * y.
KERNEL(gate_silu, Values) {
    long long i = value_index();
    if (i < a.len) {
        float g = a.x[i];
        a.x[i] = mul(div_(g, add(1.0f, exp_(-g))), a.y[i]);
    }
}

// x = gelu(x) * y, its tanh form.
KERNEL(gate_gelu, Values) {
    long long i = value_index();
    if (i < a.len) {
        float g = a.x[i];
        float twice = mul(fma_(mul(g, g), 0.071354814f, 1.5957692f), g);
        a.x[i] = mul(div_(g, add(1.0f, exp_(-twice))), a.y[i]);
    }
}

// x = min(x, 7) * sigmoid(1.702 * that) * (y within 7, plus 1).
KERNEL(gate_clamped, Values) {
    long long i = value_index();
    if (i < a.len) {
        float x = a.x[i] > 7.0f ? 7.0f : a.x[i];
        float y = a.y[i] > 7.0f ? 7.0f : a.y[i];
        y = y < -7.0f ? -7.0f : y;
        a.x[i] = mul(div_(x, add(1.0f, exp_(mul(-1.702f, x)))), add(y, 1.0f));
    }
}

struct Rotate {
    float *heads;
    // Of each row and pair a cosine and a sine.
    const float *angles;
    // Rows times heads times pairs.
    long long len;
    int count;
    int dim;
    int pairs;
    // Pairs are a value and the next, or a value and its like in the second half.
    int neighbours;
};

KERNEL(rotate, Rotate) {
    long long i = value_index();
    if (i >= a.len) {
        return;
    }
    int pair = (int)(i % a.pairs);
    long long head = i / a.pairs;
    const float *angle = a.angles + 2 * (head / a.count * a.pairs + pair);
    float *x = a.heads + head * a.dim + (a.neighbours ? 2 * pair : pair);
    float *y = x + (a.neighbours ? 1 : a.pairs);
    float first = *x, second = *y;
    *x = sub(mul(first, angle[0]), mul(second, angle[1]));
    *y = add(mul(first, angle[1]), mul(second, angle[0]));
}

struct Move {
    const float *from;
    float *to;
    // Of each row that is moved its number where all are.
    const int *rows;
    long long len;
    int cols;
};

// to[i] = from[rows[i]].
KERNEL(gather, Move) {
    long long i = value_index();
    if (i < a.len) {
        a.to[i] = a.from[(long long)a.rows[i / a.cols] * a.cols + i % a.cols];
    }
}

// to[rows[i]] = from[i].
KERNEL(scatter, Move) {
    long long i = value_index();
    if (i < a.len) {
        a.to[(long long)a.rows[i / a.cols] * a.cols + i % a.cols] = a.from[i];
    }
}

struct Columns {
    const float *from;
    float *to;
    long long len;
    // Of `from`; of `to`; where the first of them goes.
    int cols;
    int stride;
    int first;
};

// Puts rows of some columns into rows of all.
KERNEL(columns, Columns) {
    long long i = value_index();
    if (i < a.len) {
        a.to[i / a.cols * a.stride + a.first + i % a.cols] = a.from[i];
    }
}

struct Mix {
    const float *results;
    const float *weights;
    float *out;
    long long len;
    int cols;
    int used;
};

// What a row gets back from its experts, in their order.
KERNEL(mix, Mix) {
    long long i = value_index();
    if (i >= a.len) {
        return;
    }
    long long row = i / a.cols;
    float sum = 0.0f;
    for (int place = 0; place < a.used; place++) {
        long long at = row * a.used + place;
        sum = fma_(a.weights[at], a.results[at * a.cols + i % a.cols], sum);
    }
    a.out[i] = sum;
}
