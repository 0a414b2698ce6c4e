"""Prepare the test servers ahead of the tests, so that no test's time-out has to allow for downloads."""

import sys
import time

from tests.servers import kafka, mongo, s3
from tests.servers.process import ServerError

started = time.monotonic()
try:
    homes = [kafka.home(), mongo.home()]
    s3.program()
except ServerError as error:
    sys.exit(f"test servers: {error}")
names = ", ".join(home.name for home in homes)
sys.stdout.write(f"test servers: {names} in {homes[0].parent} ({time.monotonic() - started:.1f} s)\n")
