"""A WebSocket of the `aiohttp` library, compressed; each message is answered before the next is sent."""

import asyncio
import json
import ssl

import aiohttp
import job


async def main():
    trust = ssl.create_default_context(cafile=job.ca_file)
    login = aiohttp.BasicAuth(job.proxy_user, job.proxy_password)
    proxy = f"http://{job.proxy_host}:{job.proxy_port}"
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(
            job.url, headers=job.headers, proxy=proxy, proxy_auth=login, ssl=trust, compress=15
        ) as socket:
            for message in json.loads(job.body):
                await socket.send_str(json.dumps(message))
                async for answer in socket:
                    job.hand_back(answer.data.encode() + b"\n\n")
                    if json.loads(answer.data)["type"] == "response.completed":
                        break
            compressed = socket.compress
            await socket.close()
        job.report(f"1.1 {compressed}", 101)


asyncio.run(main())
