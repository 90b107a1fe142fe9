#!/usr/bin/env python3
"""streams.py PID [COUNT]: opens COUNT event streams (10,000) of one running job and prints: the KB of resident memory each costs the API
process PID, the milliseconds from the cancelling request to the moment the last stream has heard the end, and how many did not."""
import http.client, json, os, resource, selectors, socket, sys, time, urllib.parse

pid, count = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 10000
url = urllib.parse.urlparse(os.environ["AUTODB_URL"])
key = os.environ["AUTODB_API_KEY"]
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def call(method, path, body=None):
    conn = http.client.HTTPConnection(url.hostname, url.port, timeout=60)
    conn.request(method, path, body and json.dumps(body), {"X-API-Key": key, "Content-Type": "application/json"})
    return json.load(conn.getresponse())["data"]


def resident_kb():
    with open(f"/proc/{pid}/status") as status:
        return int(next(line for line in status if line.startswith("VmRSS")).split()[1])


job = call("POST", "/api/v1/jobs/echo", {"payload": 1, "sleep_ms": 60000})["job_id"]
request = f"GET /api/v1/jobs/{job}/events HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\n\r\n".encode()
before, selector, open_streams = resident_kb(), selectors.DefaultSelector(), []
for i in range(count):
    stream = socket.create_connection((url.hostname, url.port), timeout=60)
    stream.sendall(request)
    open_streams.append(stream)
    if i % 200 == 199:
        for earlier in open_streams[i - 199 : i + 1]:
            assert earlier.recv(4096).startswith(b"HTTP/1.1 200"), "a stream was refused"
each_kb = (resident_kb() - before) / count
for stream in open_streams:
    stream.setblocking(False)
    selector.register(stream, selectors.EVENT_READ, bytearray())
began = time.monotonic()
call("POST", f"/api/v1/jobs/{job}/cancel")
deaf = count
while deaf and time.monotonic() - began < 60:
    for entry, _ in selector.select(1):
        data = entry.fileobj.recv(65536)
        entry.data.extend(data)
        if b"event: result" in entry.data or not data:
            deaf -= b"event: result" in entry.data
            selector.unregister(entry.fileobj)
print(f"{each_kb:.1f} {(time.monotonic() - began) * 1000:.0f} {deaf}")
