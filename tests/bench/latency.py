"""latency.py [--timings] PATH BODY COUNT PAUSE_SECONDS: calls one after another on one connection with Prefer: wait; prints "p50 p99 failures" in
ms, or what the last analysis says of its sandbox's time."""
import http.client, json, os, sys, time
from urllib.parse import urlsplit

arguments = sys.argv[1:]
timings = arguments[0] == "--timings"
path, body, count, pause = arguments[timings:]
server = urlsplit(os.environ["AUTODB_URL"])
headers = {"X-API-Key": os.environ["AUTODB_API_KEY"], "Content-Type": "application/json", "Prefer": "wait=60"}
connection = http.client.HTTPConnection(server.hostname, server.port, timeout=90)
times, failures = [], 0
for _ in range(int(count)):
    began = time.perf_counter()
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    text = answer.read()
    times.append((time.perf_counter() - began) * 1000)
    if answer.status != 200 or json.loads(text)["data"]["status"] != "succeeded":
        failures += 1
        print(text[:500].decode(), file=sys.stderr)
    time.sleep(float(pause))
times.sort()
if timings:
    sandbox = json.loads(text)["data"]["result"]["sandbox_result"]
    print(", ".join(f"{name.removesuffix('_ms')} {ms}" for name, ms in sandbox["timings"].items()))
else:
    print(f"{times[len(times) // 2]:.1f} {times[min(len(times) - 1, int(len(times) * 0.99))]:.1f} {failures}")
