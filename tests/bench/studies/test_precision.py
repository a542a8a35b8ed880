"""The study of precisions: its table."""


def test_the_table_compares_runs_of_one_seed():
    from studies.precision import PRECISIONS, table

    runs = [
        {"method": "static", "density": 0.01, "seed": seed, "precision": precision, "test_accuracy": [0.1, accuracy]}
        for seed, accuracies in enumerate(((0.5, 0.49), (0.46, 0.48)))
        for precision, accuracy in zip(PRECISIONS, accuracies, strict=True)
    ]
    row = [cell.strip() for cell in table(runs).splitlines()[-1].strip("|").split("|")]
    assert row == ["static", "0.01", "48.00", "48.50", "+0.50", "-1.00, +2.00"]
