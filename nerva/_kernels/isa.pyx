"""The instruction set, chosen at import. The native kernels are linked into this module alone.

The environment variable NERVA_ISA (avx2 or avx512) forces one, so that tests can run on each.
"""

import os

cimport numpy as cnp

cnp.import_array()

cdef extern from *:
    """
    static int nerva_has_avx2(void) {
        __builtin_cpu_init();
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi")
            && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
    }
    static int nerva_has_avx512(void) {
        __builtin_cpu_init();
        return nerva_has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
            && __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq")
            && __builtin_cpu_supports("avx512vl");
    }
    static int nerva_has_avx512_bf16(void) {
        __builtin_cpu_init();
        return nerva_has_avx512() && __builtin_cpu_supports("avx512bf16");
    }
    """
    bint nerva_has_avx2()
    bint nerva_has_avx512()
    bint nerva_has_avx512_bf16()

cdef const nerva_table *float32_kernels
cdef const nerva_table *float64_kernels


def supported():
    """Return the names of the instruction sets this processor has kernels for, the preferred one first."""
    names = []
    if nerva_has_avx512():
        names.append("avx512")
    if nerva_has_avx2():
        names.append("avx2")
    return tuple(names)


def chosen():
    """Return the name of the instruction set in use."""
    return float32_kernels.isa.decode()


def choose(wanted=None):
    """Use the instruction set `wanted`, or the best available one where it is None or empty.

    Raises ImportError where the processor lacks AVX2, ValueError where `wanted` is unknown or not available.
    """
    global float32_kernels, float64_kernels
    names = supported()
    if not names:
        raise ImportError("nerva needs a processor with AVX2, FMA and BMI2 (x86-64-v3); this one lacks them")
    name = wanted or names[0]
    if name not in ("avx2", "avx512"):
        raise ValueError(f"NERVA_ISA is {name!r}; it must be 'avx2' or 'avx512'")
    if name not in names:
        raise ValueError(f"NERVA_ISA is {name!r}, which this processor does not have; it has {', '.join(names)}")
    if name == "avx512":
        float32_kernels, float64_kernels = &nerva_table_avx512_f32, &nerva_table_avx512_f64
    else:
        float32_kernels, float64_kernels = &nerva_table_avx2_f32, &nerva_table_avx2_f64


def lacking_for_bfloat16():
    """Return what precision="bfloat16" needs and is not there, in words; None where nothing is missing."""
    if not nerva_has_avx512():
        return "AVX-512 and AVX512_BF16, which this processor does not have"
    if not nerva_has_avx512_bf16():
        return "AVX512_BF16, which this processor does not have"
    if chosen() != "avx512":
        return f"AVX-512, which is not in use: NERVA_ISA is {chosen()!r}"
    return None


cdef const nerva_table *bfloat16_kernels() except NULL:
    """The kernels of networks whose activations are bfloat16; raises RuntimeError where they cannot run."""
    lacking = lacking_for_bfloat16()
    if lacking is not None:
        raise RuntimeError(f"bfloat16 needs {lacking}")
    return &nerva_table_avx512_bf16


cdef const nerva_table *kernels(int typenum) noexcept:
    """The kernels of a NumPy type number: NPY_FLOAT32 or NPY_FLOAT64."""
    return float32_kernels if typenum == cnp.NPY_FLOAT32 else float64_kernels


choose(os.environ.get("NERVA_ISA"))
