"""api: and listwise-api: against a server on loopback that answers, fails, stalls and limits the rate."""

from __future__ import annotations

import json
import math
import re
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from settings import opened, teacher_resources

pytest.importorskip("openai", reason="pip install '.[api]'")
from scoring import scores

from rdtools.core.errors import RdError, UsageError
from rdtools.label.labeler import Labeler
from rdtools.label.prompts import Prompt
from rdtools.label.score_cache import ScoreCache
from rdtools.label.teacher_options import ApiOptions
from rdtools.label.teachers import TextPair

PAIRS = [TextPair("q", str(n), "wing", f"text {n}") for n in range(12)]


class Server:
    """A server with the chat API; `behave(n, body)` returns the status and the body of its n-th answer."""

    def __init__(self):
        self.requests: list[Any] = []
        self.headers: list[Any] = []
        self.at_once = self.most = 0
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer.lock:
                    number = len(outer.requests)
                    outer.requests.append(body)
                    outer.headers.append({name.lower(): value for name, value in self.headers.items()})
                    outer.at_once += 1
                    outer.most = max(outer.most, outer.at_once)
                status, answer, *headers = outer.behave(number, body)
                with outer.lock:
                    outer.at_once -= 1
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    for name, value in headers:
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:
                    pass  # the client has given up

            def log_message(self, *arguments):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def behave(self, number, body):
        return 200, completion(body)


SOON = ("retry-after-ms", "1")


def text_of(body):
    return body["messages"][-1]["content"]


def completion(body, tokens=None, content="yes"):
    """P(yes) = 0.1·(n + 1)/(n + 2) for "text n", in two spellings; P(no) = 0.3."""
    if tokens is None and "text " in text_of(body):
        number = int(text_of(body).partition("text ")[2].split()[0])
        share = 0.1 * (number + 1) / (number + 2)
        tokens = {"yes": 0.75 * share, " Yes": 0.25 * share, "No": 0.3, "maybe": 0.01}
    listed = [{"token": token, "logprob": math.log(p), "bytes": None} for token, p in (tokens or {}).items()]
    logprobs = {
        "content": [{"token": "x", "logprob": -1.0, "bytes": None, "top_logprobs": listed}],
        "refusal": None,
    }
    return {
        "id": "x", "object": "chat.completion", "created": 1, "model": body["model"],
        "choices": [{
            "index": 0, "finish_reason": "stop", "logprobs": logprobs if tokens else None,
            "message": {"role": "assistant", "content": content, "refusal": None},
        }],
        "usage": {"prompt_tokens": 100, "completion_tokens": 1, "total_tokens": 101},
    }  # fmt: skip


def expected(number):
    return math.log(0.1 * (number + 1) / (number + 2) / 0.3)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    one = Server()
    yield one
    one.http.shutdown()
    one.http.server_close()


def open_api(server, spec="api:m", more=None, **options):
    api = ApiOptions(base_url=server.url, **(more or {}))
    return opened(spec, api=api, **options)


