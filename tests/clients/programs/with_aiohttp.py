"""The `aiohttp` library."""

import asyncio
import ssl

import aiohttp
import job


async def main():
    trust = ssl.create_default_context(cafile=job.ca_file)
    login = aiohttp.BasicAuth(job.proxy_user, job.proxy_password)
    proxy = f"http://{job.proxy_host}:{job.proxy_port}"
    async with aiohttp.ClientSession() as session:
        async with session.post(
            job.url, data=job.body, headers=job.headers, proxy=proxy, proxy_auth=login, ssl=trust
        ) as answer:
            async for piece in answer.content.iter_any():
                job.hand_back(piece)
            job.report("1.1", answer.status)


asyncio.run(main())
