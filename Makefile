# `make demo` and `make test` are all that a fresh Debian with Rust needs: each first installs what it lacks.

.DEFAULT_GOAL := help
.PHONY: help demo test contract bench lint openapi env-example sqlx sdks sdk-lock contract-lock setup-demo setup-test setup-lint clean-data
.SUFFIXES:

# Where rustup puts cargo, for shells that were started before it was installed.
export PATH := $(PATH):$(HOME)/.cargo/bin

help: ## what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup-demo ## a whole call on this machine, with simulated vendors and no keys
	cargo run --locked -- demo

test: setup-test sdks .venv-contract/requirements.txt ## every test, those with the vendors' own SDKs among them
	cargo test --workspace --locked

contract: setup-test .venv-contract/requirements.txt ## the API held to its own description by Schemathesis
	cargo test --locked --test contract -- --nocapture

bench: setup-test ## what lists and dashboards cost while a million conversations are there
	cargo bench --locked --bench conversations

lint: setup-lint ## formatting, the statements' descriptions, clippy, and the documentation
	cargo fmt --all --check
	.ci/sqlx
	@[ -z "$$(git -c safe.directory='*' status --porcelain -- .sqlx)" ] || { \
		git -c safe.directory='*' status --short -- .sqlx; echo 'The statements have changed: run `make sqlx`, and commit .sqlx.'; exit 1; }
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy --all-targets --no-default-features --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --document-private-items --locked

openapi: setup-lint ## rewrites control/openapi.json, the API's description, from the code
	cargo run --quiet --locked -- openapi >target/openapi.json
	mv target/openapi.json control/openapi.json

env-example: ## rewrites .env.example, which names every setting, from the code
	TRUNKLINE_WRITE=1 cargo test --quiet --locked --test repository env_example

sqlx: setup-lint ## rewrites .sqlx, with which control is built without a database
	.ci/sqlx

sdks: .venv/requirements.txt ## the vendors' own SDKs, in .venv

# The copy inside is written last: it says that the rest is complete.
.venv/requirements.txt: tests/sdk/requirements.txt
.venv-contract/requirements.txt: tests/contract/requirements.txt
.venv/requirements.txt .venv-contract/requirements.txt: | setup-test
	rm -rf $(@D)
	python3 -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --no-input --disable-pip-version-check --require-hashes --only-binary :all: -r $^
	cp $^ $@

sdk-lock: setup-test ## pins tests/sdk/requirements.in, with hashes, into requirements.txt
contract-lock: setup-test ## pins tests/contract/requirements.in likewise
sdk-lock contract-lock: %-lock:
	rm -rf target/lock
	python3 -m venv target/lock
	target/lock/bin/python -m pip install --quiet --disable-pip-version-check pip-tools
	cd tests/$* && ../../target/lock/bin/pip-compile --quiet --generate-hashes --strip-extras --no-header --no-annotate \
		--no-emit-options --no-emit-index-url --no-emit-find-links --no-emit-trusted-host requirements.in

setup-demo setup-test setup-lint: setup-%:
	@.ci/setup $*

clean-data: ## forgets what the program has stored in ./data
	rm -rf data
