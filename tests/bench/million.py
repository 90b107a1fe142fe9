#!/usr/bin/env python3
"""million.py: prints the median milliseconds of GET /jobs, GET /jobs?status=failed, GET /jobs/{id}, and of an echo from its submission to its
result (a claim among the rest of it)."""
import http.client, json, os, statistics, time, urllib.parse

url = urllib.parse.urlparse(os.environ["AUTODB_URL"])
conn = http.client.HTTPConnection(url.hostname, url.port, timeout=60)
headers = {"X-API-Key": os.environ["AUTODB_API_KEY"], "Content-Type": "application/json", "Prefer": "wait=30"}


def call(method, path, body=None):
    conn.request(method, path, body and json.dumps(body), headers)
    return json.load(conn.getresponse())["data"]


def median_ms(*request, rounds=60):
    times = []
    for _ in range(rounds):
        began = time.monotonic()
        call(*request)
        times.append((time.monotonic() - began) * 1000)
    return statistics.median(times[rounds // 3 :])


echo = ("POST", "/api/v1/jobs/echo", {"payload": 1})
job = call(*echo)["job_id"]
for _ in range(60):  # so that the lists have as many rows before as after
    call(*echo)
requests = ("GET", "/api/v1/jobs"), ("GET", "/api/v1/jobs?status=failed"), ("GET", f"/api/v1/jobs/{job}"), echo
print(*(f"{median_ms(*request):.2f}" for request in requests))
