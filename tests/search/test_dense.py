"""Dense indexes: built block by block, kept on disk, searched part by part, exactly and by faiss."""

from __future__ import annotations

import json
import logging
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import WORDS
from settings import opened as opened_teacher
from settings import resources, teacher_resources

from rdtools.core import checked_folder
from rdtools.core.errors import RdError, UsageError
from rdtools.core.log import log
from rdtools.data.collection import Collection
from rdtools.models import encoding, products
from rdtools.models.encoding import BiEncoder
from rdtools.models.loading import load_bi_encoder
from rdtools.models.options import ModelOptions
from rdtools.search.ann import AnnSearch
from rdtools.search.dense import DenseIndex, DenseSearch
from rdtools.search.places import Places

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("distinct", [1, 7, 60, 10_000])
def test_equal_texts_share_a_place(tmp_path, distinct):
    rng = random.Random(0)
    texts = [str(rng.randrange(distinct)) for _ in range(80)]
    numbers: dict[str, int] = {}
    expected = [numbers.setdefault(text, len(numbers)) for text in texts]
    places = Places.of(iter(texts))
    assert places.of_row.tolist() == expected
    assert places.size == len(numbers)
    assert places.first_rows.tolist() == [texts.index(text) for text in numbers]
    for place in range(places.size):
        assert places.rows_at(place).tolist() == [row for row, own in enumerate(expected) if own == place]
    places.save(tmp_path)
    for one, other in zip(places, Places.load(tmp_path, 80), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="it has not the places of 81 rows"):
        Places.load(tmp_path, 81)


def test_no_rows_have_no_places(tmp_path):
    Places.of([]).save(tmp_path)
    assert Places.load(tmp_path, 0).size == 0


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("of_row", [0, 2, 0], "places_of_row.npy has numbers out of bounds"),
        ("of_row", [0, -1, 0], "places_of_row.npy has numbers out of bounds"),
        ("rows", [0, 2, 3], "places_rows.npy has numbers out of bounds"),
        ("rows", [0, 2], "it has not the places of 3 rows"),
        ("rows", [0.0, 2.0, 1.0], "places have another type or shape than an index has"),
        ("starts", [0, 0, 3], "places_starts.npy does not fit 3 rows"),
        ("starts", [0, 2, 4], "places_starts.npy does not fit 3 rows"),
    ],
)
def test_places_that_do_not_fit_are_refused(tmp_path, name, change, message):
    Places.of("aba").save(tmp_path)
    np.save(tmp_path / f"places_{name}.npy", np.array(change))
    with pytest.raises(ValueError, match=message):
        Places.load(tmp_path, 3)


@pytest.fixture
def corpus(tmp_path):
    """300 documents, some of equal text."""
    rng = random.Random(1)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(1, 12))) for _ in range(280)]
    texts += texts[:20]
    (tmp_path / "corpus.tsv").write_text("".join(f"d{n:03}\t{text}\n" for n, text in enumerate(texts)))
    return Collection(corpus_path=str(tmp_path / "corpus.tsv"))


def setting(corpus, tmp_path, **options):
    return resources(corpus, index=str(tmp_path / "index"), **options)


def folders(tmp_path, kind):
    return sorted((tmp_path / "index").glob(f"{kind}-*"))


@pytest.mark.parametrize("window", [16384, 17])
def test_an_index_has_the_embeddings_of_the_distinct_texts(corpus, tmp_path, tiny_be, monkeypatch, window):
    monkeypatch.setattr(encoding, "WINDOW_TEXTS", window)
    encoder = BiEncoder(load_bi_encoder(tiny_be, ModelOptions(device="cpu")))
    np.save(tmp_path / "expected.npy", encoder.encode_documents([*dict.fromkeys(corpus.corpus.texts)]))
    kept = DenseIndex(tiny_be, setting(corpus, tmp_path))
    (folder,) = folders(tmp_path, "dense")
    assert (folder / "embeddings.npy").read_bytes() == (tmp_path / "expected.npy").read_bytes()
    held = DenseIndex(tiny_be, resources(corpus))
    assert kept.embeddings.tobytes() == held.embeddings.tobytes()
    assert not kept.embeddings.flags.owndata
    assert held.rows_of([5, 5, 0]).tobytes() == kept.embeddings[kept.places.of_row[[5, 5, 0]]].tobytes()


