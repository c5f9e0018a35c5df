"""The training files of other toolkits: JSON lines, ColBERT's arrays, tables of pairs.

Where a format has texts but no ids, the first 16 hexadecimal digits of the text's BLAKE2b hash are its
id. A document that is repeated in one line counts once, as what it was first: positives come first.
Positives get `relevance` 1. No format says the scale of its scores, so it is `unknown`. Fields that a
format does not define stay in the record.

ColBERT, PyLate and MS MARCO's hard negatives number their queries and passages: ids made of digits are
written as integers there.
"""
