#!/usr/bin/env python3
"""As much of MongoDB's shell as the health check and the README type: a ping, a find with a limit, a count."""

import argparse
import re
import sys

import pymongo

FIND = re.compile(r"db\.(\w+)\.find\(\)(?:\.limit\((\d+)\))?")
COUNT = re.compile(r"db\.(\w+)\.countDocuments\(\)")


def answer(server: pymongo.MongoClient[dict[str, object]], database: str, line: str) -> str:
    """What the shell would print for the line, roughly."""
    if line == "db.adminCommand('ping').ok":
        return str(int(server.admin.command("ping")["ok"]))
    if found := FIND.fullmatch(line):
        return "\n".join(map(str, server[database][found[1]].find().limit(int(found[2] or 20))))
    if found := COUNT.fullmatch(line):
        return str(server[database][found[1]].count_documents({}))
    sys.exit(f"this mongosh is a stand-in and does not know: {line}")


parser = argparse.ArgumentParser()
parser.add_argument("database", nargs="?", default="test")
parser.add_argument("--eval", required=True)
parser.add_argument("--quiet", action="store_true")
parser.add_argument("--norc", action="store_true")
options = parser.parse_args()
with pymongo.MongoClient[dict[str, object]]("localhost", serverSelectionTimeoutMS=3000) as client:
    sys.stdout.write(answer(client, options.database, options.eval) + "\n")