class Text(str):
    """A text that is counted while somebody holds it."""

    alive = 0
    most = 0

    def __new__(cls, text):
        cls.alive += 1
        cls.most = max(cls.most, cls.alive)
        return super().__new__(cls, text)

    def __del__(self):
        type(self).alive -= 1


class ToyEncoder:
    """Embeds a text as numbers drawn from it."""

    mark, scale = "", "dot"
    model = SimpleNamespace(max_seq_length=9, device=torch.device("cpu"))
    dimension = 8
    wide = staticmethod(BiEncoder.wide)
    encoded = BiEncoder.encoded

    def _encode(self, texts, role, progress=None):
        rngs = [np.random.default_rng([*text.encode()]) for text in texts]
        return np.array([rng.standard_normal(self.dimension) for rng in rngs], np.float32)

    def encode_queries(self, texts, *, alone=True):
        return self._encode(texts, "query")

    def encode_documents(self, texts, description=""):
        return self._encode(texts, "document")


def toy(monkeypatch, encoder=None):
    monkeypatch.setattr(
        DenseIndex, "open_encoder", staticmethod(lambda model, options: encoder or ToyEncoder())
    )
    monkeypatch.setattr(DenseIndex, "fingerprint", "toy")


def test_no_more_texts_are_held_than_are_encoded_at_once(corpus, tmp_path, monkeypatch):
    class Texts:
        def __iter__(self):
            return (Text(text) for text in texts)

    texts = corpus.corpus.texts
    assert corpus.corpus.fingerprint
    monkeypatch.setattr(corpus.corpus, "texts", Texts())
    monkeypatch.setattr(encoding, "WINDOW_TEXTS", 10)
    toy(monkeypatch)
    DenseIndex("toy", setting(corpus, tmp_path))
    assert Text.alive == 0
    assert 10 <= Text.most <= 22


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), RdError("stop"), OSError(28, "No space left")])
def test_a_build_that_fails_leaves_nothing(corpus, tmp_path, monkeypatch, failure):
    class Failing(ToyEncoder):
        def _encode(self, texts, role, progress=None):
            written = [*(tmp_path / "index").glob(".dense-*/embeddings.npy")]
            if written:
                raise failure
            return super()._encode(texts, role)

    monkeypatch.setattr(encoding, "WINDOW_TEXTS", 100)
    toy(monkeypatch, Failing())
    with pytest.raises((type(failure), RdError)):
        DenseIndex("toy", setting(corpus, tmp_path))
    assert [*(tmp_path / "index").iterdir()] == []


def test_files_that_were_just_written_are_not_read_again(corpus, tmp_path, monkeypatch):
    toy(monkeypatch)
    checked = []
    monkeypatch.setattr(checked_folder, "_check_files", lambda folder, *_, **__: checked.append(folder))
    DenseIndex("toy", setting(corpus, tmp_path))
    assert checked == []
    DenseIndex("toy", setting(corpus, tmp_path))
    assert checked == folders(tmp_path, "dense")


# search


def index_of(vectors, texts=None):
    """An index without a corpus: each row is a text of its own, or has one of `texts`."""
    index = DenseIndex.__new__(DenseIndex)
    index.embeddings, index.model = vectors, "toy"
    vars(index)["encoder"] = ToyEncoder()
    index.places = Places.of(map(str, range(len(vectors))) if texts is None else texts)
    return index


def by_brute_force(vectors, query, depth):
    scores = (vectors.astype(np.float64) @ query.astype(np.float64)).astype(np.float32)
    best = np.lexsort((np.arange(len(scores)), -scores))[:depth]
    return best, scores[best]


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("part", [1, 4 * 8 * 37, 2**26])
@pytest.mark.parametrize("by", ["torch", "oneDNN"])
def test_parts_find_what_the_whole_has(monkeypatch, by, part, dtype):
    monkeypatch.setattr(products, "onednn_is_faster", lambda: by == "oneDNN")
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((500, 8)).astype(dtype)
    vectors[100:160] = vectors[7]  # more ties than there is slack
    queries = np.concatenate([vectors[[7, 7, 7]], rng.standard_normal((6, 8))]).astype(np.float32)
    depths = [1, 5, 40, 0, 3, 90, 500, 999, 17]
    found = DenseSearch(index_of(vectors), part).search(queries, depths)
    for query, depth, (rows, scores) in zip(queries, depths, found, strict=True):
        expected = by_brute_force(vectors, query, depth)
        np.testing.assert_array_equal(rows, expected[0])
        np.testing.assert_array_equal(scores, expected[1])


