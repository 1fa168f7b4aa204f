"""The `httpx` library, over either HTTP version."""

import ssl

import httpx
import job

trust = ssl.create_default_context(cafile=job.ca_file)
with httpx.Client(proxy=job.proxy_url, verify=trust, http2=job.http2, http1=not job.http2, trust_env=False) as client:
    with client.stream("POST", job.url, content=job.body, headers=job.headers) as answer:
        for piece in answer.iter_raw():
            job.hand_back(piece)
        job.report(answer.http_version.removeprefix("HTTP/").removesuffix(".0"), answer.status_code)
