"""The C99 functions of an exported network, of float; `in_c` names them for a network, and for double.

They are static, and an exported file has those that it calls. Elementwise ones may write where they read.
"""

import re

# Filled in by str.format.
DECLARATIONS = """/* {layers}, {weights}. Written by nerva {version}.
 *
 * void @forward(const float *x, float *y) computes the {outputs} outputs y of a sample, the {inputs} numbers x; the two
 * must lie apart. Its buffers, {bytes} bytes, are on the stack, and it may run in several threads at once. With
 * -D@@_STATIC they are static, and it must not.
 *
 *     cc -std=c99 -O2 -c {file}
 *
 * compiles it; link with -lm. A file that calls it has
 *
 *     #define @@_DECLARATIONS
 *     #include "{file}"
 *
 * and -D@@_MAIN makes it a program, which reads samples on standard input and prints their outputs. */
#ifndef @@_H
#define @@_H

#define @@_INPUTS {inputs}
#define @@_OUTPUTS {outputs}
{names}
#ifdef __cplusplus
extern "C" {{
#endif
void @forward(const float *x, float *y);
{table}#ifdef __cplusplus
}}
#endif
#endif

#ifndef @@_DECLARATIONS
#include <stdint.h>
"""

STORAGE = """
#if defined(@@_STATIC) || defined(@@_MAIN)
#define @@_STORAGE static
#else
#define @@_STORAGE
#endif
"""

# Four sums apart: one alone would wait for each addition.
SPARSE = """
/* y = W x + b: row k of W has the weights values[i] in the columns columns[i], first[k] <= i < first[k + 1]. */
static void @sparse(int32_t rows, const int32_t *first, const @column *columns, const float *values,
                    const float *bias, const float *restrict x, float *restrict y)
{
    for (int32_t k = 0; k < rows; k++) {
        const int32_t end = first[k + 1];
        int32_t i = first[k];
        float s = bias ? bias[k] : 0.0f, t = 0.0f, u = 0.0f, v = 0.0f;
        for (; end - i >= 4; i += 4) {
            s += values[i] * x[columns[i]];
            t += values[i + 1] * x[columns[i + 1]];
            u += values[i + 2] * x[columns[i + 2]];
            v += values[i + 3] * x[columns[i + 3]];
        }
        for (; i < end; i++) s += values[i] * x[columns[i]];
        y[k] = (s + t) + (u + v);
    }
}
"""

DENSE = """
/* y = W x + b, W row after row. */
static void @dense(int32_t rows, int32_t columns, const float *w, const float *bias, const float *restrict x,
                   float *restrict y)
{
    for (int32_t k = 0; k < rows; k++, w += columns) {
        int32_t i = 0;
        float s = bias ? bias[k] : 0.0f, t = 0.0f, u = 0.0f, v = 0.0f;
        for (; columns - i >= 4; i += 4) {
            s += w[i] * x[i];
            t += w[i + 1] * x[i + 1];
            u += w[i + 2] * x[i + 2];
            v += w[i + 3] * x[i + 3];
        }
        for (; i < columns; i++) s += w[i] * x[i];
        y[k] = (s + t) + (u + v);
    }
}
"""

SCALE = """
static void @scale(int32_t n, const float *scale, const float *shift, const float *x, float *y)
{
    for (int32_t i = 0; i < n; i++) y[i] = scale[i] * x[i] + shift[i];
}
"""

SRELU = """
/* Linear in three pieces: t has t_l, a_l, t_r and a_r, each once (sets is 1) or for each feature. */
static void @srelu(int32_t n, int32_t sets, const float *t, const float *x, float *y)
{
    for (int32_t i = 0; i < n; i++) {
        const float *p = t + (sets > 1 ? i : 0), *q = p + 2 * sets, z = x[i];
        if (z <= p[0]) y[i] = p[0] + p[sets] * (z - p[0]);
        else y[i] = z >= q[0] ? q[0] + q[sets] * (z - q[0]) : z;
    }
}
"""

