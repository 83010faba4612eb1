"Property tests of the whole API from its own OpenAPI schema: no 5xx, every answer as documented."
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, settings

schemathesis = pytest.importorskip("schemathesis")
from klue_sts.serve import create_app  # noqa: E402

app = create_app(max_rows=50, max_body_bytes=200_000, max_wait=30, busy_wait=30)
schema = schemathesis.openapi.from_asgi("/openapi.json", app)


@pytest.fixture(scope="module", autouse=True)
def running():
    with TestClient(app) as client:
        yield client


@schema.parametrize()
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_api(case):
    response = case.call()
    assert response.status_code < 500, response.text
    case.validate_response(response, excluded_checks=EXCLUDED)


def _checks():
    from schemathesis.specs.openapi import checks
    names = ("positive_data_acceptance", "negative_data_rejection", "unsupported_method", "missing_required_header")
    return [getattr(checks, n) for n in names if hasattr(checks, n)]


EXCLUDED = _checks()  # texts of blanks or emoji fit the schema and are refused all the same; unknown fields are ignored
