"Explanations over many sentences: spans, limits, agreement with the score, and no torch."
import subprocess
import sys
import unicodedata

import numpy as np
import pytest

from klue_sts.data import load_sample
from klue_sts.explain import MAX_PARTS, explain, leave_out, split_words
from klue_sts.infer import MAX_CHARS, Scorer, get_scorer

ODD = ["창문", " 창문을\u3000닫아\n줘. ", "😀 창문을 닫아 줘 👨‍👩‍👧", "ㅋㅋㅋ Wi-Fi가 안 터져요ㅠㅠ", unicodedata.normalize("NFD", "와이파이 연결이 안 됩니다."), "大韓民國 최고 !!", "\u200f오른쪽\u202e 글 abc", "가\x00나 다", "같은 말 같은 말 같은 말"]


@pytest.fixture(scope="module")
def pairs():
    df = load_sample("dev").head(40)
    return [*zip(df["sentence1"], df["sentence2"]), *zip(ODD, ODD[1:] + ODD[:1])]


def test_spans_cover_every_character_that_is_no_blank(pairs):
    for text in {t for pair in pairs for t in pair}:
        spans = split_words(text)
        assert all(a < b for a, b in spans) and all(b <= c for (_, b), (c, _) in zip(spans, spans[1:]))
        assert "".join(text[a:b] for a, b in spans) == "".join(text.split())


def test_score_is_that_of_predict_and_sides_swap(pairs):
    scorer = get_scorer()
    for a, b in pairs:
        there, back, want = explain(scorer, a, b), explain(scorer, b, a), scorer.predict(a, b)
        assert (there.score, there.pred) == (pytest.approx(want.score, abs=1e-6), want.pred) and there.similarity == pytest.approx(want.similarity, abs=1e-4)
        for mine, theirs in ((there.words1, back.words2), (there.words2, back.words1)):
            assert [(w.text, w.start, w.end) for w in mine] == [(w.text, w.start, w.end) for w in theirs]
            assert [w.weight for w in mine] == pytest.approx([w.weight for w in theirs], abs=1e-5)


def test_a_weight_is_the_drop_when_its_word_is_left_out(pairs):
    scorer = get_scorer()
    for a, b in pairs[:10]:
        found = explain(scorer, a, b)
        for w in found.words1:
            rest = leave_out(a, w.start, w.end)
            want = found.score - (scorer.score([rest], [b])[0] if not scorer.problem(rest) else 0)
            assert w.weight == pytest.approx(want, abs=1e-5)


def test_identical_sentences_weigh_alike():
    found = explain(get_scorer(), ODD[1], ODD[1])
    assert found.score == pytest.approx(1, abs=1e-4) and [w.weight for w in found.words1] == pytest.approx([w.weight for w in found.words2], abs=1e-6)


class Counting:
    "A scorer that counts what it is asked."

    def __init__(self): self.inner, self.info, self.texts, self.calls = get_scorer(), get_scorer().info, 0, 0
    def problem(self, *a): return self.inner.problem(*a)
    def score(self, *a): raise AssertionError("everything goes through one call of encode")
    def encode(self, texts):
        self.calls, self.texts = self.calls + 1, self.texts + len(texts)
        return self.inner.encode(texts)


def test_cost_has_an_end_whatever_is_sent():
    counting = Counting()
    words = ["가", "나", "다라", "마바사"] * MAX_CHARS
    a, b = " ".join(words)[:MAX_CHARS].strip(), " ".join(words[1:])[:MAX_CHARS].strip()
    found = explain(counting, a, b)
    assert counting.calls == 1 and counting.texts <= 2 * MAX_PARTS + 2
    assert len(found.words1) == len(found.words2) == MAX_PARTS and found.words1[0].start == 0 and found.words1[-1].end == len(a)
    assert all(np.isfinite(w.weight) for w in found.words1 + found.words2)


@pytest.mark.parametrize("pair, said", [(("", "가"), "sentence1 is empty"), (("가", "😀"), "sentence2 has nothing left"), (("가", None), "sentence2 must be text"), (("가" * (MAX_CHARS + 1), "가"), "sentence1 has 2001 characters"), (("\ud800", ""), "sentence1 holds a lone surrogate.*sentence2 is empty")])
def test_bad_sentences_are_named(pair, said):
    with pytest.raises(ValueError, match=said): explain(get_scorer(), *pair)


def test_plain_values_for_json():
    import json
    found = explain(Scorer(), "창문을 닫아 줘.", "창문 좀 닫아 줘.").to_dict()
    assert json.loads(json.dumps(found)) == found and list(found) == ["score", "similarity", "pred", "threshold", "words1", "words2"] and list(found["words1"][0]) == ["text", "start", "end", "weight"]


def test_import_is_light():
    code = "import sys, klue_sts.explain; print([m for m in ('torch', 'pandas', 'scipy', 'onnxruntime', 'tokenizers', 'matplotlib') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
