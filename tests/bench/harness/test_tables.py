"""Tables of measurements."""


def test_a_table_has_a_column_for_each_peer_of_any_row(machine, measured):
    from harness.records import records
    from harness.tables import comparison
    from harness.workloads import hot_step

    work = hot_step(0.9, 16, sizes=(40, 30, 20, 10))
    measurements = {"few": measured([1e-3], {"somebody": "float32 only"}), "more": measured([1e-3, 2e-3])}
    rows = [row for name, measurement in measurements.items() for row in records(name, work, measurement, machine)]
    header, _, few, more, *notes = comparison({"label": "row", "unit": "ms", "rows": rows}).splitlines()
    assert "nerva, MKL backend, times" in header
    assert [cell.strip() for cell in few.split("|")][-2] == "-"
    assert [cell.strip() for cell in more.split("|")][-2] == "2"
    assert "few: somebody left out, float32 only." in notes


def cells(line):
    """The cells of a line of a table."""
    return [cell.strip() for cell in line.split("|")[1:-1]]


def test_a_table_says_threads_cores_and_how_many_rounds_count(machine, measured):
    from harness.records import records
    from harness.tables import comparison
    from harness.use import Use
    from harness.workloads import network

    work, rows = Use(network(0.9, sizes=(40, 30, 20, 10))), []
    for measurement in (
        measured([4e-3, 8e-3], threads=1),
        measured([2e-3, 8e-3], disturbed=2),
        measured([5e-3, 8e-3], apart="far", rounds=1, disturbed=1),
    ):
        rows += records("0.9", work, measurement, machine)
    header, _, one, near, far, *notes = comparison({"label": "row", "unit": "ms", "rows": rows}).splitlines()
    assert cells(header)[:6] == ["row", "threads", "cores", "rounds", "nerva, ms", "of one thread"]
    assert cells(one) == ["0.9", "1", "near", "5", "4", "-", "2"]
    assert cells(near) == ["0.9", "2", "near", "3 of 5", "2", "0.50", "4"]
    assert cells(far) == ["0.9 *", "2", "far", "0 of 1", "5", "-", "1.6"]
    assert "in all rounds" in notes[-1]
