// The page: tabs, one pair with its gauge and the words that carry the match, examples, and what model this is.
import { Trouble, length, limits, number, post, remedy, setKey, showTrouble, tooLong } from "./api.js";
import { setUpBatch } from "./batch.js";

const $ = (id) => document.getElementById(id);

// Our own sentences; `same` is how a person reads the pair.
const EXAMPLES = [
  { title: "말만 바꾼 같은 뜻", same: true, pair: ["회의는 오후 세 시에 시작합니다.", "오후 3시부터 회의가 있습니다."] },
  { title: "주제가 다른 두 문장", same: false, pair: ["음식이 정말 맛있었어요.", "다음 회의 일정을 알려 주세요."] },
  { title: "겹치는 말이 없는 같은 뜻", same: true, hard: true, pair: ["이 근처에 주차할 곳이 있나요?", "차를 세울 만한 데가 가까이에 있을까요?"] },
  { title: "부정 하나 차이", same: false, hard: true, pair: ["이 방은 반려동물과 함께 지낼 수 있습니다.", "이 방은 반려동물과 함께 지낼 수 없습니다."] },
  { title: "숫자 하나 차이", same: false, hard: true, pair: ["역에서 숙소까지 걸어서 5분 거리예요.", "역에서 숙소까지 걸어서 50분 거리예요."] },
  { title: "시키는 말과 묻는 말", same: false, hard: true, pair: ["에어컨을 켜 줘.", "에어컨이 켜져 있니?"] },
];

// KLUE's scale in our words, for similarity rounded to a whole number.
const NUANCE = ["겹치는 내용이 없다고 보았습니다.", "다루는 주제만 비슷하다고 보았습니다.", "핵심은 다르고 일부 내용만 겹친다고 보았습니다.",
  "핵심은 비슷하지만 지나치기 어려운 차이가 있다고 보았습니다.", "핵심이 같고 사소한 점만 다르다고 보았습니다.", "핵심도 사소한 점도 모두 같다고 보았습니다."];

const answer = (same) => (same ? "같은 뜻" : "다른 뜻");

// --- one pair
let asked = null, example = null;

function mark(field, message) {
  $(`${field}-error`).textContent = message;
  if (message) $(field).setAttribute("aria-invalid", "true");
  else $(field).removeAttribute("aria-invalid");
}

function check() {
  let first = null;
  for (const field of ["s1", "s2"]) {
    const text = $(field).value, n = length(text);
    const message = !text.trim() ? "비어 있습니다. 문장을 적어 주십시오." : n > limits.max_chars ? tooLong(n, limits.max_chars) : "";
    mark(field, message);
    if (message) first ??= field;
  }
  if (first) $(first).focus();
  return !first;
}

function count(field) {
  const n = length($(field).value);
  $(`${field}-count`).textContent = n ? `${number(n)} / ${number(limits.max_chars)}자` : "";
}

/** Errors about a sentence go beside it; the rest into the alert. */
function complain(error) {
  const rest = error.fields.filter(({ field, detail }) => {
    const side = /sentence([12])$/.exec(field)?.[1];
    if (side) mark(`s${side}`, remedy(detail));
    return !side;
  });
  const invalid = document.querySelector("#pair [aria-invalid]");
  if (invalid && !rest.length) { invalid.focus(); return; }
  showTrouble($("pair-alert"), error);
}

