// All kernels of a device: one source, which nvrtc compiles for GPUs (compile.py) and a C++ compiler for tests (host.cpp).
#include "attention.cuh"
#include "matmul.cuh"
#include "probe.cuh"
#include "rows.cuh"
