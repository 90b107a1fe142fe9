#!/usr/bin/env python3
"""profile.py TOP SECONDS: where the CPU time of the machine goes while it runs, by process: prints "name seconds" lines, the largest first, and
last what was idle. TOP is this checkout: its own processes are told apart by what they are, all others are "other"."""
import collections, os, sys, time

top, seconds = sys.argv[1], float(sys.argv[2])
tick = os.sysconf("SC_CLK_TCK")


def name_of(pid, comm):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().decode(errors="replace").split("\0")
        folder = os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return "other"
    line = " ".join(words)
    if comm == "postgres":
        if not folder.startswith(top):
            return "other"
        return "postgres" if line.startswith("postgres: autodb autodb") else "postgres, its own processes"
    if comm == "wrk":
        return "load generator"
    if folder.startswith(top) and any(server in words[0] for server in ("valkey", "redis")):
        return "redis"
    for flag, name in (("--slot", "slots"), ("--courier", "courier"), ("--sandbox-keeper", "keeper")):
        if flag in words and folder.startswith(top):
            return name
    if words[0].startswith(top + "/build/"):
        return {"autodb-api": "API", "autodb-worker": "worker"}.get(os.path.basename(words[0]), "other")
    return "other"


def used():
    ticks = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as file:
                head, fields = file.read().rsplit(")", 1)
        except OSError:
            continue
        fields = fields.split()
        ticks[pid, fields[19]] = (head.split("(", 1)[1], int(fields[11]) + int(fields[12]))
    with open("/proc/stat") as file:
        cpu = [int(word) for word in file.readline().split()[1:]]
    return ticks, sum(cpu[:8]), cpu[3] + cpu[4]


before, all_before, idle_before = used()
time.sleep(seconds)
after, all_after, idle_after = used()
sums = collections.Counter()
for key, (comm, ticks) in after.items():
    sums[name_of(key[0], comm)] += ticks - before.get(key, (comm, 0))[1]
whole, idle = all_after - all_before, idle_after - idle_before
sums["other"] = max(0, whole - idle - sum(count for name, count in sums.items() if name != "other"))
for name, count in sums.most_common():
    if count:
        print(f"{count / tick:.2f} {name}")
print(f"{idle / tick:.2f} idle")
