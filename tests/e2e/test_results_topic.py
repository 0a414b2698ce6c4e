"""The results topic as a part of the whole pipeline."""

import json

from tests.e2e.conftest import PipelineFactory
from tests.e2e.pipeline import headers


def test_the_results_topic_holds_what_the_database_holds(pipeline: PipelineFactory) -> None:
    both = pipeline(SINKS="mongo,kafka")
    both.publish(*(f"quick {i}".encode() for i in range(100)), b"bad record")
    consumer = both.consume()
    both.wait_for_documents(100)
    assert consumer.stop() == 0
    results = both.records(f"{both.topic}.results")
    documents = {document["_id"]: document for document in both.documents()}
    assert {(message.key() or b"").decode(): json.loads(message.value() or b"") for message in results} == documents
    assert {headers(message)["velox-position"] for message in results} == set(documents)
    assert len(results) == 100
    assert both.uncommitted() == 0
