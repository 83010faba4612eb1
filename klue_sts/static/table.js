// Pairs in (pasted lines, CSV, TSV, JSON) and results out (CSV). Nothing here touches the page.
import { Trouble } from "./api.js";

const FIRST = new Set(["sentence1", "sentence_1", "문장1"]);
const SECOND = new Set(["sentence2", "sentence_2", "문장2"]);
const ID = new Set(["id", "guid", "idx", "번호"]);

/** Text of a file: UTF-8, UTF-16 with a mark, or the Korean code page that Excel writes. */
export function decode(bytes) {
  const head = new Uint8Array(bytes).subarray(0, 2);
  const wide = head[0] === 0xff && head[1] === 0xfe ? "utf-16le" : head[0] === 0xfe && head[1] === 0xff ? "utf-16be" : null;
  for (const code of wide ? [wide] : ["utf-8", "euc-kr"]) {
    try { return new TextDecoder(code, { fatal: true }).decode(bytes); } catch { /* the next one */ }
  }
  throw new Trouble("글자를 알아볼 수 없는 파일입니다. UTF-8로 저장해 다시 골라 주십시오.");
}

/** Cells of delimited text (RFC 4180), each record with the line it starts on; blank lines are not records. */
export function records(text, delimiter) {
  const d = delimiter === "\t" ? "\\t" : delimiter;
  const cell = new RegExp(`"((?:[^"]|"")*)"(?=${d}|\\r?\\n|\\r|$)|([^${d}\\r\\n]*)`, "y");
  const found = [];
  let line = 1, cells = [], start = 1;
  for (let at = 0; at <= text.length; ) {
    cell.lastIndex = at;
    const match = cell.exec(text);
    cells.push(match[1] !== undefined ? match[1].replaceAll('""', '"') : match[2]);
    line += (match[0].match(/\r\n|\r|\n/g) ?? []).length;
    at = cell.lastIndex;
    if (text[at] === delimiter) { at += 1; continue; }
    if (cells.length > 1 || cells[0].trim()) found.push({ line: start, cells });
    at += text.startsWith("\r\n", at) ? 2 : 1;
    cells = [];
    start = line += 1;
  }
  return found;
}

/** Pairs of delimited text; a row that cannot be read keeps its place and says why. */
export function readTable(text) {
  const body = text.replace(/^\ufeff/, "");
  const delimiter = (body.match(/[^\r\n]*\S[^\r\n]*/)?.[0] ?? "").includes("\t") ? "\t" : ",";
  const all = records(body, delimiter);
  const names = (all[0]?.cells ?? []).map((c) => c.trim().toLowerCase().replace(/\s/g, ""));
  const [first, second, id] = [FIRST, SECOND, ID].map((known) => names.findIndex((n) => known.has(n)));
  const headed = first >= 0 && second >= 0;
  const most = headed ? names.length : 2;
  return all.slice(headed ? 1 : 0).map(({ line, cells }) => {
    const row = { line, sentence1: cells[headed ? first : 0] ?? "", sentence2: cells[headed ? second : 1] ?? "" };
    if (headed && id >= 0) row.id = cells[id];
    if (!headed && cells.length < 2) row.error = "문장이 하나뿐입니다. 두 문장 사이에 탭이나 쉼표를 넣어 주십시오.";
    if (cells.length > most) row.error = `칸이 ${cells.length}개입니다. 문장 안의 쉼표라면 그 문장을 큰따옴표로 감싸 주십시오. ${headed ? `첫 줄에는 칸이 ${most}개입니다.` : "열이 여럿인 표라면 첫 줄에 sentence1, sentence2라고 적어 주십시오."}`;
    if (cells.length > most) Object.assign(row, { sentence1: cells.join(delimiter), sentence2: "" });
    return row;
  });
}

function jsonValues(text) {
  try { return JSON.parse(text); } catch (whole) {
    const lines = text.split(/\r\n|\r|\n/).filter((l) => l.trim());
    try { JSON.parse(lines[0] ?? ""); } catch { throw new Trouble("JSON으로 읽을 수 없는 파일입니다. 따옴표와 쉼표, 괄호를 확인해 주십시오.", { original: whole.message }); }
    return lines.map((l) => { try { return JSON.parse(l); } catch { return null; } });
  }
}

/** One pair by itself, as in a JSON-lines file of one line. */
const alone = (value) => (Array.isArray(value) ? value.length === 2 && value.every((v) => typeof v === "string") : (value?.sentence1 ?? value?.sentence_1) !== undefined);

/** Pairs of a JSON or JSON-lines file: objects with sentence1 and sentence2, or two-item lists. */
export function readJson(text) {
  const value = jsonValues(text.replace(/^\ufeff/, ""));
  const list = [value?.results, value?.pairs, value?.data, alone(value) ? [value] : value].find(Array.isArray);
  if (!list) throw new Trouble('문장 쌍의 목록이 없는 파일입니다. [{"sentence1": "…", "sentence2": "…"}, …] 모양으로 적어 주십시오.');
  return list.map((item, i) => {
    const [a, b] = Array.isArray(item) ? item : [item?.sentence1 ?? item?.sentence_1, item?.sentence2 ?? item?.sentence_2];
    const row = { line: i + 1, sentence1: a, sentence2: b };
    const id = item?.id ?? item?.guid ?? item?.idx;
    if (id !== undefined) row.id = String(id);
    if (typeof a !== "string" || typeof b !== "string") Object.assign(row, { sentence1: String(a ?? ""), sentence2: String(b ?? ""), error: "sentence1과 sentence2가 모두 글이어야 합니다." });
    return row;
  });
}

/** Quoted CSV cell; text that a spreadsheet would run as a formula gets an apostrophe (OWASP, CSV injection). */
function quoted(value) {
  const text = typeof value === "string" ? value.replace(/^(?=[\s\ufeff]*[=+\-@|]|[\t\r\n])/, "'") : String(value ?? "");
  return `"${text.replaceAll('"', '""')}"`;
}

/** Results as CSV with a byte-order mark, so that Excel reads the Hangul. */
export function writeCsv(rows) {
  const columns = ["line", "id", "sentence1", "sentence2", "similarity", "score", "pred", "truncated", "error"];
  const lines = rows.map((row) => columns.map((c) => quoted(row[c])).join(","));
  return "\ufeff" + [columns.join(","), ...lines].join("\r\n") + "\r\n";
}
