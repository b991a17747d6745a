from mixlib.runs import synthetic


def test_twins_are_the_same_every_time_and_differ_by_name_and_split():
    first = synthetic.twin("cola", "train", "sentence", 2)
    assert first.equals(synthetic.twin("cola", "train", "sentence", 2))
    assert not first.equals(synthetic.twin("imdb", "train", "sentence", 2))
    assert set(first["text"]) - set(synthetic.twin("cola", "test", "sentence", 2)["text"])


def test_words_are_distinct_and_classes_are_balanced():
    words = synthetic.vocabulary()
    assert len(set(words)) == len(words) == synthetic.MAX_CLASSES * synthetic.MARKERS + synthetic.FILLERS
    counts = synthetic.twin("trec_coarse", "train", "question type", 6)["label"].value_counts()
    assert counts.max() - counts.min() <= 1


def test_a_text_leans_towards_its_class():
    rows = synthetic.twin("sst2", "train", "sentence", 2)
    marked = [set(synthetic.vocabulary()[label * 4 : label * 4 + 4]) for label in (0, 1)]
    votes = [
        max((0, 1), key=lambda label: sum(word in marked[label] for word in text.split())) for text in rows["text"]
    ]
    assert (rows["label"] == votes).mean() > 0.85
