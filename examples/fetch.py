"""Wait on many things at once: an async function fetches all the pages of its task together.

    python3 -m http.server --bind 127.0.0.1 8000 &
    poolmap run examples/fetch.py:fetch examples/fetch.jsonl

Each task is a list of URLs. A page that is missing has its status; a host that does not answer fails its task.
"""

import asyncio
import urllib.parse

TIMEOUT_SECONDS = 10


async def fetch(*urls):
    """The task: status and size of every page."""
    return await asyncio.gather(*map(fetch_page, urls))


async def fetch_page(url):
    response = await asyncio.wait_for(get(urllib.parse.urlsplit(url)), TIMEOUT_SECONDS)
    head, _, body = response.partition(b"\r\n\r\n")
    return {"url": url, "status": int(head.split()[1]), "bytes": len(body)}


async def get(url):
    """A whole HTTP/1.0 response, headers and body, which ends with its connection."""
    reader, writer = await asyncio.open_connection(url.hostname, url.port or 80)
    try:
        writer.write(f"GET {url.path or '/'} HTTP/1.0\r\nHost: {url.netloc}\r\n\r\n".encode())
        return await reader.read()
    finally:
        writer.close()
