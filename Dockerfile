# klue_sts as a server: no torch, not root, nothing written to the file system.
#   docker build -t klue_sts . && docker compose up
FROM python:3.11-slim AS build
WORKDIR /src
COPY settings.ini setup.py pyproject.toml constraints.txt README.md ./
COPY klue_sts klue_sts
COPY data/sample data/sample
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir -c constraints.txt ".[serve]"

FROM python:3.11-slim
COPY --from=build /venv /venv
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin klue
USER 10001
ENV PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=2s --start-period=10s CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/ready', timeout=1)"]
CMD ["uvicorn", "klue_sts.serve:app", "--host", "0.0.0.0", "--port", "8000", "--no-server-header"]
