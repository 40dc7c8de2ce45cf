"""Who is let in, and how much they may send."""

import asyncio
from base64 import b64encode
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from sdrt_server.app import create_app
from sdrt_server.http import gate
from sdrt_server.http.gate import LOCAL, Access
from sdrt_server.limits import Limits
from sdrt_server.service import Service

HERE = "http://localhost"
JOB = {"prompt": "x", "num_inference_steps": 1, "width": 64, "height": 64}


def client(service: Service, access: Access | None = None) -> TestClient:
    return TestClient(create_app(service, access), HERE)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("127.0.0.1:7860", 200),
        ("[::1]:80", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("", 421),
        ("[", 421),
    ],
)
def test_only_names_of_this_machine_are_answered(service: Service, host: str, status: int) -> None:
    answer = client(service).get("/v1/jobs", headers={"Host": host})
    assert answer.status_code == status


def test_other_names_are_allowed_one_by_one_or_all(service: Service) -> None:
    named = client(service, Access(hosts=(*LOCAL, "pictures.example")))
    assert named.get("/healthz", headers={"Host": "pictures.example"}).status_code == 200
    assert named.get("/healthz", headers={"Host": "other.example"}).status_code == 421
    everybody = client(service, Access(hosts=()))
    assert everybody.get("/healthz", headers={"Host": "other.example"}).status_code == 200


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 202),
        ("http://localhost", 202),
        ("http://evil.example", 403),
        ("null", 403),
        ("https://known.example", 202),
    ],
)
def test_pages_of_other_sites_may_not_make_pictures(
    service: Service, origin: str | None, status: int
) -> None:
    asking = client(service, Access(origins=("https://known.example",)))
    headers = {"Origin": origin} if origin else {}
    answer = asking.post("/v1/jobs", json=JOB, headers=headers)
    assert answer.status_code == status, answer.text
    is_told = answer.headers.get("access-control-allow-origin") == origin
    assert is_told == (origin == "https://known.example") or origin is None


def test_a_body_that_is_not_said_to_be_json_is_refused(service: Service) -> None:
    """As a form on a page of another site could send it."""
    for path in ("/v1/images/generations", "/sdapi/v1/txt2img"):
        answer = client(service).post(path, content=b'{"prompt": "x"}')
        assert answer.status_code in (400, 422)
        assert "Content-Type: application/json" in answer.text
    assert service.queue.jobs() == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Bearer second"}, 200),
        ({"Authorization": "bearer  first"}, 200),
        ({"X-API-Key": "first"}, 200),
        ({"Authorization": "Basic " + b64encode(b"user:first").decode()}, 200),
        ({"Authorization": "Basic ?"}, 401),
        ({"Authorization": "Basic /w=="}, 401),
        ({"Authorization": ""}, 401),
        ({"Authorization": "Bearer f\u00efrst".encode("latin-1")}, 401),
    ],
)
def test_one_of_the_keys_has_to_be_shown(
    service: Service, headers: dict[str, str], status: int
) -> None:
    locked = client(service, Access(keys=("first", "second")))
    answer = locked.get("/v1/jobs", headers=headers)
    assert answer.status_code == status
    if status == 401:
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert answer.json()["error"]["type"] == "Unauthorized"


def test_the_page_and_finished_pictures_need_no_key(service: Service) -> None:
    locked = client(service, Access(keys=("key",)))
    picture = f"/v1/jobs/{'0' * 32}/images/0.png"
    open_paths = ("/", "/page/main.js", "/docs", "/openapi.json", "/healthz", "/readyz")
    statuses = {**dict.fromkeys(open_paths, 200), picture: 404, "/metrics": 401, "/v1/models": 401}
    for path, status in statuses.items():
        assert locked.get(path).status_code == status, path
    assert locked.delete(f"/v1/jobs/{'0' * 32}").status_code == 401


@pytest.fixture
def narrow(service: Service) -> TestClient:
    """A client of a server that takes a thousand bytes."""
    service.limits = Limits(max_body=1000)
    return client(service)


def test_a_body_that_is_too_large_is_refused_by_what_it_says_of_itself(narrow: TestClient) -> None:
    answer = narrow.post("/v1/jobs", json={"prompt": "x" * 2000})
    assert answer.status_code == 413
    assert "1000 bytes" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/jobs", "application/json"),
        ("/v1/images/generations", "application/json"),
        ("/v1/images/edits", "multipart/form-data; boundary=b"),
    ],
)
def test_a_body_without_a_length_is_counted_while_it_is_read(
    narrow: TestClient, path: str, kind: str
) -> None:
    sent = []

    def pieces() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="image"; filename="x"\r\n\r\n'
        for _ in range(1000):
            sent.append(1)
            yield b"x" * 100

    answer = narrow.post(path, content=pieces(), headers={"Content-Type": kind})
    assert answer.status_code == 413
    assert "larger than this server takes" in answer.json()["error"]["message"]


def test_a_body_that_never_comes_is_not_waited_for(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "BODY_S", 0.02)
    sent: list[dict[str, object]] = []

    async def ask() -> None:
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/jobs",
            "raw_path": b"/v1/jobs",
            "query_string": b"",
            "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
        }

        async def receive() -> dict[str, object]:
            await asyncio.sleep(60)
            return {}

        async def send(message: dict[str, object]) -> None:
            sent.append(message)

        await create_app(service)(scope, receive, send)  # type: ignore[arg-type]

    asyncio.run(ask())
    assert sent[0]["status"] == 408


def test_every_answer_has_an_id_and_tells_browsers_to_be_careful(service: Service) -> None:
    answers = [client(service).get(path) for path in ("/healthz", "/healthz", "/nothing")]
    assert len({answer.headers["X-Request-ID"] for answer in answers}) == 3
    for answer in answers:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answers[2].json()["error"]["request_id"] == answers[2].headers["X-Request-ID"]
