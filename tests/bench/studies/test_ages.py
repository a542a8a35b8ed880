"""The study of what ages of weights cost, on few rounds."""


def test_one_network_has_ages_and_the_other_has_none(monkeypatch):
    from studies import ages

    monkeypatch.setattr(ages, "SIZES", (30, 20, 5))
    monkeypatch.setattr(ages, "BETWEEN", 3)
    for has_ages in (True, False):
        trained = ages.Trained(0.3, has_ages)
        assert ("born" in trained.model.parameters()[0].state) == has_ages
        assert trained.seconds() > 0
