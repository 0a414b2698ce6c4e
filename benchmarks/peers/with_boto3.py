"""What users of the fourth system had: a key from Kafka, its image by boto3, SqueezeNet, a row; one after the other."""

import io
import os
import socket

import boto3
import psycopg
import torch
from confluent_kafka import Consumer
from PIL import Image
from torchvision import models, transforms


def main() -> None:
    """Consume for ever."""
    network = models.squeezenet1_1(num_classes=1000)
    network.load_state_dict(torch.load(os.environ["MODEL_PATH"], weights_only=True))
    network.eval()
    labels = models.SqueezeNet1_1_Weights.IMAGENET1K_V1.meta["categories"]
    prepare = transforms.Compose(
        [
            transforms.Resize(256),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
        ]
    )
    s3 = boto3.client("s3", endpoint_url=os.environ["S3_ENDPOINT"])
    bucket = os.environ["BUCKET_URL"].removeprefix("s3://")
    database = psycopg.connect(os.environ["POSTGRES_DSN"])
    database.execute(
        "CREATE TABLE IF NOT EXISTS prediction_results"
        " (image_key text, category text, confidence real, hostname text, time timestamptz)"
    )
    database.commit()
    consumer = Consumer(
        {
            "bootstrap.servers": os.environ["KAFKA_BOOTSTRAP_SERVER"],
            "group.id": os.environ["KAFKA_CONSUMER_GROUP"],
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([os.environ["KAFKA_TOPIC"]])
    while True:
        message = consumer.poll(1.0)
        if message is None or message.error():
            continue
        key = (message.value() or b"").decode()
        body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        image = prepare(Image.open(io.BytesIO(body)).convert("RGB"))
        with torch.no_grad():
            scores = torch.nn.functional.softmax(network(image.unsqueeze(0))[0], dim=0)
        confidence, index = torch.max(scores, dim=0)
        database.execute(
            "INSERT INTO prediction_results VALUES (%s, %s, %s, %s, now())",
            (key, labels[int(index)], float(confidence) * 100, socket.gethostname()),
        )
        database.commit()


if __name__ == "__main__":
    main()
