"""Properties of korean EDA over made-up Korean of KLUE's length, and of the table it fills."""
import re
from collections import Counter
from functools import lru_cache

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from klue_sts.data import frame_from_records, load_sample
from klue_sts.eda import TECHNIQUES, Tools, alpha_table, augment_eda, augment_text, edit_budget
from klue_sts.lexicon import load_our_lexicon
from klue_sts.morph import analyze_text, guards

NOUNS = "숙소 방 거실 에어컨 조명 호스트 직원 위치 주변 식당 정부 지원금 기업 메일 일정 날씨 창문 세탁기".split()
JOSA = {"은": "는", "이": "가", "을": "를"}
PREDICATES = ["켜 줘.", "좋았어요!", "매우 깨끗합니다.", "너무 좁아서 불편했어요.", "추천하지 않습니다.", "안 켜져요.", "알려 줄래?", "늘어날 것으로 보인다.", "못 찾았어요.", "있나요?"]
EXTRAS = ["정말", "수건과 침대가", "깨끗하고 넓은 방에", "3월 15일에", "두 명이", "서울에서", "TV로", "깨끗하고 조용한", "그리고", "전혀", "10% 더", "우리", "친구와", "😀", "(KLUE)", "다시", "호스트의", "ㅋㅋ"]
TOOLS = Tools(load_our_lexicon())


def with_josa(noun, josa):
    "A noun with 은, 이 or 을, or the form after a vowel."
    return noun + (josa if (ord(noun[-1]) - 0xAC00) % 28 else JOSA[josa])


nouns = st.builds(with_josa, st.sampled_from(NOUNS), st.sampled_from(list(JOSA)))
places = st.sampled_from(["거실에서", "방에서", "숙소에", "스피커로", "주말에"])
clauses = st.builds(lambda *ws: " ".join(ws), st.one_of(st.sampled_from(EXTRAS), nouns), places, nouns, st.sampled_from(PREDICATES))
sentences = st.one_of(clauses, st.builds(lambda a, b: a.rstrip(".!?") + ", " + b, clauses, clauses),
                      st.sampled_from([t for split in ("train", "dev") for c in ("sentence1", "sentence2") for t in load_sample(split)[c]]))
anything = st.one_of(sentences, st.text(max_size=60), st.text("가나다 은는이가.!?ㅋ😀a1\n\t", max_size=80))


@lru_cache(2000)
def first(text, technique, alpha):
    return augment_text(text, technique, alpha, 2, tools=TOOLS, key=(0, text))


def free_words(text):
    "Words that protection does not name, for comparison as a bag."
    s = analyze_text(text)
    return Counter(w.text.strip(",") for w, g in zip(s.words, guards(s)) if g in ("number", "negation", "question", "name", "not hangul"))


@settings(max_examples=120, deadline=None)
@given(sentences, st.sampled_from(TECHNIQUES), st.sampled_from([0.1, 0.3]))
def test_protected_words_survive(text, technique, alpha):
    for v in first(text, technique, alpha):
        if not v.reason:
            assert free_words(text) <= Counter(w.strip(",") for w in v.text.split()), v.text
            if "않" in text or "못" in text or "안 " in text:
                assert [c for c in v.text if c in "않못"] == [c for c in text if c in "않못"]
            assert Counter(re.findall(r"\d+", v.text)) == Counter(re.findall(r"\d+", text))


@settings(max_examples=120, deadline=None)
@given(sentences, st.sampled_from(TECHNIQUES), st.sampled_from([0.1, 0.3]))
def test_at_most_n_edits_and_the_rest_untouched(text, technique, alpha):
    n, old = edit_budget(alpha, len(text.split())), text.split()
    for v in first(text, technique, alpha):
        if v.reason:
            assert v.text == "" and v.edits == 0
            continue
        new, kept = v.text.split(), Counter(old) & Counter(v.text.split())
        assert v.text.strip() and v.text != text
        assert 0 < v.drift <= 1
        if technique == "rs":
            rebuilt = Counter(old) - Counter(new)  # joined words trade stems under their josa; all else only moves
            assert len(new) == len(old) and new[-1] == old[-1] and sum(rebuilt.values()) <= 2 * n
            if rebuilt:
                at = [i for i, (x, y) in enumerate(zip(old, new)) if x != y]
                assert any(j == i + 1 and old[i][0] == new[j][0] and old[j][0] == new[i][0] for i, j in zip(at, at[1:]))
        elif technique == "rd":
            assert sum(kept.values()) == len(new) == len(old) - v.edits and v.edits <= n and new[-1] == old[-1]
        else:
            assert v.edits <= n and len(old) - sum(kept.values()) <= n
            if technique == "sr": assert len(new) == len(old)
            if technique == "aeda": assert v.text.replace(",", "") == text.replace(",", "")


@settings(max_examples=150, deadline=None)
@given(anything, st.sampled_from(TECHNIQUES), st.sampled_from(["korean", "paper"]))
def test_any_text_gives_a_variant_or_a_reason_and_the_same_one_again(text, technique, mode):
    once = augment_text(text, technique, n_variants=2, mode=mode, tools=TOOLS)
    assert len(once) == 2
    assert [(v.text, v.edits, v.reason) for v in once] == [(v.text, v.edits, v.reason) for v in augment_text(text, technique, n_variants=2, mode=mode, tools=TOOLS)]
    for v in once: assert (v.text == "") == (v.reason != "") and (v.reason or v.text != text)
    made = [v.text for v in once if not v.reason]
    assert len(made) == len(set(made))


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40))
def test_untouched_text_is_kept_byte_for_byte(text):
    s = analyze_text(text)
    assert "".join(g + w.text for g, w in zip(s.gaps, s.words)) + s.gaps[-1] == text


def test_no_row_is_lost_to_odd_sentences():
    odd = ["", "   ", "😀😀", "Only Latin here", "ㅋㅋㅋ ㅠㅠ", "가 " * 600, "숙소가 좋았어요 😀", "\ud800 숙소", "방이\u200b 좋다", "１２３ 숫자", "숙소가\n깨끗해요"]
    df = frame_from_records([dict(guid=f"o{i}", source="odd", sentence1=t, sentence2="거실에서 에어컨을 켜 줘.", labels={"real-label": 1.0}) for i, t in enumerate(odd)])
    out = augment_eda(df, techniques=TECHNIQUES, lexicon=TOOLS.lexicon)
    assert len(out) == len(odd) * 2 * len(TECHNIQUES) * 2
    assert set(out["reason"][(out["guid"] == "o0") & (out["side"] == 1)]) == {"empty"}
    assert (out["reason"][out["side"] == 2] == "").any()


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_drift_and_edits_grow_with_alpha(technique):
    texts = load_sample("train")["sentence1"].tolist()[:150]
    edits = [pd.Series([v.edits for t in texts for v in augment_text(t, technique, a, tools=TOOLS, key=(1, t)) if not v.reason]).mean() for a in (0.05, 0.5)]
    assert edits[0] <= edits[1] and alpha_table(0.5)[technique] == 0.5
    assert technique == "rs" or edits[0] < edits[1]