def test_a_model_that_gives_one_embedding_ranks_by_row():
    vectors = np.ones((3_000, 8), np.float32)
    ((rows, _),) = DenseSearch(index_of(vectors), 2**12).search(vectors[:1], [30])
    assert rows.tolist() == [*range(30)]


def test_no_queries_and_no_depth_find_nothing():
    search = DenseSearch(index_of(np.eye(8, dtype=np.float32)))
    assert search.search(np.zeros((0, 8), np.float32), []) == []
    ((rows, scores),) = search.search(np.ones((1, 8), np.float32), [0])
    assert (len(rows), len(scores)) == (0, 0)


# float16


def test_float16_halves_the_file_and_moves_scores_by_little(corpus, tmp_path, tiny_be):
    whole = DenseIndex(tiny_be, setting(corpus, tmp_path))
    half = DenseIndex(tiny_be, setting(corpus, tmp_path, index_dtype="float16"))
    again = DenseIndex(tiny_be, setting(corpus, tmp_path, index_dtype="float16"))
    assert len(folders(tmp_path, "dense")) == 2
    assert half.embeddings.dtype == again.embeddings.dtype == np.float16
    assert half.embeddings.nbytes * 2 == whole.embeddings.nbytes
    np.testing.assert_array_equal(half.embeddings, whole.embeddings.astype(np.float16))
    queries = whole.encoder.encode_queries(["boundary layer", "wing flow"])
    everything = np.arange(whole.places.size)
    for query in queries:
        one, other = whole.scores(query, everything), half.scores(query, everything)
        bound = 2.0**-11 * np.abs(whole.embeddings) @ np.abs(query) + 2.0**-25 * np.abs(query).sum() + 1e-7
        assert (np.abs(one - other) <= bound).all()
        assert bound.max() < 5e-4
        assert other.dtype == np.float32


def test_an_embedding_beyond_float16_is_one_line_and_leaves_nothing(corpus, tmp_path, monkeypatch):
    class Large(ToyEncoder):
        def _encode(self, texts, role, progress=None):
            return super()._encode(texts, role) * 1e5

    toy(monkeypatch, Large())
    says = r"^model toy: an embedding does not fit float16 \(use --index-dtype float32\)$"
    with pytest.raises(RdError, match=says):
        DenseIndex("toy", setting(corpus, tmp_path, index_dtype="float16"))
    assert folders(tmp_path, "dense") == []


# approximate search


@pytest.fixture
def said():
    lines: list[str] = []
    handler = logging.Handler()
    vars(handler)["emit"] = lambda record: lines.append(record.getMessage())
    log.handlers[:] = [handler]
    log.setLevel("INFO")
    return lines


def opened(corpus, tmp_path, ann, said=None, **options):
    if said is not None:
        del said[:]
    return AnnSearch.open("toy", setting(corpus, tmp_path, ann=ann, **options))


@pytest.fixture
def queries():
    return np.random.default_rng(5).standard_normal((20, 8)).astype(np.float32)


