"""The ceilings that follow from the peaks of a core."""


def test_the_ceiling_is_one_row_from_l2_for_each_weight(machine):
    assert machine.sparse_ceiling("float32", 1) == 50.0
    assert machine.ceiling(True, "float64", 2) == 50.0
    assert machine.ceiling(False, "float32", 2) == 220.0
    assert type(machine).from_dict(machine.as_dict()) == machine
