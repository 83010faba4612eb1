// Talking to the server: one POST helper, and its errors in Korean with the remedy.

/** What a person can be told: `message` in Korean, `original` the server's own words, `fields` what is wrong where. */
export class Trouble extends Error {
  constructor(message, { status = 0, original = "", fields = [], wait = 0 } = {}) {
    super(message);
    Object.assign(this, { status, original, fields, wait });
  }
}

export const limits = { max_chars: 2000, max_rows: 10000 };

const REMEDIES = [
  [/is missing/, () => "문장이 빠졌습니다. 문장을 적어 주십시오."],
  [/is empty/, () => "비어 있습니다. 문장을 적어 주십시오."],
  [/nothing left after cleaning/, () => "기호나 이모지뿐이라 견줄 수 없습니다. 글자를 적어 주십시오."],
  [/has (\d+) characters, at most (\d+)/, (m) => tooLong(+m[1], +m[2])],
  [/surrogate/, () => "깨진 글자가 있습니다. 지우고 다시 적어 주십시오."],
  [/must be text/, () => "글이 아닙니다. 문장을 적어 주십시오."],
];

export const number = (n) => n.toLocaleString("ko-KR");
export const length = (text) => [...text].length; // characters as the server counts them
export const tooLong = (n, most) => `${number(n)}자입니다. ${number(most)}자까지 되니 문장을 나누어 주십시오.`;

/** The server's finding about one field, in Korean where we know it. */
export function remedy(detail) {
  for (const [pattern, say] of REMEDIES) {
    const match = pattern.exec(detail);
    if (match) return say(match);
  }
  return detail;
}

function headline(status, wait) {
  if (status === 401 || status === 403) return "접속 키가 없거나 맞지 않습니다. 키를 적어 주십시오.";
  if (status === 413) return "한 번에 보낸 양이 너무 많습니다. 나누어 보내 주십시오.";
  if (status === 422 || status === 400) return "보낸 문장을 읽지 못했습니다.";
  if (status === 429) return `요청이 몰려 있습니다. ${wait}초 뒤에 다시 해 주십시오.`;
  if (status === 503) return "모델이 아직 준비되지 않았습니다. 잠시 뒤에 다시 해 주십시오.";
  if (status === 504 || status === 408) return "시간 안에 답을 내지 못했습니다. 다시 해 주십시오.";
  return "서버에 문제가 생겼습니다. 다시 해 보고, 그래도 안 되면 관리자에게 알려 주십시오.";
}

/** RFC 9457 problem+json, or whatever else came back, as a Trouble. */
async function trouble(response) {
  let problem = {};
  try { problem = await response.json(); } catch { /* no JSON: the status says enough */ }
  const fields = Array.isArray(problem.errors) ? problem.errors : [];
  const wait = Math.max(1, Math.ceil(Number(response.headers.get("Retry-After")) || 1));
  const original = typeof problem.detail === "string" ? problem.detail : "";
  return new Trouble(headline(response.status, wait), { status: response.status, original, fields, wait });
}

const stored = "klue_sts.key";
const PLAIN = /^[\x20-\x7e]+$/; // what a key is made of: fetch throws on a header with other characters
let key = sessionStorage.getItem(stored) ?? "";
if (!PLAIN.test(key)) key = "";

/** Keep the key for this tab; throws Trouble where it cannot be one. */
export function setKey(value) {
  const plain = value.trim();
  if (!PLAIN.test(plain)) throw new Trouble("접속 키에는 영문자와 숫자, 기호만 들어갑니다. 한글이 섞이지 않았는지 확인하고 다시 적어 주십시오.");
  key = plain;
  sessionStorage.setItem(stored, plain);
}

/** POST JSON, get JSON; throws Trouble (or AbortError). */
export async function post(path, body, signal) {
  const headers = { "Content-Type": "application/json", ...(key && { Authorization: `Bearer ${key}` }) };
  let response;
  try {
    response = await fetch(path, { method: "POST", headers, body: JSON.stringify(body), signal });
    if (response.ok) return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Trouble("서버에 닿지 못했습니다. 서버가 켜져 있는지 확인하고 다시 해 주십시오.");
  }
  const found = await trouble(response);
  if (found.status === 401 || found.status === 403) askForKey();
  throw found;
}

function askForKey() {
  const form = document.getElementById("key-form");
  form.hidden = false;
  form.querySelector("input").focus();
}

/** Put a Trouble into an alert box: ours first, then the server's words. */
export function showTrouble(box, error) {
  box.textContent = error.message;
  const details = error.fields?.map((e) => remedy(e.detail)) ?? [];
  for (const text of new Set(details.length ? details : error.original ? [error.original] : [])) {
    const line = document.createElement("span");
    line.className = "original";
    line.textContent = text;
    if (!/[가-힣]/.test(text)) line.lang = "en";
    box.append(line);
  }
  box.hidden = false;
}