@pytest.mark.parametrize(
    ("factory", "effort"),
    [
        ("IVF8,Flat", 8),
        ("IVF8_HNSW4,Flat", 8),
        ("HNSW16", 300),
        ("Flat", None),
        ("IVF8,SQfp16", 8),
        ("SQ8", None),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_full_effort_is_exact_search(corpus, tmp_path, monkeypatch, queries, said, factory, effort, dtype):
    toy(monkeypatch)
    for _ in range(2):  # built, and opened again
        search = opened(corpus, tmp_path, factory, said, ann_effort=effort, index_dtype=dtype)
        assert "): 1.000 (200 passages as queries)" in said[-1].replace("search: ", "): ")
        depths = [*range(0, 100, 5)]
        exact = DenseSearch(search.index).search(queries, depths)
        for own, best in zip(search.search(queries, depths), exact, strict=True):
            np.testing.assert_array_equal(own[0], best[0])
            np.testing.assert_array_equal(own[1], best[1])
    assert len(folders(tmp_path, "ann")) == 1


@pytest.mark.parametrize("factory", ["IVF8,Flat", "PQ2x4", "IVF4,PQ4x4", "HNSW2"])
def test_scores_are_exact_and_the_recall_is_that_of_the_sample(corpus, tmp_path, monkeypatch, said, factory):
    toy(monkeypatch)
    options = {"ann_oversample": 1, "ann_effort": None if factory == "PQ2x4" else 1}
    search = opened(corpus, tmp_path, factory, **options)
    index = search.index
    (folder,) = folders(tmp_path, "ann")
    told = json.loads((folder / "recall.json").read_text())
    texts = [*dict.fromkeys(corpus.corpus.texts)]
    # all texts are more than the sample, whose recall is near theirs
    asked = index.encoder.encode_queries(texts)
    depth, vectors = told["depth"], index.embeddings[index.places.of_row]
    shares = []
    for query, (rows, scores) in zip(asked, search.search(asked, [depth] * len(asked)), strict=True):
        wide = (vectors.astype(np.float64) @ query.astype(np.float64)).astype(np.float32)
        np.testing.assert_array_equal(scores, wide[rows])
        assert (np.diff(scores) <= 0).all()
        best, _ = by_brute_force(vectors, query, depth)
        shares.append(len(set(best.tolist()) & set(rows.tolist())) / depth)
    assert told["recall"] == pytest.approx(np.mean(shares), abs=0.03)
    assert told["recall"] < 0.99
    assert depth == 100
    assert told["queries"] == 200
    said.clear()
    opened(corpus, tmp_path, factory, said, **options)
    assert said == [
        f"recall@100 of {factory} ({told['effort']}) against exact search: {told['recall']:.3f} "
        "(200 passages as queries)"
    ]


def test_another_index_has_a_folder_of_its_own_and_another_effort_its_own_recall(
    corpus, tmp_path, monkeypatch, said
):
    toy(monkeypatch)
    opened(corpus, tmp_path, "IVF8,Flat", said, ann_effort=1)
    low = said[-1]
    assert low.startswith("recall@100 of IVF8,Flat (nprobe=1, oversampling 1) against exact search: 0.")
    opened(corpus, tmp_path, "IVF8,Flat", said, ann_effort=8)
    assert said[-1].startswith(
        "recall@100 of IVF8,Flat (nprobe=8, oversampling 1) against exact search: 1.000"
    )
    assert len(folders(tmp_path, "ann")) == 1
    opened(corpus, tmp_path, "IVF8,Flat", said, ann_effort=1)
    assert said == [low]
    opened(corpus, tmp_path, "IVF4,Flat")
    opened(corpus, tmp_path, "IVF8,Flat", memory="8K")  # 64 of the vectors train
    opened(corpus, tmp_path, "IVF8,Flat", index_dtype="float16")
    manifests = [json.loads((each / "manifest.json").read_text()) for each in folders(tmp_path, "ann")]
    assert len(manifests) == 4
    assert sorted(each["settings"]["training"] for each in manifests) == [64, 272, 272, 272]
    assert {each["settings"]["factory"] for each in manifests} == {"IVF8,Flat", "IVF4,Flat"}


def test_an_index_that_was_built_is_not_built_again(corpus, tmp_path, monkeypatch, queries):
    toy(monkeypatch)
    first = opened(corpus, tmp_path, "IVF8,Flat").search(queries, [9] * 20)
    monkeypatch.setattr(AnnSearch, "_build", None)
    again = opened(corpus, tmp_path, "IVF8,Flat").search(queries, [9] * 20)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["index.faiss", "recall.json"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "missing"])
def test_a_damaged_index_is_one_line(corpus, tmp_path, monkeypatch, name, damage):
    toy(monkeypatch)
    opened(corpus, tmp_path, "HNSW4")
    (folder,) = folders(tmp_path, "ann")
    content = (folder / name).read_bytes()
    middle = len(content) // 2
    if damage == "missing":
        (folder / name).unlink()
    else:
        flipped = content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]
        (folder / name).write_bytes({"flipped": flipped, "cut": content[:middle], "empty": b""}[damage])
    says = rf"^index {folder}: it is damaged: .*{name}.* \(remove it to build it again\)$"
    with pytest.raises(RdError, match=says):
        opened(corpus, tmp_path, "HNSW4")


