// What kernels stand on: a GPU, or plain C++ that runs them thread by thread (host.cpp), for tests on machines without one.
//
// All arithmetic on floats goes through the functions below, whose rounding is fixed: nothing else may be fused, flushed or
// approximated. Sums of floats never cross threads; what crosses them is integers, maxima, and memory between barriers.
#pragma once

#ifdef __CUDACC_RTC__

#define DEVICE static __device__ __forceinline__
#define SHARED __shared__
#define KERNEL(name, Args) extern "C" __global__ void __launch_bounds__(256) name(const Args a)
#define TEMPLATE_KERNEL(name, Args, call) \
    extern "C" __global__ void __launch_bounds__(256) name(const Args a) { call; }

DEVICE int thread_index() { return threadIdx.x; }
DEVICE int block_threads() { return blockDim.x; }
DEVICE int block_x() { return blockIdx.x; }
DEVICE int block_y() { return blockIdx.y; }
DEVICE int block_z() { return blockIdx.z; }
DEVICE void sync() { __syncthreads(); }

DEVICE float fma_(float x, float y, float z) { return __fmaf_rn(x, y, z); }
DEVICE float mul(float x, float y) { return __fmul_rn(x, y); }
DEVICE float add(float x, float y) { return __fadd_rn(x, y); }
DEVICE float sub(float x, float y) { return __fsub_rn(x, y); }
DEVICE float div_(float x, float y) { return __fdiv_rn(x, y); }
DEVICE float root(float x) { return __fsqrt_rn(x); }
DEVICE float from_int(int x) { return __int2float_rn(x); }
DEVICE unsigned bits(float x) { return __float_as_uint(x); }
DEVICE float from_bits(unsigned x) { return __uint_as_float(x); }
DEVICE unsigned permute(unsigned x, unsigned y, unsigned s) { return __byte_perm(x, y, s); }

DEVICE float from_half(unsigned short x) {
    float out;
    asm("cvt.f32.f16 %0, %1;" : "=f"(out) : "h"(x));
    return out;
}

DEVICE unsigned short to_half(float x) {
    unsigned short out;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(out) : "f"(x));
    return out;
}

// Products of 16 rows of 32 int8 (a) and 8 columns of 32 (b), in the places that PTX gives a warp's threads.
DEVICE void products_32(int c[4], const int a[4], const int b[2]) {
#if __CUDA_ARCH__ >= 800
    c[0] = c[1] = c[2] = c[3] = 0;
    asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    c[0] = c[1] = c[2] = c[3] = 0;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        asm("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0,%1}, {%2}, {%3}, {%0,%1};"
                     : "+r"(c[0]), "+r"(c[1]) : "r"(a[2 * half]), "r"(b[half]));
        asm("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0,%1}, {%2}, {%3}, {%0,%1};"
                     : "+r"(c[2]), "+r"(c[3]) : "r"(a[2 * half + 1]), "r"(b[half]));
    }
#endif
}

// The same of 16.
DEVICE void products_16(int c[4], const int a[2], int b) {
    c[0] = c[1] = c[2] = c[3] = 0;
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
                 : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3]) : "r"(a[0]), "r"(a[1]), "r"(b));
#else
    asm("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0,%1}, {%2}, {%3}, {%0,%1};"
                 : "+r"(c[0]), "+r"(c[1]) : "r"(a[0]), "r"(b));
    asm("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0,%1}, {%2}, {%3}, {%0,%1};"
                 : "+r"(c[2]), "+r"(c[3]) : "r"(a[1]), "r"(b));
#endif
}

#else

#include "host.h"

#endif