function showScore(found) {
  const { similarity, score, pred, truncated } = found;
  const shown = similarity.toFixed(1);
  const verdict = pred ? "네, 같은 뜻으로 봅니다." : "아니요, 다른 뜻으로 봅니다.";
  $("result").hidden = false;
  $("result").dataset.pred = pred;
  $("gauge").style.setProperty("--value", similarity);
  $("gauge").setAttribute("aria-valuenow", shown);
  $("gauge").setAttribute("aria-valuetext", `5점 만점에 ${shown}점, ${answer(pred)}`);
  $("similarity").textContent = shown;
  $("verdict").textContent = verdict;
  $("nuance").textContent = NUANCE[Math.round(similarity)];
  $("cosine").textContent = score.toFixed(3);
  $("cut").hidden = !truncated;
  $("human").hidden = !example;
  if (example) {
    const right = example.same === Boolean(pred);
    $("human").dataset.right = right;
    $("human").textContent = `사람이 읽으면 ‘${answer(example.same)}’입니다. ${right ? "모델도 그렇게 보았습니다." : "모델이 틀렸습니다."}`;
  }
  $("pair-status").textContent = `5점 만점에 ${shown}점. ${verdict} ${$("nuance").textContent} ${example ? $("human").textContent : ""}`;
}

/** Underline levels 0-4 by share of the heaviest word; a pair without any heavy word gets none. */
function level(weight, most) {
  if (most < 0.01) return 0;
  return [0.1, 0.3, 0.55, 0.8].filter((step) => Math.abs(weight) / most >= step).length;
}

/** The sentence as it was sent, words marked; offsets count code points, as Python does. */
function showWords(target, sentence, words, most) {
  const letters = [...sentence], parts = [];
  let at = 0;
  for (const { start, end, weight } of words) {
    parts.push(letters.slice(at, start).join(""));
    const word = document.createElement("mark");
    word.textContent = letters.slice(start, end).join("");
    word.dataset.level = level(weight, most);
    if (weight < 0) word.dataset.sign = "-";
    parts.push(word);
    at = end;
  }
  target.replaceChildren(...parts, letters.slice(at).join(""));
}

function showWhy(found, sentences) {
  const sides = [found.words1, found.words2];
  const all = sides.flatMap((words, i) => words.map((w) => ({ ...w, side: i + 1 })));
  const most = Math.max(...all.map((w) => Math.abs(w.weight)));
  sides.forEach((words, i) => showWords($(`marked${i + 1}`), sentences[i], words, most));
  $("threshold").textContent = found.threshold.toFixed(3);
  const say = (side, sign) => all.filter((w) => w.side === side && Math.sign(w.weight) === sign && level(w.weight, most) >= 3).sort((a, b) => sign * (b.weight - a.weight)).slice(0, 3).map((w) => `‘${w.text.replace(/[.,?!]+$/, "")}’`).join("·");
  const sentence = (sign, head) => {
    const said = [1, 2].map((side) => [side, say(side, sign)]).filter(([, text]) => text);
    return said.length ? `${head}: ${said.map(([side, text]) => `문장 ${side}의 ${text}`).join(", ")}.` : "";
  };
  $("why-text").textContent = [sentence(1, "가장 많이 이어 주는 말"), sentence(-1, "오히려 떼어 놓는 말")].filter(Boolean).join(" ") || "두드러지게 이어 주는 말이 없습니다.";
  $("weights").tBodies[0].replaceChildren(...all.map((w) => {
    const row = document.createElement("tr");
    for (const [tag, text, kind] of [["td", w.side], ["th", w.text], ["td", w.weight.toFixed(3), "num"]]) {
      const cell = row.appendChild(document.createElement(tag));
      cell.textContent = text;
      if (tag === "th") cell.scope = "row";
      if (kind) cell.className = kind;
    }
    return row;
  }));
  $("why").hidden = false;
}

async function compare() {
  if (!check()) return;
  asked?.abort();
  const mine = asked = new AbortController();
  const [sentence1, sentence2] = [$("s1").value, $("s2").value];
  for (const id of ["pair-alert", "why-alert"]) $(id).hidden = true;
  $("result").setAttribute("aria-busy", "true");
  $("pair-status").textContent = "견주고 있습니다.";
  try {
    const { results: [result] } = await post("/score", { pairs: [{ sentence1, sentence2 }] }, mine.signal);
    if (result.error) throw new Trouble("보낸 문장을 읽지 못했습니다.", { fields: [result.error] });
    $("why").hidden = true;
    showScore(result);
    $("result").scrollIntoView({ block: "nearest" });
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof Trouble)) throw error;
    $("result").hidden = true;
    $("pair-status").textContent = "";
    complain(error);
    return;
  } finally {
    if (mine === asked) $("result").removeAttribute("aria-busy");
  }
  try { showWhy(await post("/explain", { sentence1, sentence2 }, mine.signal), [sentence1, sentence2]); } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof Trouble)) throw error;
    showTrouble($("why-alert"), new Trouble(`어느 말이 이어 주는지는 재지 못했습니다. ${error.message}`, error));
  }
}

