// Many pairs: read, score in chunks that fit the server, show row by row, save as CSV.
import { Trouble, length, limits, number, post, remedy, showTrouble, tooLong } from "./api.js";
import { decode, readJson, readTable, writeCsv } from "./table.js";

const $ = (id) => document.getElementById(id);
const PAGE = 200; // rows shown at once; the CSV holds them all
const WAITS = 5; // times to wait for a busy server before giving up
let rows = [], running = null, name = "klue_sts";

const SAMPLE = [
  "회의는 오후 세 시에 시작합니다.\t오후 3시부터 회의가 있습니다.",
  "이 근처에 주차할 곳이 있나요?\t차를 세울 만한 데가 가까이에 있을까요?",
  "에어컨을 켜 줘.\t내일 아침에 비가 오니?",
  "문장이 하나뿐인 줄",
  "주말에 비가 올까요?\t주말에 비 소식이 있나요?",
].join("\n");

function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  for (const [k, v] of Object.entries(attributes)) made.setAttribute(k, v);
  return made;
}

/** One table row; drawn again when its result comes. */
function draw(row) {
  const line = element("tr");
  const pair = element("td", undefined, { lang: "ko" });
  pair.append(element("p", row.sentence1), element("p", row.sentence2));
  line.append(element("th", String(row.line), { scope: "row", class: "num" }), pair);
  if (row.error) {
    pair.append(element("p", row.error, { class: "error" }));
    const said = element("td");
    said.append(element("span", "고칠 줄", { class: "badge todo" }));
    line.append(element("td", "–", { class: "num" }), said);
  } else if (row.similarity === undefined) line.append(element("td", "…", { class: "num" }), element("td", ""));
  else {
    const said = element("td");
    said.append(element("span", row.pred ? "같은 뜻" : "다른 뜻", { class: "badge", "data-pred": row.pred }));
    if (row.truncated) said.append(element("p", "앞부분만 읽음", { class: "hint" }));
    line.append(element("td", row.similarity.toFixed(1), { class: "num" }), said);
  }
  row.shown?.replaceWith(line);
  row.shown = line;
  return line;
}

function showMore() {
  const body = $("rows").tBodies[0];
  const shown = body.rows.length;
  body.append(...rows.slice(shown, shown + PAGE).map(draw));
  const left = rows.length - body.rows.length;
  $("more").hidden = left <= 0;
  $("more").textContent = `${number(Math.min(left, PAGE))}줄 더 보기 (남은 줄 ${number(left)})`;
}

const pause = (seconds, signal) => new Promise((resolve, reject) => {
  const timer = setTimeout(resolve, 1000 * seconds);
  signal.addEventListener("abort", () => { clearTimeout(timer); reject(new DOMException("stopped", "AbortError")); }, { once: true });
});

/** Score one chunk; a busy server is asked again when it says so. */
async function ask(chunk, signal) {
  const pairs = chunk.map(({ sentence1, sentence2 }) => ({ sentence1, sentence2 }));
  for (let tries = 0; ; tries += 1) {
    try {
      const { results } = await post("/score", { pairs }, signal);
      if (results?.length !== chunk.length) throw new Trouble("서버의 답이 보낸 줄과 맞지 않습니다. 다시 해 주십시오.");
      return results;
    } catch (error) {
      if (error.status !== 429 || tries >= WAITS) throw error;
      $("count").textContent = `서버가 붐빕니다. ${error.wait}초 뒤에 이어 갑니다.`;
      await pause(error.wait, signal);
    }
  }
}

function take(row, result) {
  if (result.error) row.error = `${{ sentence1: "문장 1: ", sentence2: "문장 2: " }[/sentence[12]$/.exec(result.error.field)?.[0]] ?? ""}${remedy(result.error.detail)}`;
  else Object.assign(row, { similarity: result.similarity, score: result.score, pred: result.pred, truncated: result.truncated });
  if (row.shown) draw(row);
}

