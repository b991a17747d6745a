import pytest

from mixlib.evidence import published

FOUR = {"batchmixup": 13, "mixup_calibration": 15, "ssmix": 15, "amplify": 15}  # and their claims


def test_58_claims_of_four_papers_and_no_other_than_those_of_papers():
    found = published.claims()["paper"].value_counts().to_dict()
    assert {paper: found[paper] for paper in FOUR} == FOUR
    assert set(found) == set(published.papers())
    assert len(published.claims("mixup_calibration")) == 15


def test_artefact_ids_are_unique_and_short():
    found = published.artefacts()
    ids = [a.id for a in found]
    assert len(set(ids)) == len(ids)
    assert len([artefact for artefact in found if artefact.paper in FOUR]) == 32
    assert {"calibration-table2", "batchmixup-figure1", "ssmix-tableA1", "ssmix-algorithm1", "amplify-figure7"} <= set(
        ids
    )
    assert {a.paper for a in found} == set(published.papers())


@pytest.mark.parametrize(
    ("name", "numbers", "value", "printed"),
    [("mixup_calibration_table2", 24, 92.0, "92.0"), ("mixup_calibration_table5", 7, 81.2, "81.20")],
)
def test_tables_are_numbers_with_their_printed_digits(name, numbers, value, printed):
    table = published.table(name)
    assert len(table) == numbers
    assert table["value"].notna().all()
    assert (table["value"].iloc[3], table["value_printed"].iloc[3]) == (value, printed)


def test_data_set_names_are_ours():
    assert set(published.table("mixup_calibration_table3")["dataset"]) == {"ag_news"}


def test_unknown_table_lists_those_there_are():
    with pytest.raises(FileNotFoundError, match="ssmix_table2"):
        published.table("nothing")