function setUpPair() {
  $("pair").addEventListener("submit", (event) => { event.preventDefault(); compare(); });
  for (const field of ["s1", "s2"]) {
    $(field).addEventListener("input", () => { example = null; mark(field, ""); count(field); });
    $(field).addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.isComposing) { event.preventDefault(); $("pair").requestSubmit(); }
    });
  }
  if (/Mac|iPhone|iPad/.test(navigator.platform)) $("keys").querySelector("kbd").textContent = "⌘";
}

function setUpExamples() {
  $("examples").append(...EXAMPLES.map((it) => {
    const item = document.createElement("li");
    const button = item.appendChild(document.createElement("button"));
    button.type = "button";
    const head = button.appendChild(document.createElement("span"));
    head.appendChild(document.createElement("strong")).textContent = it.title;
    if (it.hard) Object.assign(head.appendChild(document.createElement("span")), { className: "hard", textContent: "까다로움" });
    for (const text of it.pair) Object.assign(button.appendChild(document.createElement("span")), { className: "line", textContent: text });
    button.addEventListener("click", () => {
      [$("s1").value, $("s2").value] = it.pair;
      ["s1", "s2"].forEach(count);
      example = it;
      compare();
    });
    return item;
  }));
}

// --- tabs (WAI-ARIA APG: automatic activation)
function setUpTabs() {
  const tabs = [$("tab-pair"), $("tab-batch")];
  const choose = (chosen) => {
    for (const tab of tabs) {
      tab.setAttribute("aria-selected", tab === chosen);
      tab.tabIndex = tab === chosen ? 0 : -1;
      $(tab.getAttribute("aria-controls")).hidden = tab !== chosen;
    }
  };
  tabs.forEach((tab, i) => {
    tab.addEventListener("click", () => choose(tab));
    tab.addEventListener("keydown", (event) => {
      const to = { ArrowRight: i + 1, ArrowLeft: i - 1, Home: 0, End: -1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      const next = tabs.at(to % tabs.length);
      choose(next);
      next.focus();
    });
  });
}

// --- what model this is
function figures(metrics) {
  return Object.entries(metrics ?? {}).flatMap(([data, { n, figures: list }]) => {
    const found = Array.isArray(list) ? list.find((f) => f.metric === "pearson") : null;
    return found ? [`${data} ${number(n)}쌍에서 피어슨 상관 ${found.value.toFixed(3)}`] : [];
  });
}

async function showInfo() {
  try {
    const response = await fetch("/info");
    if (!response.ok) throw new Error(response.status);
    const info = await response.json();
    Object.assign(limits, info.limits);
    $("threshold").textContent = info.threshold.toFixed(3);
    $("info").textContent = [`모델 ${info.name}`, `${info.precision}`, `klue_sts ${info.version}`, `한 문장 ${number(limits.max_chars)}자까지`, ...figures(info.metrics)].join(" · ");
  } catch {
    $("info").textContent = "모델 정보를 읽지 못했습니다.";
  }
}

$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  try { setKey($("key").value); } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    mark("key", error.message);
    $("key").focus();
    return;
  }
  mark("key", "");
  $("key").value = "";
  $("key-form").hidden = true;
  $("pair-alert").hidden = $("batch-alert").hidden = true;
  $($("panel-pair").hidden ? "batch-go" : "go").focus();
});
setUpTabs();
setUpPair();
setUpExamples();
setUpBatch();
showInfo();
