"The usual ways of serving a sentence-transformers model, to compare with: FastAPI + torch (MODE=plain), or the model loaded on every call (MODE=per_call), as the former project did by its description."
import os
import time

from fastapi import FastAPI
from pydantic import BaseModel

from klue_sts.train import build_model

PATH, MODE = os.environ["MODEL"], os.environ.get("MODE", "plain")
app = FastAPI()


class Row(BaseModel):
    sentence1: str
    sentence2: str


class Rows(BaseModel):
    pairs: list[Row]


def load():
    return build_model(PATH, device="cpu")  # SentenceTransformer, and the mini's second branch


model = load() if MODE == "plain" else None


def scores(m, rows):
    v = m.encode([t for r in rows for t in (r.sentence1, r.sentence2)], normalize_embeddings=True, show_progress_bar=False)
    return [{"score": float(a @ b)} for a, b in zip(v[::2], v[1::2])]


if MODE == "plain":
    @app.post("/score")
    def score(body: Rows):
        start = time.perf_counter()
        return {"results": scores(model, body.pairs), "runtime": time.perf_counter() - start}
else:
    @app.post("/score")
    async def score(body: Rows):
        start = time.perf_counter()
        return {"results": [r for row in body.pairs for r in scores(load(), [row])], "runtime": time.perf_counter() - start}


@app.get("/ready")
def ready():
    return {}
