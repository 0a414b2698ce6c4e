"""``velox verify``: proves on the user's own broker that no record is lost or doubled."""

import argparse
from pathlib import Path

from velox.commands import Commands
from velox.commands.arguments import share


def add(commands: Commands) -> None:
    """Add the parser."""
    verify = commands.add_parser(
        "verify",
        help="prove that no record is lost or doubled, under faults if you like",
        description="Sends numbered records through Kafka and consumers of its own to the configured sinks, injects "
        "the faults asked for, waits until all is read, and reconciles every id with every sink, the dead letters, "
        "their reasons and the committed offsets. Topic, group, collection, folder, SQLite file and requests are its "
        "own and are removed at the end. Exit code 0: every good record is there exactly once, and every bad one is a "
        "dead letter for the right reason; 1: not so, the ids are named; 2: it could not run.",
    )
    verify.add_argument("--count", type=int, default=10_000, metavar="N", help="records (default: 10000)")
    verify.add_argument(
        "--rate",
        type=float,
        default=0.0,
        metavar="R",
        help="records a second (default: what the consumers keep up with)",
    )
    verify.add_argument(
        "--topics",
        type=int,
        default=0,
        metavar="N",
        help="spread the records over N topics (default: as many as KAFKA_TOPIC names; 4 if it is a pattern, which the "
        "consumers then read by one as well)",
    )
    verify.add_argument("--poison", type=share, default=0.0, metavar="SHARE", help="share of bad records: 1%%, 0.01")
    _add_consumers(verify)
    _add_gateway(verify)
    _add_faults(verify)
    verify.add_argument("--embedded", action="store_true", help="on an embedded broker, into SQLite and onto disk")
    verify.add_argument("--keep", action="store_true", help="remove nothing at the end")
    verify.add_argument("--json", type=Path, metavar="PATH", help="write all figures and ids there")
    verify.add_argument(
        "--log",
        type=Path,
        default=Path("velox-verify.log"),
        metavar="PATH",
        help="what the consumers say (default: velox-verify.log)",
    )
    verify.set_defaults(run=_run)


def _add_consumers(verify: argparse.ArgumentParser) -> None:
    which = verify.add_mutually_exclusive_group()
    which.add_argument("--consumers", type=int, default=1, metavar="N", help="consumers that it starts (default: 1)")
    which.add_argument(
        "--no-consumer",
        action="store_true",
        help="check the consumers that run already: records go to KAFKA_TOPIC and stay there; results are removed",
    )
    verify.add_argument(
        "--own-model",
        action="store_true",
        help="predict with the configured MODEL, on payloads from SOURCE (its first 256, in turn), instead of the "
        "built-in one, which is quick",
    )


def _add_gateway(verify: argparse.ArgumentParser) -> None:
    gateway = verify.add_argument_group(
        "through a gateway, which the run starts, with requests kept beside those of REQUESTS_URL"
    )
    gateway.add_argument(
        "--through",
        choices=("kafka", "gateway"),
        default="kafka",
        help="ask a gateway over HTTP, as its clients do, instead of publishing to Kafka: each request that it accepts "
        "has to end with its own result",
    )
    gateway.add_argument("--webhooks", action="store_true", help="have each result delivered, to a receiver of the run")
    gateway.add_argument(
        "--receiver-down",
        type=float,
        default=0.0,
        metavar="S",
        help="that receiver refuses all for S seconds from the first delivery on",
    )


def _add_faults(verify: argparse.ArgumentParser) -> None:
    faults = verify.add_argument_group("faults, spread over the run; each waits until the last one is over")
    faults.add_argument("--kill-consumer", type=int, default=0, metavar="N", help="SIGKILL a consumer N times")
    faults.add_argument(
        "--kill-inference", type=int, default=0, metavar="N", help="SIGKILL an inference process N times"
    )
    faults.add_argument("--kill-gateway", type=int, default=0, metavar="N", help="SIGKILL the gateway N times")
    faults.add_argument("--kill-webhooks", type=int, default=0, metavar="N", help="SIGKILL the webhook worker N times")
    faults.add_argument(
        "--rebalance", type=int, default=0, metavar="N", help="one more consumer joins and leaves N times"
    )
    for name, what in (("--broker-restart", "the broker"), ("--sink-outage", "a sink")):
        faults.add_argument(
            name,
            action="append",
            default=[],
            metavar="CMD",
            help=f"a shell command that stops {what}, starts it again and ends, within 2 minutes; may be repeated",
        )


def _run(args: argparse.Namespace) -> int:
    from velox import settings
    from velox.tools.verify import Plan, run

    plan = Plan(
        count=args.count,
        rate=args.rate,
        consumers=0 if args.no_consumer else args.consumers,
        topics=args.topics,
        kill_consumer=args.kill_consumer,
        kill_inference=args.kill_inference,
        through_gateway=args.through == "gateway",
        webhooks=args.webhooks,
        receiver_down_s=args.receiver_down,
        kill_gateway=args.kill_gateway,
        kill_webhooks=args.kill_webhooks,
        rebalance=args.rebalance,
        broker_restart=tuple(args.broker_restart),
        sink_outage=tuple(args.sink_outage),
        poison=args.poison,
        embedded=args.embedded,
        own_model=args.own_model,
        keep=args.keep,
        json_path=args.json,
        log_path=args.log,
    )
    return run(settings.load(), plan)
