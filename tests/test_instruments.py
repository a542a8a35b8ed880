"""What the tools of tests/instrumented.py and tests/mutants.py make of files: findings, and changed code."""

import pytest

from . import instrumented, mutants

RACE = """==================
WARNING: ThreadSanitizer: data race (pid=12)
  Write of size 4 at 0x7f00 by thread T1:
    #0 nerva_plan_step_avx2_f32 ../nerva/_kernels/native/plan.c:12 (isa.so+0x12)
  Previous read of size 4 at 0x7f00 by main thread:
    #0 other somewhere.c:3
SUMMARY: ThreadSanitizer: data race ../nerva/_kernels/native/plan.c:12 in nerva_plan_step_avx2_f32
==================
"""
OVERFLOW = """=================================================================
==7==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x60 at pc 0x7f bp 0x7f sp 0x7f
READ of size 4 at 0x60 thread T0
    #0 0x7f in nerva_spmm ../nerva/_kernels/native/spmm.c:40
"""
UNDEFINED = "../nerva/_kernels/native/spmm.c:41:7: runtime error: signed integer overflow: 1 + 2\n"
ERROR = """<error><what>Conditional jump depends on uninitialised value(s)</what><stack>
<frame><fn>{name}</fn><obj>{where}</obj><line>40</line></frame><frame><obj>/x/libmkl.so</obj></frame></stack></error>
"""


def test_reports_of_sanitizers_are_findings(tmp_path):
    assert instrumented.of_sanitizer(tmp_path) == []
    (tmp_path / "report.12").write_text(RACE + RACE)
    assert instrumented.of_sanitizer(tmp_path) == [
        "WARNING: ThreadSanitizer: data race () nerva/_kernels/native/plan.c:12"
    ]
    (tmp_path / "report.7").write_text(UNDEFINED + OVERFLOW)
    found = instrumented.of_sanitizer(tmp_path)
    assert len(found) == 3
    assert any("signed integer overflow" in text for text in found)
    assert any("heap-buffer-overflow" in text and text.endswith("native/spmm.c:40") for text in found)


def test_errors_of_valgrind_in_our_code_are_findings(tmp_path):
    ours = ERROR.format(name="spmm_share", where="/x/nerva/_kernels/isa.so")
    others = ERROR.format(name="unicode_hash", where="/x/libpython3.11.so")
    (tmp_path / "tests.xml").write_text(f"<valgrindoutput>{ours}{others}{ours}</valgrindoutput>")
    found = instrumented.of_valgrind(tmp_path / "tests.log")
    assert found == ["Conditional jump depends on uninitialised value(s): spmm_share (40) < None (/x/libmkl.so)"]


CODE = """/* A comment with 0 < 1
 * and another line + one. */
#define SIZE 0
static int f(int a) {
    call(a);
    return a < 1 && a + 2 ? a : 3; /* 0 < a */
}
"""


def test_code_in_c_is_changed_in_one_place_each():
    made = list(mutants.c_mutants("step in C", "a.c", CODE))
    lines = CODE.splitlines()
    changed = set()
    for mutant in made:
        others = mutant.content.splitlines()
        differing = [i for i, (before, after) in enumerate(zip(lines, others, strict=True)) if before != after]
        assert len(differing) == 1, mutant
        assert differing[0] in (4, 5), mutant
        assert others[5].endswith("/* 0 < a */")
        changed.add(others[differing[0]].strip())
    assert changed == {
        ";",
        "return a <= 1 && a + 2 ? a : 3; /* 0 < a */",
        "return a < 2 && a + 2 ? a : 3; /* 0 < a */",
        "return a < 1 || a + 2 ? a : 3; /* 0 < a */",
        "return a < 1 && a - 2 ? a : 3; /* 0 < a */",
        "return a < 1 && a + 2 ? 3 : a; /* 0 < a */",
    }


def test_python_is_changed_in_one_place_each():
    pytest.importorskip("cosmic_ray")
    made = list(mutants.python_mutants("losses", "a.py", "def f(a: int | None) -> int:\n    return a + 1\n"))
    assert {mutant.content.splitlines()[1].replace(" ", "") for mutant in made} == {
        "returna-1",
        "returna+2",
        "returna+0",
    }


def test_areas_are_of_files_that_there_are():
    for area in mutants.AREAS.values():
        for pattern in area.files:
            assert list((mutants.ROOT / "nerva").glob(pattern)), pattern
        for pattern in area.tests:
            assert list((mutants.ROOT / "tests").glob(pattern)), pattern
