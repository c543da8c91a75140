// Runs kernels on a processor, for tests: see host.h. Built with
// `c++ -std=c++17 -O2 -ffp-contract=off -shared -fPIC host.cpp`.
#undef _FORTIFY_SOURCE
#include "kernels.cu"

#include <csetjmp>
#include <cstdlib>
#include <ucontext.h>
#include <vector>

namespace host {

static Kernel *&first() {
    static Kernel *kernels = nullptr;
    return kernels;
}

Kernel::Kernel(const char *name, size_t size, void (*run)(const void *)) : name(name), size(size), run(run), next(first()) {
    first() = this;
}

Thread now;
int shown[32][32][4];

enum State { RUNS, AT_BLOCK, AT_WARP, DONE };

struct Fiber {
    jmp_buf at;
    State state;
};

static const int MOST = 1024;
static const size_t STACK = 64 << 10;
static Fiber fibers[MOST];
static jmp_buf scheduler;
static ucontext_t outside, inside;
static char *stacks;
static int made;
static const Kernel *kernel;
static const void *arguments;
// Threads run from the last to the first between barriers.
static bool backwards;

// Until the scheduler comes back to this thread.
static void wait(State state) {
    fibers[now.index].state = state;
    if (_setjmp(fibers[now.index].at) == 0) {
        _longjmp(scheduler, 1);
    }
}

void block_barrier() { wait(AT_BLOCK); }
void warp_barrier() { wait(AT_WARP); }

static void enter() {
    // Back at once: from now on it is a place to jump to, for one block after another.
    if (_setjmp(fibers[now.index].at) == 0) {
        swapcontext(&inside, &outside);
    }
    for (;;) {
        kernel->run(arguments);
        wait(DONE);
    }
}

// As many fibers, new ones where there are none.
static void prepare(int threads) {
    for (; made < threads; made++) {
        now.index = made;
        getcontext(&inside);
        inside.uc_stack.ss_sp = stacks + STACK * made;
        inside.uc_stack.ss_size = STACK;
        inside.uc_link = nullptr;
        makecontext(&inside, enter, 0);
        swapcontext(&outside, &inside);
    }
}

// One block; false where threads wait for each other in vain.
static bool block(const Thread &of) {
    prepare(of.threads);
    now = of;
    for (int i = 0; i < of.threads; i++) {
        fibers[i].state = RUNS;
    }
    for (;;) {
        // Threads run until they wait or are done.
        for (int i = 0; i < of.threads; i++) {
            int thread = backwards ? of.threads - 1 - i : i;
            if (fibers[thread].state == RUNS) {
                now.index = thread;
                if (_setjmp(scheduler) == 0) {
                    _longjmp(fibers[thread].at, 1);
                }
                // What is not in memory did not come through the jump.
                thread = now.index;
                i = backwards ? of.threads - 1 - thread : thread;
            }
        }
        int live = 0, at_block = 0;
        bool moved = false;
        for (int warp = 0; warp < of.threads; warp += 32) {
            int end = warp + 32 < of.threads ? warp + 32 : of.threads, here = 0, waiting = 0;
            for (int i = warp; i < end; i++) {
                here += fibers[i].state != DONE;
                waiting += fibers[i].state == AT_WARP;
                at_block += fibers[i].state == AT_BLOCK;
            }
            live += here;
            // A warp's products take all of it.
            if (waiting == 32) {
                for (int i = warp; i < end; i++) {
                    fibers[i].state = RUNS;
                }
                moved = true;
            }
        }
        if (live == 0) {
            return true;
        }
        if (at_block == live) {
            for (int i = 0; i < of.threads; i++) {
                if (fibers[i].state == AT_BLOCK) {
                    fibers[i].state = RUNS;
                }
            }
            moved = true;
        }
        if (!moved) {
            // Those that wait never come back.
            made = 0;
            return false;
        }
    }
}

} // namespace host

// Runs a kernel: 0, or 1 where there is none of that name and size of arguments, 2 where its threads wait in vain. One caller at a time.
extern "C" int mythic_launch(const char *name, const unsigned grid[3], unsigned threads, const void *arguments, size_t size, int backwards) {
    const host::Kernel *kernel = host::first();
    while (kernel && (strcmp(kernel->name, name) != 0 || kernel->size != size)) {
        kernel = kernel->next;
    }
    if (!kernel || threads == 0 || threads > host::MOST) {
        return 1;
    }
    if (!host::stacks) {
        host::stacks = static_cast<char *>(malloc(host::STACK * host::MOST));
    }
    host::kernel = kernel;
    host::arguments = arguments;
    host::backwards = backwards != 0;
    host::Thread of;
    of.threads = static_cast<int>(threads);
    for (unsigned z = 0; z < grid[2]; z++) {
        for (unsigned y = 0; y < grid[1]; y++) {
            for (unsigned x = 0; x < grid[0]; x++) {
                of.x = static_cast<int>(x);
                of.y = static_cast<int>(y);
                of.z = static_cast<int>(z);
                if (!host::block(of)) {
                    return 2;
                }
            }
        }
    }
    return 0;
}
