"fastembed behind FastAPI with OpenAI's embeddings schema, to compare with: MODEL is a folder with tokenizer files and onnx/model.onnx (token vectors), which `bench_serve.for_others` writes."
import os

from fastapi import FastAPI
from fastembed import TextEmbedding
from fastembed.common.model_description import ModelSource, PoolingType
from pydantic import BaseModel

PATH, DIM = os.environ["MODEL"], int(os.environ["DIM"])
TextEmbedding.add_custom_model(model="bench/model", pooling=PoolingType.MEAN, normalization=True, sources=ModelSource(hf="bench/model"), dim=DIM, model_file="onnx/model.onnx")
model = TextEmbedding("bench/model", specific_model_path=PATH, threads=1, providers=["CPUExecutionProvider"])
app = FastAPI()


class Texts(BaseModel):
    input: list[str]


@app.post("/v1/embeddings")
def embeddings(body: Texts):
    return {"object": "list", "data": [{"object": "embedding", "index": i, "embedding": v.tolist()} for i, v in enumerate(model.embed(body.input))]}