async function scoreAll(todo, signal) {
  let size = 32;
  for (let at = 0; at < todo.length; ) {
    const chunk = todo.slice(at, at + Math.min(size, limits.max_rows));
    const began = performance.now();
    (await ask(chunk, signal)).forEach((result, i) => take(chunk[i], result));
    at += chunk.length;
    $("progress").value = at;
    $("count").textContent = `${number(at)} / ${number(todo.length)}줄`;
    if (performance.now() - began < 400) size = Math.min(2 * size, 512);
  }
}

function summary(stopped) {
  const done = rows.filter((r) => r.similarity !== undefined);
  const same = done.filter((r) => r.pred).length;
  const bad = rows.filter((r) => r.error).length;
  const left = rows.length - done.length - bad;
  return `${stopped ? "멈추었습니다. " : ""}${number(rows.length)}줄 가운데 ${number(done.length)}줄을 매겼습니다. 같은 뜻 ${number(same)}줄, 다른 뜻 ${number(done.length - same)}줄`
    + `${bad ? `, 고칠 줄 ${number(bad)}줄` : ""}${left ? `, 남은 줄 ${number(left)}줄` : ""}입니다.`;
}

function busy(on) {
  $("working").hidden = !on;
  $("save").hidden = on;
  $("batch-go").setAttribute("aria-disabled", on);
}

async function run(found, from) {
  running?.abort();
  const mine = running = new AbortController();
  [rows, name] = [found, from];
  for (const row of rows) {
    const long = [1, 2].find((k) => length(row[`sentence${k}`]) > limits.max_chars);
    if (long && !row.error) row.error = `문장 ${long}: ${tooLong(length(row[`sentence${long}`]), limits.max_chars)}`;
  }
  const todo = rows.filter((r) => !r.error);
  $("batch-alert").hidden = true;
  $("batch-result").hidden = false;
  $("rows").tBodies[0].replaceChildren();
  showMore();
  $("progress").max = Math.max(1, todo.length);
  $("progress").value = 0;
  $("count").textContent = "";
  $("batch-status").textContent = `${number(rows.length)}줄을 견주고 있습니다.`;
  busy(true);
  let stopped = false;
  try { await scoreAll(todo, mine.signal); } catch (error) {
    if (mine !== running) return; // a newer run took over
    stopped = true;
    if (error.name !== "AbortError") showTrouble($("batch-alert"), error);
  }
  if (mine !== running) return;
  busy(false);
  $("batch-status").textContent = summary(stopped);
}

function start(read, from) {
  try {
    const found = read();
    if (!found.length) throw new Trouble("견줄 줄이 없습니다. 한 줄에 한 쌍씩 적어 주십시오.");
    run(found, from);
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    showTrouble($("batch-alert"), error);
  }
}

async function open(file) {
  if (!file) return;
  const bytes = await file.arrayBuffer();
  const json = /\.jsonl?$/i.test(file.name) || file.type === "application/json";
  start(() => (json ? readJson : readTable)(decode(bytes)), file.name.replace(/\.[^.]*$/, ""));
}

function save() {
  const kept = rows.map((r) => (r.similarity === undefined && !r.error ? { ...r, error: "매기지 않음" } : r));
  const link = element("a", undefined, { download: `${name}.scored.csv` });
  link.href = URL.createObjectURL(new Blob([writeCsv(kept)], { type: "text/csv;charset=utf-8" }));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

export function setUpBatch() {
  $("batch").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!$("working").hidden) return;
    start(() => readTable($("lines").value), "klue_sts");
  });
  $("lines").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.isComposing) $("batch").requestSubmit();
  });
  $("batch-fill").addEventListener("click", () => { $("lines").value = SAMPLE; $("lines").focus(); });
  $("file").addEventListener("change", () => { open($("file").files[0]); $("file").value = ""; });
  $("cancel").addEventListener("click", () => { running?.abort(); $("batch-go").focus(); });
  $("save").addEventListener("click", save);
  $("more").addEventListener("click", showMore);
  for (const kind of ["dragover", "dragleave", "drop"]) {
    $("drop").addEventListener(kind, (event) => {
      event.preventDefault();
      $("drop").toggleAttribute("data-over", kind === "dragover");
      if (kind === "drop") open(event.dataTransfer.files[0]);
    });
  }
}