@pytest.mark.parametrize("content", [b"", b"IxFI", b"IwFl" * 40, b"\0" * 200, b"IHNf" + b"\xff" * 99])
def test_a_forged_file_that_faiss_refuses_is_one_line(corpus, tmp_path, monkeypatch, content):
    toy(monkeypatch)
    monkeypatch.setattr(checked_folder, "_check_files", lambda *_, **__: None)
    opened(corpus, tmp_path, "IVF8,Flat")
    (folder,) = folders(tmp_path, "ann")
    (folder / "index.faiss").write_bytes(content)
    with pytest.raises(RdError, match=r"it is damaged: index.faiss.* \(remove it to build it again\)$"):
        opened(corpus, tmp_path, "IVF8,Flat")


def test_a_forged_index_of_other_embeddings_is_refused(corpus, tmp_path, monkeypatch):
    import faiss

    toy(monkeypatch)
    monkeypatch.setattr(checked_folder, "_check_files", lambda *_, **__: None)
    opened(corpus, tmp_path, "IVF8,Flat")
    (folder,) = folders(tmp_path, "ann")
    faiss.write_index(faiss.IndexFlatIP(8), str(folder / "index.faiss"))
    with pytest.raises(RdError, match=r"index.faiss does not fit 272 embeddings of 8 dimensions"):
        opened(corpus, tmp_path, "IVF8,Flat")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ann": "PQ3"}, r"--ann PQ3: .*multiple of the number of subquantizers.*"),
        ({"ann": "SQ8", "ann_effort": 3}, "--ann-effort: SQ8 has neither nprobe nor efSearch"),
        (
            {"ann": "NSG8"},
            r"--ann NSG8: not an index that fits \(such as HNSW32, IVF4096,Flat or IVF4096,PQ64\)",
        ),
        ({"ann": "IVF8"}, r"--ann IVF8: not an index that fits .*"),
        ({"ann": "IVF0,Flat"}, r"--ann IVF0,Flat: not an index that fits .*"),
        ({"ann": "LSH"}, r"--ann LSH: not an index that fits .*"),
        ({"ann": "HNSW8,PQ8"}, r"--ann HNSW8,PQ8: not an index that fits .*"),  # faiss makes one of distances
        ({"ann": "HNSW8_PQ8"}, r"--ann HNSW8_PQ8: not an index that fits .*"),
        ({"ann": "OPQ8,PQ8"}, r"--ann OPQ8,PQ8: not an index that fits .*"),  # faiss ends the process
        ({"ann": ""}, r"--ann : not an index that fits .*"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_corpus_is_encoded(
    corpus, tmp_path, monkeypatch, options, message
):
    toy(monkeypatch)
    monkeypatch.setattr(ToyEncoder, "encoded", None)
    with pytest.raises(UsageError, match=f"^{message}$"):
        opened(corpus, tmp_path, **options)


def test_more_lists_than_vectors_are_refused_and_few_vectors_are_told(corpus, tmp_path, monkeypatch, said):
    toy(monkeypatch)
    with pytest.raises(RdError, match=r"^--ann IVF900,Flat: Number of training points \(272\) should be .*$"):
        opened(corpus, tmp_path, "IVF900,Flat")
    assert folders(tmp_path, "ann") == []
    opened(corpus, tmp_path, "IVF8,Flat", said)
    assert said[0] == "--ann IVF8,Flat: 272 vectors train 8 lists, 39 a list are advised"


def test_a_full_disk_leaves_nothing_of_an_index(corpus, tmp_path, monkeypatch):
    import faiss

    def full(index, file):
        raise RuntimeError(
            "Error in void faiss::X(int) at /faiss/impl/index_write.cpp:9: Error: 'ret == (1)' failed: write error in x: 0 != 1 (No space left on device)"
        )

    toy(monkeypatch)
    monkeypatch.setattr(faiss, "write_index", full)
    with pytest.raises(
        RdError, match=r"^index .*/ann-\w+: cannot write: write error in x: .*No space left on device\)$"
    ):
        opened(corpus, tmp_path, "HNSW4")
    assert folders(tmp_path, "ann") == []


def test_compressed_vectors_find_more_candidates_than_are_wanted(corpus, tmp_path, monkeypatch):
    toy(monkeypatch)
    factors = {}
    for factory in (
        "PQ2x4",
        "IVF8,SQ8",
        "HNSW4_SQ8",
        "HNSW4",
        "IVF8,Flat",
        "Flat",
        "PCA4,IVF4,Flat",
        "RR8,HNSW4",
    ):
        factors[factory] = opened(corpus, tmp_path, factory)._factor
    assert factors == {
        "PQ2x4": 4, "IVF8,SQ8": 4, "HNSW4_SQ8": 4, "HNSW4": 1, "IVF8,Flat": 1, "Flat": 1, "PCA4,IVF4,Flat": 4,
        "RR8,HNSW4": 1,
    }  # fmt: skip


def test_options_of_one_command(corpus, tmp_path, tiny_be, run):
    (tmp_path / "q.tsv").write_text("q1\twing flow\nq2\tboundary layer\n")
    mine = (
        "rd-mine",
        "q.tsv",
        "--corpus",
        "corpus.tsv",
        "--from",
        f"dense:{tiny_be}",
        "-n",
        "all",
        "--depth",
        20,
    )
    exact = run(*mine, "-f", "trec", check=True)
    for _ in range(2):
        found = run(
            *mine, "-f", "trec", "--index", "index", "--ann", "IVF4,Flat", "--ann-effort", 4, check=True
        )
        assert found.stdout == exact.stdout
        assert (
            "rd-mine: recall@100 of IVF4,Flat (nprobe=4, oversampling 1) against exact search: 1.000 "
            "(200 passages as queries)\n"
        ) in found.stderr
    half = run(*mine, "--index", "index", "--index-dtype", "fp16", check=True)
    assert len(half.stdout.splitlines()) == 2
    label = (
        "rd-label",
        "--teacher",
        f"be:{tiny_be}",
        "--corpus",
        "corpus.tsv",
        "--index",
        "index",
        "--quiet",
    )
    labelled = run(*label, "--index-dtype", "float16", stdin=half.stdout, check=True).stdout
    for one, other in zip(half.stdout.splitlines(), labelled.splitlines(), strict=True):
        scores = [[doc["score"] for doc in json.loads(line)["docs"]] for line in (one, other)]
        assert scores[0] == pytest.approx(scores[1], abs=1e-6)
    assert len(folders(tmp_path, "dense")) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--ann", "HNSW8"], "--ann needs --index"),
        (["--index-dtype", "float16"], "--index-dtype needs --index"),
        (["--index", "i", "--ann-effort", "3"], "--ann-effort needs --ann"),
        (["--index", "i", "--ann-oversample", "3"], "--ann-oversample needs --ann"),
        (["--index", "i", "--ann", "HNSW8", "--from", "bm25"],
         "--ann does nothing here: no source is dense:MODEL or graph:dense:MODEL"),
        (["--index", "i", "--index-dtype", "float16", "--from", "sparse:m"],
         "--index-dtype does nothing here: no source is dense:MODEL or graph:dense:MODEL"),
        (["--index", "i", "--index-dtype", "int8", "--from", "dense:m"],
         "unknown dtype 'int8' (choose from float32, fp32, float16, fp16)"),
        (["--index", "i", "--ann", "HNSW", "--from", "dense:m"],
         "--ann HNSW: not an index that fits (such as HNSW32, IVF4096,Flat or IVF4096,PQ64)"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit_are_one_line(run, corpus, tmp_path, words, message):
    done = run("rd-mine", "q.tsv", "--corpus", "corpus.tsv", *words)
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, f"rd-mine: {message}")


def test_a_teacher_has_another_key_with_rounded_embeddings(corpus, tmp_path, monkeypatch):
    toy(monkeypatch)
    keys = [
        opened_teacher(
            "be:toy", teacher_resources(corpus, index=str(tmp_path / "index"), index_dtype=dtype)
        ).key
        for dtype in ("float32", "float16")
    ]
    assert keys[1] == f"{keys[0]} float16"
