"""squawk.py PROGRAM VERSION: its answers to the measured cases beside what PostgreSQL did; see squawk."""
import json, pathlib, subprocess, sys, tempfile

LOCK_RULES = {
    "adding-field-with-default", "adding-foreign-key-constraint", "adding-not-nullable-field", "adding-serial-primary-key-field",
    "ban-alter-domain-with-add-constraint", "ban-create-domain-with-constraint", "changing-column-type", "constraint-missing-not-valid",
    "disallowed-unique-constraint", "prefer-repack", "require-concurrent-index-creation", "require-concurrent-index-deletion",
    "require-concurrent-partition-detach", "require-concurrent-reindex",
}
program, version = sys.argv[1:]
cases = json.loads(pathlib.Path("tests/fixtures/ddl_truth.json").read_text())["cases"]
hits = found = said = 0
with tempfile.TemporaryDirectory() as folder:
    for case in cases:
        fact = case["by_version"].get("16")
        if not fact or fact["error"] or not isinstance(case.get("long_block_pg16"), bool):
            continue
        before = ["SET lock_timeout = '1s'", "SET statement_timeout = '5s'", *case["in_tx_before"]]
        text = "".join(statement.rstrip(";") + ";\n" for statement in before)
        path = pathlib.Path(folder, "case.sql")
        path.write_text(text + case["sql"] + ";\n")
        ran = subprocess.run([program, "--reporter", "json", "--pg-version", "16", path], capture_output=True, text=True)
        if ran.returncode not in (0, 1):
            sys.exit(f"squawk: {ran.stderr.strip()}")
        own = text.count("\n")
        warned = any(w["rule_name"] in LOCK_RULES and w["line"] >= own for w in json.loads(ran.stdout or "[]"))
        hits += warned and case["long_block_pg16"]
        found += case["long_block_pg16"]
        said += warned
print(f"squawk {version}: long blocks: precision {hits}/{said} ({hits / said:.3f}), recall {hits}/{found} ({hits / found:.3f})")