SOFTMAX = """
static void @softmax(int32_t n, const float *x, float *y)
{
    float top = x[0], sum = 0.0f;
    for (int32_t i = 1; i < n; i++) top = x[i] > top ? x[i] : top;
    for (int32_t i = 0; i < n; i++) sum += y[i] = expf(x[i] - top);
    for (int32_t i = 0; i < n; i++) y[i] /= sum;
}
"""

LOG_SOFTMAX = """
static void @log_softmax(int32_t n, const float *x, float *y)
{
    float top = x[0], sum = 0.0f;
    for (int32_t i = 1; i < n; i++) top = x[i] > top ? x[i] : top;
    for (int32_t i = 0; i < n; i++) sum += expf(x[i] - top);
    sum = logf(sum);
    for (int32_t i = 0; i < n; i++) y[i] = x[i] - top - sum;
}
"""

# Elementwise functions of z, some with a parameter p. Comparisons are such that NaN stays NaN.
ELEMENTWISE = {
    "relu": "z < 0.0f ? 0.0f : z",
    "leaky_relu": "z > 0.0f ? z : p * z",
    "trelu": "z < p ? 0.0f : z",
    "tanh": "tanhf(z)",
    "sigmoid": "1.0f / (1.0f + expf(-z))",
    "gelu": "0.5f * z * erfcf(-0.70710678118654752f * z)",
    "gelu_tanh": "z / (1.0f + expf(-1.59576912160573071f * (z + 0.044715f * z * z * z)))",
    "silu": "z / (1.0f + expf(-z))",
}
WITH_PARAMETER = ("leaky_relu", "trelu")
FUNCTIONS = {"sparse": SPARSE, "dense": DENSE, "scale": SCALE, "srelu": SRELU} | {
    "softmax": SOFTMAX,
    "log_softmax": LOG_SOFTMAX,
}

MAIN = """
#ifdef @@_MAIN
#include <stdio.h>

/* Reads samples, numbers apart by white space, a comma or a semicolon, and prints a line of outputs for each. A line
 * break is white space: a sample is so many numbers, on however many lines. */
int main(void)
{
    static float x[@@_INPUTS], y[@@_OUTPUTS];
    for (long sample = 1;; sample++) {
        for (int32_t i = 0; i < @@_INPUTS; i++) {
            const int found = scanf("%f%*1[,;]", &x[i]);
            if (found == EOF && i == 0) return ferror(stdin) || fflush(stdout) ? 1 : 0;
            if (found != 1 || x[i] - x[i] != 0.0f) {
                fprintf(stderr, "sample %ld: number %ld of %ld is missing, or no finite number\\n", sample, (long)i + 1,
                        (long)@@_INPUTS);
                return 1;
            }
        }
        @forward(x, y);
        for (int32_t i = 0; i < @@_OUTPUTS; i++) printf("%s%.9g", i ? " " : "", (double)y[i]);
        printf("\\n");
    }
}
#endif
"""


def function_of(name: str) -> str:
    """Return the C function of this name, of float."""
    if name in FUNCTIONS:
        return FUNCTIONS[name]
    parameter = "float p, " if name in WITH_PARAMETER else ""
    return f"""
static void @{name}(int32_t n, {parameter}const float *x, float *y)
{{
    for (int32_t i = 0; i < n; i++) {{
        const float z = x[i];
        y[i] = {ELEMENTWISE[name]};
    }}
}}
"""


def in_c(text: str, name: str, *, double: bool) -> str:
    """Return C code with @ for the name of a network, @@ for it in capitals, and double in place of float.

    >>> in_c("float @f(float x) { return expf(x) + 0.5f; }", "net", double=True)
    'double net_f(double x) { return exp(x) + 0.5; }'
    """
    if double:
        text = re.sub(r"\bfloat\b", "double", text)
        text = re.sub(r"(\d)f\b", r"\1", text)
        text = re.sub(r"\b(exp|log|tanh|erfc)f\b", r"\1", text)
        text = text.replace("%f", "%lf").replace("%.9g", "%.17g")
    return text.replace("@@_", f"{name.upper()}_").replace("@", f"{name}_")
