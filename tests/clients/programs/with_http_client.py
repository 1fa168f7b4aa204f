"""Python's own HTTP client, whose CONNECT is HTTP/1.0 without a Host up to Python 3.11."""

import base64
import http.client
import ssl
import urllib.parse

import job

credentials = base64.b64encode(f"{job.proxy_user}:{job.proxy_password}".encode()).decode()
target = urllib.parse.urlsplit(job.url)
connection = http.client.HTTPSConnection(
    job.proxy_host, job.proxy_port, context=ssl.create_default_context(cafile=job.ca_file)
)
connection.set_tunnel(target.hostname, 443, headers={"Proxy-Authorization": f"Basic {credentials}"})
connection.request("POST", target.path, body=job.body, headers=job.headers)
answer = connection.getresponse()
while piece := answer.read1():
    job.hand_back(piece)
job.report("1.1", answer.status)
