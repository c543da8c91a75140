// Attention over pages of keys and values, in the order of src/kernels/attention/mod.rs: by segments of 256 positions counted from
// position 0. Scores first, then each segment's weights and weighted values, then the sums of those.
//
// A page holds for each layer and head its keys, first all positions' first number, then their second; and its values, position
// by position.
#pragma once
#include "numbers.cuh"

enum { PAGE = 32, SEGMENT = 256, TOGETHER = 8, MOST_DIM = 512 };

struct Attention {
    unsigned short *pool;
    // rows x heads x dim.
    const float *queries;
    // A score without a value for each head, or none.
    const float *sinks;
    float *out;
    // Of each row its position, and where the sequence's pages begin.
    const int *positions;
    const int *pages_at;
    const int *pages;
    // rows x heads x segments: the largest score, the sum of the weights; the scores and the values.
    float *largest;
    float *sums;
    float *scores;
    float *values;
    long long page_size;
    int layer;
    // Of the model; the first that this device has, and how many.
    int heads;
    int kv_heads;
    int first_head;
    int group;
    int dim;
    // Positions that a query reads, its own included; 0: all.
    int window;
    // Segments that a row has places for.
    int segments;
    // The first row of these.
    int first_row;
    float scale;
};

// Positions that a row reads.
DEVICE void reads(const Attention &a, int row, int &start, int &end) {
    end = a.positions[row] + 1;
    start = a.window == 0 || a.window > end ? 0 : end - a.window;
}

DEVICE long long block_of(const Attention &a, int row, int head, int position) {
    int page = a.pages[a.pages_at[row] + position / PAGE];
    return page * a.page_size + ((long long)a.layer * a.kv_heads + head) * 2 * PAGE * a.dim;
}

struct Store {
    unsigned short *pool;
    const float *k;
    const float *v;
    const int *positions;
    const int *pages_at;
    const int *pages;
    long long page_size;
    long long len;
    int layer;
    // Of the rows; of the pool: the first and how many.
    int all_heads;
    int first_head;
    int kv_heads;
    int dim;
};

// To f16, half to even, saturating; NaN stays.
DEVICE unsigned short stored(float x) {
    x = x < -65504.0f ? -65504.0f : x;
    x = x > 65504.0f ? 65504.0f : x;
    return to_half(x);
}

KERNEL(store, Store) {
    long long i = (long long)block_x() * block_threads() + thread_index();
    if (i >= a.len) {
        return;
    }
    int d = (int)(i % a.dim);
    int head = (int)(i / a.dim % a.kv_heads);
    int row = (int)(i / a.dim / a.kv_heads);
    int position = a.positions[row];
    int page = a.pages[a.pages_at[row] + position / PAGE];
    unsigned short *block = a.pool + page * a.page_size + ((long long)a.layer * a.kv_heads + head) * 2 * PAGE * a.dim;
    long long from = ((long long)row * a.all_heads + a.first_head + head) * a.dim + d;
    block[d * PAGE + position % PAGE] = stored(a.k[from]);
    block[PAGE * a.dim + position % PAGE * a.dim + d] = stored(a.v[from]);
}

// A segment of a row and key-value head a block of 256 threads: each has a position.
KERNEL(scores, Attention) {
    SHARED float queries[TOGETHER * MOST_DIM];
    SHARED float most[SEGMENT];
    int row = a.first_row + block_z(), head = block_y(), start, end;
    reads(a, row, start, end);
    int segment = start / SEGMENT + block_x();
    if (segment * SEGMENT >= end) {
        return;
    }
    int position = segment * SEGMENT + thread_index();
    bool here = start <= position && position < end;
    const unsigned short *keys = a.pool + (here ? block_of(a, row, head, position) + position % PAGE : 0);
    for (int first = 0; first < a.group; first += TOGETHER) {
        int count = a.group - first < TOGETHER ? a.group - first : TOGETHER;
        int query = (a.first_head + head) * a.group + first;
        const float *from = a.queries + ((long long)row * a.heads + query) * a.dim;
        for (int i = thread_index(); i < count * a.dim; i += SEGMENT) {
            queries[i] = mul(from[i], a.scale);
        }
        sync();
        float sum[TOGETHER];
        for (int i = 0; i < TOGETHER; i++) {
            sum[i] = 0.0f;
        }
        if (here) {
            for (int d = 0; d < a.dim; d++) {
                float key = from_half(keys[d * PAGE]);
                for (int i = 0; i < TOGETHER; i++) {
                    sum[i] = i < count ? fma_(queries[i * a.dim + d], key, sum[i]) : sum[i];
                }
            }
        }
        // Only places of this device's heads are there.
        long long place = ((long long)block_z() * a.kv_heads + head) * a.group + first;
        for (int i = 0; i < count; i++) {
            float mine = here ? sum[i] : lowest();
            a.scores[((place + i) * a.segments + block_x()) * SEGMENT + thread_index()] = mine;
            most[thread_index()] = larger(lowest(), mine);
            for (int width = SEGMENT / 2; width > 0; width /= 2) {
                sync();
                if (thread_index() < width) {
                    most[thread_index()] = larger(most[thread_index()], most[thread_index() + width]);
                }
            }
            sync();
            if (thread_index() == 0) {
                a.largest[(place + i) * a.segments + block_x()] = most[0];
            }
            sync();
        }
    }
}

