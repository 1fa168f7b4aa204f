"""The `requests` library."""

import job
import requests

session = requests.Session()
session.trust_env = False
with session.post(
    job.url,
    data=job.body,
    headers=job.headers,
    proxies={"https": job.proxy_url},
    verify=job.ca_file,
    stream=True,
) as answer:
    for piece in answer.iter_content(chunk_size=None):
        job.hand_back(piece)
    job.report("1.1", answer.status_code)
