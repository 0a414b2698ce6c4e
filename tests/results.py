"""Makes results for tests of what stores them."""

from velox.records import ModelInfo, Position, Prediction, Record, Result

MODEL = ModelInfo(name="mobilenet_v2", version="4f1c", labels=("red_circle", "green_square"), device="cpu")


def make_result(
    offset: int = 0,
    *,
    record_id: str | None = None,
    label: str = "red_circle",
    payload: bytes | None = None,
    ground_truth: str = "red_circle",
    produced_at: float = 1700000000.5,
) -> Result:
    """Make a detection; its id is its position unless given, its payload differs with its offset."""
    position = Position("image_data", offset % 6, offset)
    record = Record(
        id=record_id or str(position),
        position=position,
        payload=f"payload {offset}".encode() if payload is None else payload,
        ground_truth=ground_truth,
        produced_at=produced_at,
    )
    return Result(
        record=record,
        prediction=Prediction(label=label, confidence=0.98),
        model=MODEL,
        is_detection=True,
        predicted_at=1700000001.25,
        file_path=f"discoveries/hit_{record.id}.jpg",
    )


def make_results(count: int, *, first: int = 0) -> list[Result]:
    """Make that many results with ids of their own."""
    return [make_result(offset) for offset in range(first, first + count)]
