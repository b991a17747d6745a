"""How results are judged: the statistics of a claim, the 58 claims as data, and the verdict on each."""