// The largest score of a query over its segments, and its sink.
DEVICE float largest_of(const Attention &a, long long place, int query, int count) {
    float largest = a.sinks ? a.sinks[query] : lowest();
    for (int i = 0; i < count; i++) {
        largest = larger(largest, a.largest[place * a.segments + i]);
    }
    return largest;
}

DEVICE int segments_of(int start, int end) { return (end + SEGMENT - 1) / SEGMENT - start / SEGMENT; }

// What a segment gives: the sum of its weights, and the weighted values.
KERNEL(weigh, Attention) {
    SHARED float weights[TOGETHER * SEGMENT];
    SHARED float lanes[LANES];
    int row = a.first_row + block_z(), head = block_y(), start, end;
    reads(a, row, start, end);
    int count = segments_of(start, end);
    if (block_x() >= count) {
        return;
    }
    int base = (start / SEGMENT + block_x()) * SEGMENT;
    int from = start > base ? start - base : 0;
    int to = end - base < SEGMENT ? end - base : SEGMENT;
    for (int first = 0; first < a.group; first += TOGETHER) {
        int together = a.group - first < TOGETHER ? a.group - first : TOGETHER;
        int query = (a.first_head + head) * a.group + first;
        long long place = ((long long)block_z() * a.kv_heads + head) * a.group + first;
        for (int i = 0; i < together; i++) {
            float largest = largest_of(a, place + i, query + i, count);
            float score = a.scores[((place + i) * a.segments + block_x()) * SEGMENT + thread_index()];
            weights[i * SEGMENT + thread_index()] = exp_(sub(score, largest));
        }
        sync();
        for (int i = 0; i < together; i++) {
            if (thread_index() < LANES) {
                float lane = 0.0f;
                for (int p = thread_index(); p < SEGMENT; p += LANES) {
                    lane = from <= p && p < to ? add(lane, weights[i * SEGMENT + p]) : lane;
                }
                lanes[thread_index()] = lane;
            }
            float sum = sum_lanes(lanes);
            if (thread_index() == 0) {
                a.sums[(place + i) * a.segments + block_x()] = sum;
            }
        }
        for (int item = thread_index(); item < together * a.dim; item += SEGMENT) {
            int i = item / a.dim, d = item % a.dim;
            float sum = 0.0f;
            for (int p = from; p < to;) {
                const unsigned short *values = a.pool + block_of(a, row, head, base + p) + PAGE * a.dim + d;
                int last = (p / PAGE + 1) * PAGE < to ? (p / PAGE + 1) * PAGE : to;
                for (; p < last; p++) {
                    sum = fma_(weights[i * SEGMENT + p], from_half(values[p % PAGE * a.dim]), sum);
                }
            }
            a.values[((place + i) * a.segments + block_x()) * a.dim + d] = sum;
        }
        sync();
    }
}

// The segments of a row and head, from the first on. `out` holds this device's heads.
KERNEL(join, Attention) {
    int row = a.first_row + block_y(), local = block_x(), start, end;
    reads(a, row, start, end);
    int count = segments_of(start, end);
    int query = a.first_head * a.group + local;
    long long place = (long long)block_y() * a.kv_heads * a.group + local;
    float sum = a.sums[place * a.segments];
    for (int i = 1; i < count; i++) {
        sum = add(sum, a.sums[place * a.segments + i]);
    }
    if (a.sinks) {
        sum = add(sum, exp_(sub(a.sinks[query], largest_of(a, place, query, count))));
    }
    float inverse = div_(1.0f, sum);
    float *out = a.out + ((long long)row * a.kv_heads * a.group + local) * a.dim;
    for (int d = thread_index(); d < a.dim; d += block_threads()) {
        float value = a.values[place * a.segments * a.dim + d];
        for (int i = 1; i < count; i++) {
            value = add(value, a.values[(place * a.segments + i) * a.dim + d]);
        }
        out[d] = mul(value, inverse);
    }
}
