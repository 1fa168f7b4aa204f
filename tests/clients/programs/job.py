"""What a test wants sent, and how the answer is handed back; see `Job` in ../job.rs."""

import os
import sys

proxy_url = os.environ["PROXY_URL"]
proxy_host = os.environ["PROXY_HOST"]
proxy_port = int(os.environ["PROXY_PORT"])
proxy_user = os.environ["PROXY_USER"]
proxy_password = os.environ["PROXY_PASSWORD"]
ca_file = os.environ["CA_FILE"]
url = os.environ["URL"]
headers = dict(line.split(": ", 1) for line in os.environ["HEADERS"].splitlines())
body = os.environ["BODY"].encode()
http2 = os.environ["HTTP_VERSION"] == "2"


def hand_back(piece):
    """Passes on a piece of the answer's body as soon as it is there."""
    sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()


def report(version, status):
    """Tells how the answer came."""
    print(f"HTTP/{version} {status}", file=sys.stderr)
