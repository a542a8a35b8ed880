"""The study of exported C code, on a small network."""


def test_the_code_and_predict_are_timed():
    from studies.exported_c import measure

    found = measure((60, 50, 10), 0.2, ["-O1"], 2, 1)
    assert len(found) == 2
    assert all(seconds > 0 for row in found for seconds in row)