def test_the_score_is_the_difference_of_log_probabilities(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    teacher = open_api(server, more={"concurrency": 3})
    assert scores(teacher, PAIRS) == pytest.approx([expected(n) for n in range(12)], abs=1e-6)
    assert (teacher.name, teacher.scale) == ("api:m", "logit")
    assert len(server.requests) == 12
    assert server.most <= 3
    body = next(body for body in server.requests if "text 3" in text_of(body))
    assert body == {
        "model": "m", "temperature": 0, "max_tokens": 1, "logprobs": True, "top_logprobs": 20,
        "messages": [{"role": "user", "content": "Document: text 3\n\nQuery: wing\n\nDoes the document answer the query? Answer yes or no.\nAnswer:"}],
    }  # fmt: skip
    assert {each["authorization"] for each in server.headers} == {"Bearer secret"}
    assert "secret" not in teacher.key


def test_requests_run_at_once_up_to_the_limit(server):
    barrier = threading.Barrier(4)

    def behave(number, body):
        barrier.wait(10)  # four requests, or none goes on
        return 200, completion(body)

    server.behave = behave
    scores(open_api(server, more={"concurrency": 4}), PAIRS)
    assert server.most == 4


def test_other_prompts_answers_and_fields(server):
    server.behave = lambda number, body: (200, completion(body, {"A": 0.5, "B": 0.1}))
    prompt = Prompt(template="{query}/{document}", answers="A,B")
    fields = {"top_logprobs": 5, "temperature": None, "seed": 7}
    assert scores(open_api(server, prompt=prompt, more={"fields": fields}), PAIRS[:1]) == [
        pytest.approx(math.log(5))
    ]
    assert server.requests[0] == {
        "model": "m", "max_tokens": 1, "logprobs": True, "top_logprobs": 5, "seed": 7,
        "messages": [{"role": "user", "content": "wing/text 0"}],
    }  # fmt: skip
    with pytest.raises(UsageError, match=r"^--answers: api needs two answers"):
        open_api(server, prompt=Prompt(answers="yes"))


def test_answers_that_are_not_listed_are_bounded_or_missing(server, caplog):
    listed = {
        "text 0": {"yes": 0.5, "perhaps": 0.02},
        "text 1": {"no": 0.6, "a": 0.1},
        "text 2": {"a": 0.5, "b": 0.2},
    }
    server.behave = lambda number, body: (200, completion(body, listed[text_of(body)[10:16]]))
    teacher = open_api(server)
    low, high = math.log(0.5 / 0.02), math.log(0.1 / 0.6)
    assert scores(teacher, PAIRS[:3]) == [pytest.approx(low, abs=1e-6), pytest.approx(high, abs=1e-6), None]
    caplog.set_level("INFO", "rdtools")
    teacher.report()
    assert [record.getMessage() for record in caplog.records] == [
        "api:m: 3 requests, 300 tokens read, 3 written",
        "api:m: 2 scores with only one answer among the listed tokens",
        "api:m: 1 pair without an answer among the listed tokens",
    ]


def test_what_fails_for_a_while_is_sent_again(server, caplog):
    """A rate limit, an overloaded server, a stall and a broken connection, each once for each text."""
    seen: Counter[str] = Counter()
    failures = [
        (429, {"error": {"message": "slow down"}}, SOON),
        (503, {}, SOON),
        None,
        (500, b"<html>", SOON),
    ]

    def behave(number, body):
        with server.lock:
            attempt = seen[text_of(body)]
            seen[text_of(body)] += 1
        if attempt >= len(failures):
            return 200, completion(body)
        if failures[attempt] is None:
            time.sleep(0.6)
            return 200, {}, SOON
        return failures[attempt]

    server.behave = behave
    teacher = open_api(server, timeout=0.2, more={"prices": (0.5, 3.0)})
    assert scores(teacher, PAIRS[:3]) == pytest.approx([expected(n) for n in range(3)], abs=1e-6)
    assert set(seen.values()) == {5}
    caplog.set_level("INFO", "rdtools")
    teacher.report()
    assert caplog.records[0].getMessage() == (
        "api:m: 3 requests (12 sent again), 300 tokens read, 3 written, cost 0.0002"  # 3·(100·0.5 + 3)/1e6
    )


FATAL = {
    "no such model": ((404, {"error": {"message": "no model m"}}), r"Error code: 404 - .*no model m.*"),
    "a wrong key": ((401, {"error": {"message": "bad key"}}), r"Error code: 401 - .*bad key.*"),
    "a limit without end": ((429, {"error": {"message": "quota"}}, SOON), r"Error code: 429 - .*quota.*"),
}  # fmt: skip


@pytest.mark.parametrize("name", FATAL)
def test_what_fails_for_good_ends_in_one_line(name, server):
    server.behave = lambda number, body: FATAL[name][0]
    with pytest.raises(RdError) as caught:
        scores(open_api(server, more={"concurrency": 2, "retries": 1}), PAIRS)
    message = str(caught.value)
    assert re.fullmatch(
        rf"api:m: {server.url}/: {FATAL[name][1]} \(with --cache, the same command continues\)", message
    )
    assert len(server.requests) <= 4  # no further request after the first failure


def test_servers_that_are_none_or_give_no_probabilities(server):
    server.behave = lambda number, body: (200, {"hello": 1})
    with pytest.raises(RdError, match=r"^api:m: http.*/: the answer is no chat completion$"):
        scores(open_api(server), PAIRS)
    server.behave = lambda number, body: (200, b"{")
    with pytest.raises(RdError, match=r"^api:m: http.*/: .*line 1 column"):
        scores(open_api(server, more={"retries": 0}), PAIRS)
    server.behave = lambda number, body: (200, completion(body, {}))
    with pytest.raises(
        RdError, match=r"^api:m: the server gives no probabilities of tokens \(listwise-api:m needs none\)$"
    ):
        scores(open_api(server), PAIRS)
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(RdError, match=r"^api:m: http://127.*/: Connection error\. \(with --cache"):
        scores(open_api(server, more={"retries": 0}), PAIRS)


def test_no_key_no_model_no_url(server, monkeypatch):
    setting = teacher_resources()
    with pytest.raises(UsageError, match=r"^--teacher api needs a model: api:MODEL$"):
        opened("api", setting)
    with pytest.raises(UsageError, match=r"^--teacher api:m needs a key in \$OPENAI_API_KEY \(or --base-url"):
        opened("api:m", setting)
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    assert scores(opened("api:m", setting), PAIRS[:1]) == [pytest.approx(expected(0), abs=1e-6)]


def test_after_a_failure_the_cache_has_all_that_was_answered(server, tmp_path):
    records = [
        {
            "query_id": "q",
            "query": "wing",
            "docs": [{"doc_id": pair.doc_id, "text": pair.text} for pair in PAIRS],
        }
    ]

    def label(count):
        server.requests.clear()
        server.behave = lambda number, body: (200, completion(body)) if number < count else (400, {})
        cache = ScoreCache(str(tmp_path / "db"))
        teacher = open_api(server, cache=cache, more={"concurrency": 2})
        labeler = Labeler([teacher], cache=cache)
        return list(labeler.label(json.loads(json.dumps(records)))), len(server.requests)

    for done in (5, 4):
        with pytest.raises(RdError, match="Error code: 400"):
            label(done)
    ((record,), asked) = label(99)
    assert asked == 12 - 5 - 4
    assert [doc["score"] for doc in record["docs"]] == pytest.approx(
        [expected(n) for n in range(12)], abs=1e-6
    )
    assert label(99)[1] == 0


def test_keys_tell_apart_servers_models_prompts_and_fields(server):
    keys = [
        open_api(server).key, open_api(server, "api:n").key, open_api(server, prompt=Prompt(answers="a,b")).key,
        open_api(server, prompt=Prompt(template="{query}{document}")).key,
        open_api(server, more={"fields": {"seed": 1}}).key, open_api(server, "listwise-api:m").key,
        open_api(server, cache_key="here").key,
    ]  # fmt: skip
    assert len(set(keys)) == len(keys)
    assert "127.0.0.1" not in keys[-1]


def test_lists_are_ranked_and_thoughts_are_skipped(server, tmp_path, run):
    replies = iter(["<think>hm</think>[2] > [1]", None, "2 1"])
    lock = threading.Lock()

    def behave(number, body):
        with lock:
            return 200, completion(body, {}, next(replies))

    server.behave = behave
    docs = [{"doc_id": "a", "text": "x", "rank": 1}, {"doc_id": "b", "text": "y", "rank": 2}]
    stdin = "".join(json.dumps({"query_id": str(n), "query": "q", "docs": docs}) + "\n" for n in range(3))
    done = run(
        "rd-label", "--teacher", "listwise-api:m", "--base-url", server.url, "--concurrency", "1", "--prices", "10,0",
        stdin=stdin, check=True,
    )  # fmt: skip
    rows = [[doc["score"] for doc in json.loads(line)["docs"]] for line in done.stdout.splitlines()]
    assert rows == [[-2.0, -1.0], [-1.0, -2.0], [-2.0, -1.0]]
    assert done.stderr == (
        "rd-label: 3 records, 6 pairs: 6 scored\n"
        "rd-label: listwise-api:m: 3 windows, 2 answers repaired: 2 wrong format\n"
        "rd-label: listwise-api:m: 3 requests, 300 tokens read, 3 written, cost 0.0030\n"
    )
    assert server.requests[0].keys() == {"model", "messages", "temperature"}
    assert [message["role"] for message in server.requests[0]["messages"]] == ["system", "user"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--prices", "1"], "--prices 1: give the prices of a million tokens in and out, such as 0.15,0.6"),
        (["--prices", "1,nan"], "--prices 1,nan: give the prices"),
        (["--request-fields", "[1]"], "--request-fields: give a JSON object, such as '{\"seed\": 1}'"),
        (["--request-fields", "{"], "--request-fields: not valid JSON: "),
        (["--base-url", "localhost:1"], "--base-url localhost:1: give a URL that begins with http:// or https://"),
        (["--concurrency", "0"], "--concurrency must be at least 1, not 0"),
        (["--retries", "-1"], "--retries must be at least 0, not -1"),
        (["--window", "5"], "--window needs --teacher listwise-llm:MODEL, --teacher listwise-api:MODEL or --teacher listwise-cmd:ARGV"),
    ],
)  # fmt: skip
def test_options_are_checked(run, arguments, message):
    done = run("rd-label", "--teacher", "api:m", *arguments, stdin="{}")
    assert done.returncode == 2
    assert done.stderr.startswith(f"rd-label: {message}")


def test_without_the_package_it_says_what_to_install(server, monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(
        UsageError,
        match=r"^--teacher api:m needs openai \(pip install 'ranking-distillation-tools\[api\]'\)$",
    ):
        open_api(server)
