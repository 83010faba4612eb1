"A server on this machine that speaks as much of W&B's protocol as sweeps, agents and `wandb sync` use."
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class WandbServer:
    "Hands out `plan` (one dict of settings per run) and stops a run once `stop(run)` says so."

    def __init__(self, plan=(), stop=lambda run: False):
        self.plan, self.stop = list(plan), stop
        self.sweeps, self.given, self.stopped, self.rows = [], [], set(), {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args): pass
            def do_GET(self): self._send(404, {})
            def do_PUT(self): self.rfile.read(int(self.headers.get("content-length", 0))); self._send(200, {})
            def do_POST(self):
                raw = self.rfile.read(int(self.headers.get("content-length", 0)))
                body = json.loads(raw) if raw[:1] == b"{" else {}
                self._send(200, {"data": outer.graphql(body)} if self.path == "/graphql" else outer.stream(self.path, body))
            def _send(self, status, answer):
                out = json.dumps(answer).encode()
                self.send_response(status); self.send_header("content-type", "application/json"); self.send_header("content-length", str(len(out))); self.end_headers(); self.wfile.write(out)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self): self.http.shutdown(); self.http.server_close()

    def graphql(self, body: dict) -> dict:
        "Answer one GraphQL request."
        query, given = body.get("query", ""), body.get("variables") or {}
        project = {"id": "p", "name": "klue_sts", "entity": {"id": "e", "name": "me"}}
        if "upsertSweep" in query: self.sweeps.append(given["config"]); return {"upsertSweep": {"sweep": {"name": "sweep1", "project": project}, "configValidationWarnings": []}}
        if "createAgent" in query: return {"createAgent": {"agent": {"id": "agent1"}}}
        if "agentHeartbeat" in query: return {"agentHeartbeat": {"agent": {"id": "agent1"}, "commands": json.dumps(self._commands(json.loads(given["runState"])))}}
        if "upsertBucket" in query:
            return {"upsertBucket": {"bucket": {"id": given.get("name"), "name": given.get("name"), "displayName": given.get("displayName") or given.get("name"), "description": "", "config": given.get("config") or "{}", "sweepName": given.get("sweep"), "historyLineCount": 0,
                                                "project": project}, "inserted": True}}
        if "createRunFiles" in query: return {"createRunFiles": {"runID": "r", "uploadHeaders": [], "files": [{"name": f, "uploadUrl": f"{self.url}/upload"} for f in given.get("files", [])]}}
        viewer = {"id": "u", "entity": "me", "username": "me", "name": "me", "email": "me@example.org", "flags": "{}", "admin": False, "teams": {"edges": []}, "apiKeys": {"edges": []}}
        answers = {"viewer": viewer, "serverInfo": {"cliVersionInfo": {"max_cli_version": "99.0.0"}, "latestLocalVersionInfo": None, "features": []}, "model": None, "project": None}
        return {k: v for k, v in answers.items() if re.search(rf"\b{k}\b", query)}

    def _commands(self, alive: dict) -> list:
        "The next order for the agent: stop a run, or start the next one when none is alive."
        for run in alive:
            if run not in self.stopped and self.stop(run): self.stopped.add(run); return [{"type": "stop", "run_id": run}]
        if alive or len(self.given) == len(self.plan): return []
        run = f"run{len(self.given)}"
        self.given.append(run)
        return [{"type": "run", "run_id": run, "args": {k: {"value": v} for k, v in self.plan[len(self.given) - 1].items()}}]

    def stream(self, path: str, body: dict) -> dict:
        "Take the history rows of a run."
        rows = body.get("files", {}).get("wandb-history.jsonl", {}).get("content", [])
        if rows: self.rows.setdefault(path.split("/")[-2], []).extend(json.loads(r) for r in rows)
        return {"limits": {}}
