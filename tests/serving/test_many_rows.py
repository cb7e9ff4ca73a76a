"""Many rows a request: each gets the bits that it would get alone, and what is wrong is said of the row."""

import json
from contextlib import closing

import httpx
import numpy as np
import pyarrow as pa
import pytest
from published import NAMES, ask, snapshot

from rtml.core.target import Target
from rtml.models.compiled import compile
from rtml.models.rls import RecursiveLeastSquares
from rtml.serving.app import make_app
from rtml.serving.endpoint import Endpoint
from rtml.serving.service import Service

ARROW = "application/vnd.apache.arrow.stream"


class Sky:
    """A model of two classes."""

    def predict(self, x):
        p = 1 / (1 + np.exp(-x[0]))
        return np.array([1 - p, p])


def learned(names=NAMES):
    r, model = np.random.default_rng(1), compile(RecursiveLeastSquares(1.0), names)
    for row in r.standard_normal((50, len(names))):
        model.learn(row, float(row.sum()))
    return model


@pytest.fixture(scope="module")
def client():
    service, sky = Service(), Target("sky", "classes", classes=("dry", "wet"))
    service.publish(snapshot(models={"return": learned(), "sky": Sky()}, targets=(Target("return", unit="bp"), sky)))
    ask(service, 10**18, [3.0, 0.5])
    with closing(service), Endpoint(make_app(service)) as endpoint, httpx.Client(base_url=endpoint.url) as client:
        client.service = service
        yield client


def stream(table):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=1000)
    return sink.getvalue().to_pybytes()


def test_a_table_gets_the_bits_of_single_requests_and_is_not_logged(client):
    r, given = np.random.default_rng(2), client.service.log.given
    X = r.standard_normal((10_000, 2)) * 3
    table = pa.table({"imbalance_60s": X[:, 1], "return_1": X[:, 0]})  # columns in any order
    answer = client.post("/predict", content=stream(table))
    assert answer.status_code == 200 and answer.headers["content-type"] == ARROW
    said = pa.ipc.open_stream(answer.content).read_all()
    assert said.column_names == ["return", "sky.dry", "sky.wet"] and said.num_rows == 10_000
    assert said.schema.metadata == {b"version": b"crypto@learner", b"offset": b"12"}
    assert client.service.log.given == given
    for k in (0, 1, 4095, 4096, 9999):
        alone = client.post("/predict", json={"key": "ETH-USD", "features": dict(zip(NAMES, X[k], strict=True))}).json()
        assert said["return"][k].as_py() == alone["predictions"]["return"]["value"]
        assert said["sky.wet"][k].as_py() == alone["predictions"]["sky"]["probabilities"]["wet"]


def test_a_list_is_answered_item_by_item_and_each_is_logged(client):
    asked = [{"key": "ETH-USD"}, {"key": "nothing"}, {"features": {"return_1": 1.0, "imbalance_60s": 2.0}}, 5]
    answer = client.post("/predict", json=asked)
    told = answer.json()
    assert answer.status_code == 200 and [("prediction_id" in one) for one in told] == [True, False, True, False]
    assert "must be one of ETH-USD" in told[1]["error"] and "error" in told[3]
    assert told[2]["predictions"] == client.post("/predict", json=asked[2]).json()["predictions"]
    client.service.log.flush()
    assert client.get(f"/predictions/{told[2]['prediction_id']}").json()["features"]["imbalance_60s"] == 2.0
    assert client.post("/predict", json=[]).status_code == 422, "nothing was asked"
    many = client.post("/predict", content=json.dumps([asked[2]] * 2000))
    assert len(many.content) > 64 * 1024 and len({one["prediction_id"] for one in many.json()}) == 2000


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"return_1": [1.0]}, "imbalance_60s: is a column that is required"),
        ({"return_1": [1.0], "imbalance_60s": [2.0], "x": [1.0]}, "x: is no feature"),
        ({"return_1": [1.0, float("nan")], "imbalance_60s": [2.0, 1.0]}, "return_1: must be finite numbers; row 1 is"),
        ({"return_1": [1.0, None], "imbalance_60s": [2.0, 1.0]}, "return_1: must be finite numbers; row 1 is"),
        ({"return_1": ["a"], "imbalance_60s": [2.0]}, "return_1: must be numbers"),
        ({"return_1": [1.0, 1e308], "imbalance_60s": [2.0, 1e308]}, "row 1 is not"),
    ],
)
def test_a_table_that_cannot_be_answered_says_which_column_and_row(client, columns, says):
    answer = client.post("/predict", content=stream(pa.table(columns)))
    assert answer.status_code == 422 and says in answer.json()["error"], answer.text


def test_what_is_no_table_and_what_is_too_large_is_refused(client):
    assert client.post("/predict", content=b"\xff\xff\xff\xff broken").status_code == 422
    assert client.post("/predict", content=b"[1, 2").status_code == 422
    assert client.post("/predict", content=b'{"key": "' + b"x" * 70_000).status_code == 413
    empty = client.post("/predict", content=stream(pa.table({name: pa.array([], "float64") for name in NAMES})))
    assert pa.ipc.open_stream(empty.content).read_all().num_rows == 0


def test_rows_of_several_keys_name_theirs():
    service, names = Service(), (*NAMES, "key_number")
    service.publish(snapshot(model=learned(names), names=names))
    X = np.random.default_rng(3).standard_normal((4, 2))
    keys = ["BTC-USD", "ETH-USD", "ETH-USD", "BTC-USD"]
    table = pa.table({"return_1": X[:, 0], "imbalance_60s": X[:, 1], "key": keys})
    with closing(service), Endpoint(make_app(service)) as endpoint, httpx.Client(base_url=endpoint.url) as client:
        said = pa.ipc.open_stream(client.post("/predict", content=stream(table)).content).read_all()["return"]
        for k, key in enumerate(keys):
            body = {"key": key, "features": dict(zip(NAMES, X[k], strict=True))}
            assert client.post("/predict", json=body).json()["predictions"]["return"]["value"] == said[k].as_py()
        missing = client.post("/predict", content=stream(table.drop_columns(["key"])))
        assert missing.status_code == 422 and "several keys" in missing.json()["error"]
        wrong = client.post("/predict", content=stream(table.set_column(2, "key", pa.array(["DOGE"] * 4))))
        assert "must be one of ETH-USD, BTC-USD" in wrong.json()["error"]
