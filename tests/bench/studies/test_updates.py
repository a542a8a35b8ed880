"""The study of topology updates, on a small network."""


def test_an_update_and_the_dense_products_are_timed():
    from studies.updates import measure

    pairs = measure((60, 50, 40, 30), 0.2, 2)
    assert len(pairs) == 2
    assert all(update > 0 and dense > 0 for update, dense in pairs)
