"""Combinations of values, the names of their folders, and TOML files."""

import pytest

from nerva.experiments.grid import LONGEST, as_argv, combinations, folder_names, read_toml, varied


def test_the_last_option_varies_first_and_nothing_is_there_twice():
    grid = {"density": ["0.1", "0.2"], "augment": [True, False], "seed": ["1"]}
    found = combinations([grid, {"density": ["0.2"], "seed": ["1", "2"]}])
    assert found == [
        {"density": "0.1", "augment": True, "seed": "1"},
        {"density": "0.1", "seed": "1"},
        {"density": "0.2", "augment": True, "seed": "1"},
        {"density": "0.2", "seed": "1"},
        {"density": "0.2", "seed": "2"},
    ]
    assert varied(found, ["seed", "density"]) == ["seed", "density", "augment"]


def test_a_name_is_made_of_what_varies():
    settings = combinations([{"hidden": ["512,256", "none"], "topology": [None, "rigl"], "epochs": ["5"]}])
    assert folder_names(settings, ["hidden", "topology", "epochs"]) == [
        "hidden=512,256,topology=none",
        "hidden=512,256,topology=rigl",
        "hidden=none,topology=none",
        "hidden=none,topology=rigl",
    ]
    assert folder_names([{"epochs": "5"}]) == ["run"]


def test_names_are_short_of_the_limit_and_differ():
    """Two files of one name in two folders, and a list that is longer than a file's name may be."""
    files = [{"data": "/a/x.npz"}, {"data": "/b/x.npz"}, {"data": "/b/y.npz"}]
    names = folder_names(files)
    assert len({*names}) == 3
    assert names[2] == "data=y"
    assert names[0].startswith("data=x-")
    long = [{"hidden": ",".join(["10"] * n)} for n in (100, 101)]
    names = folder_names(long)
    assert len({*names}) == 2
    assert all(len(name) < LONGEST + 20 and "/" not in name for name in names)
    order = ["hidden", "seed"]
    assert folder_names([*long[:1], {"seed": "1"}], order)[0] == folder_names([{"seed": "1"}, *long], order)[1]


def test_options_of_the_command():
    settings = {"weight_decay": "0.1", "batch_norm": True, "augment": False, "topology": None}
    assert as_argv(settings) == ["--weight-decay", "0.1", "--batch-norm"]


def test_a_file_has_options_at_its_top_and_grids(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text('batch-size = 10\nseed = [1, 2]\n[[grid]]\ndensity = 0.1\n[[grid]]\ntopology = ["rigl"]\n')
    assert read_toml(str(path)) == ({"batch_size": 10, "seed": [1, 2]}, [{"density": 0.1}, {"topology": ["rigl"]}])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("seed = ", "is no TOML"),
        ("[train]\nseed = 1", r"\[train\] is a table"),
        ("grid = 3", "grid is a list of tables"),
        ("batch-size = 1\nbatch_size = 2", "batch_size is there twice"),
    ],
)
def test_a_file_that_is_wrong(tmp_path, text, complaint):
    path = tmp_path / "a.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=complaint) as found:
        read_toml(str(path))
    assert str(path) in str(found.value)
