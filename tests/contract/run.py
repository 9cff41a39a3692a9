"""Holds a server to its own description with Schemathesis, which has read nothing else: once as a tenant's owner, once as nobody.

usage: run.py URL IDS

IDS is a JSON file: by what stands before an id in a path, the ids of things that are there. CONTRACT_TOKEN is the owner's token.
CONTRACT_SEED draws other requests; the seed is printed, and the same seed makes the same requests of the same description.
"""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import examples

HERE = Path(__file__).parent
url, ids = sys.argv[1:]
seed = os.environ.get("CONTRACT_SEED", "20261128")

# What streams events does not end by itself.
STREAMS = ["GET /v1/live", "GET /v1/conversations/{conversation_id}/live"]

# As whom, in which phases, and how many requests of each operation in the phases that draw them at random.
RUNS = [
    ("owner", "examples,coverage,fuzzing,stateful", 20),
    ("nobody", "examples,coverage,fuzzing", 5),
]


def schemathesis(whom, phases, most):
    environment = os.environ | {"CONTRACT_AS": whom, "CONTRACT_IDS": ids, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(HERE)}
    program = Path(sys.executable).with_name("schemathesis")
    command = [program, "--config-file", HERE / "schemathesis.toml", "run", f"{url}/openapi.json"]
    command += ["--phases", phases, "--max-examples", str(most), "--seed", seed]
    for stream in STREAMS:
        command += ["--exclude-name", stream]
    if whom == "owner":
        command += ["--header", f"Authorization: Bearer {environment['CONTRACT_TOKEN']}"]
    if whom == "nobody":
        # That everything is refused is what is wanted.
        command += ["--warnings", "off"]
    started = time.monotonic()
    run = subprocess.run(command, env=environment, cwd=Path(ids).parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    verdict = "passed" if run.returncode == 0 else "FAILED"
    print(f"{run.stdout}\n::: as {whom}: {verdict} in {time.monotonic() - started:.0f} s", flush=True)
    return run.returncode == 0


problems = examples.problems(url)
for problem in problems:
    print(f"example: {problem}")
print(f"::: the description's examples: {'FAILED' if problems else 'passed'}", flush=True)
# At once: nobody changes nothing, and so is in nobody's way.
with ThreadPoolExecutor() as pool:
    passed = list(pool.map(lambda run: schemathesis(*run), RUNS))
if not all(passed) or problems:
    sys.exit(f"The same again: CONTRACT_SEED={seed} make contract")
