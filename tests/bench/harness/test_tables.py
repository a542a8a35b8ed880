"""Tables of measurements."""


def test_a_table_has_a_column_for_each_peer_of_any_row(machine, measured):
    from harness.records import record
    from harness.tables import comparison
    from harness.workloads import training_step

    work = training_step(0.9, 16, sizes=(40, 30, 20, 10))
    measurements = {"few": measured([1e-3], {"somebody": "float32 only"}), "more": measured([1e-3, 2e-3])}
    rows = [record(name, work, measurement, machine) for name, measurement in measurements.items()]
    header, _, few, more, *notes = comparison({"label": "row", "unit": "ms", "rows": rows}).splitlines()
    assert "nerva, MKL backend, times" in header
    assert [cell.strip() for cell in few.split("|")][-2] == "-"
    assert [cell.strip() for cell in more.split("|")][-2] == "2"
    assert "few: somebody left out, float32 only." in notes
