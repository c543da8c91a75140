#!/usr/bin/env python3
"""Compiles kernels.cu to PTX for the GPUs that the engine runs on, without a GPU or CUDA installed.

    pip install nvidia-cuda-nvrtc-cu12==12.4.127 && python3 compile.py [--check]

Writes kernels_75.ptx and kernels_80.ptx beside this file; with --check says whether they are what the source gives, and exits 1 if
not. 12.4 makes PTX that drivers from 550 on take.
"""

import ctypes
import glob
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
FLAGS = ["--fmad=false", "--ftz=false", "--prec-div=true", "--prec-sqrt=true", "-std=c++17"]
# What would give other bits than IEEE's single steps: flushed, approximate, or left to the driver to fuse.
FORBIDDEN = re.compile(
    r"\.ftz|\.approx|\.full|\.sat|\bmad\.(?:rn\.)?f|\bfma\.(?!rn\.)|\b(?:add|sub|mul)\.f|\bdiv\.(?!rn\.|[su])|\bsqrt\.(?!rn\.)"
    r"|\b(?:ex2|lg2|sin|cos|tanh|rsqrt|rcp)\.|\batom\.|\bred\.|\bshfl\.|\.f64"
)


def library():
    import nvidia.cuda_nvrtc

    return ctypes.CDLL(glob.glob(os.path.join(list(nvidia.cuda_nvrtc.__path__)[0], "lib", "libnvrtc.so.*"))[0])


def compiled(nvrtc, capability):
    def check(result):
        if result != 0:
            nvrtc.nvrtcGetErrorString.restype = ctypes.c_char_p
            raise SystemExit(nvrtc.nvrtcGetErrorString(result).decode())

    names = sorted(f for f in os.listdir(HERE) if f.endswith(".cuh"))
    texts = [open(os.path.join(HERE, n), "rb").read() for n in names]
    source = open(os.path.join(HERE, "kernels.cu"), "rb").read()
    program = ctypes.c_void_p()
    array = ctypes.c_char_p * len(names)
    check(
        nvrtc.nvrtcCreateProgram(
            ctypes.byref(program), source, b"kernels.cu", len(names), array(*texts), array(*[n.encode() for n in names])
        )
    )
    flags = [f.encode() for f in [f"--gpu-architecture=compute_{capability}", *FLAGS]]
    result = nvrtc.nvrtcCompileProgram(program, len(flags), (ctypes.c_char_p * len(flags))(*flags))
    size = ctypes.c_size_t()
    check(nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size)))
    log = ctypes.create_string_buffer(size.value)
    check(nvrtc.nvrtcGetProgramLog(program, log))
    if log.value:
        print(log.value.decode(), file=sys.stderr)
    check(result)
    check(nvrtc.nvrtcGetPTXSize(program, ctypes.byref(size)))
    ptx = ctypes.create_string_buffer(size.value)
    check(nvrtc.nvrtcGetPTX(program, ptx))
    # Without what the compiler says of itself and without blank lines.
    lines = [line.rstrip() for line in ptx.value.decode().split("\n")]
    return "\n".join(line for line in lines if line and not line.startswith("//")) + "\n"


def main():
    nvrtc = library()
    wrong = False
    for capability in (75, 80):
        path = os.path.join(HERE, f"kernels_{capability}.ptx")
        ptx = compiled(nvrtc, capability)
        for number, line in enumerate(ptx.split("\n"), 1):
            if FORBIDDEN.search(line):
                raise SystemExit(f"compute_{capability}, line {number}: {line.strip()}")
        if "--check" in sys.argv:
            if not os.path.exists(path) or open(path).read() != ptx:
                print(f"{path} is not what the source gives: python3 compile.py", file=sys.stderr)
                wrong = True
        else:
            with open(path, "w") as out:
                out.write(ptx)
            print(f"{path}: {len(ptx)} bytes")
    sys.exit(1 if wrong else 0)


main()
