# The one entry, for people and for CI alike. `make` alone lists what there is.

CARGO ?= cargo
PYTHON ?= python3

.DEFAULT_GOAL := help
.PHONY: help setup clients conformance fuzz demo up test fail-points chaos soak bench check fmt clippy deny doc probe

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## fetch servers, ONNX Runtime and models into .gristmill/ (a second run fetches nothing)
	$(PYTHON) tools/setup.py

# into a folder of ours: nothing on the machine changes
clients: .gristmill/clients/.installed ## fetch clients of others that tests run against Gristmill, into .gristmill/clients
.gristmill/clients/.installed: tools/clients.txt
	rm -rf .gristmill/clients
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --root-user-action ignore --target .gristmill/clients --requirement tools/clients.txt
	touch $@

# the same for what holds the API against its document
conformance: setup .gristmill/conformance/.installed ## hold the API against its own OpenAPI document (schemathesis; some minutes)
	$(CARGO) build --locked -p gristmill-cli
	$(PYTHON) tools/conformance/run.py --page docs/SECURITY.md
.gristmill/conformance/.installed: tools/conformance/requirements.txt
	rm -rf .gristmill/conformance
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --root-user-action ignore --target .gristmill/conformance --requirement tools/conformance/requirements.txt
	touch $@

fuzz: ## every decoder against made-up input, a minute each (nightly compiler, cargo-fuzz)
	$(PYTHON) tools/fuzz.py --page docs/SECURITY.md

demo: setup ## build release, start everything, run real files and sentences through it, stop
	$(CARGO) build --release --locked -p gristmill-cli
	$(PYTHON) tools/demo.py

up: setup ## build release and serve on this machine until Ctrl-C
	$(CARGO) build --release --locked -p gristmill-cli
	target/release/gristmill up --ready-file .gristmill/ready.json

# all targets at once: binaries that tests start, and one choice of features, so that nothing is built twice
test: setup clients fail-points ## every test: 14 faults and the defects on purpose, then unit, against real servers, across processes
	$(CARGO) build --locked --workspace --all-targets
	target/debug/chaos --small --page target/chaos/RELIABILITY.md
	$(CARGO) test --locked --workspace

# the same packages as for the tests, so that what they depend on is built once; the plain binary comes back by the next build
fail-points: ## a gristmill that the tests can break at named places, beside the plain one
	$(CARGO) build --locked --workspace --bin gristmill --features gristmill-cli/fail-points
	cp target/debug/gristmill target/debug/gristmill-fail-points

chaos: setup ## break a running pipeline in every way there is; the table goes to docs/RELIABILITY.md (half an hour)
	$(CARGO) build --release --locked -p gristmill-cli -p gristmill-e2e --bins --features gristmill-cli/fail-points
	cp target/release/gristmill target/release/gristmill-fail-points
	$(CARGO) build --release --locked -p gristmill-cli -p gristmill-e2e --bins
	target/release/chaos --page docs/RELIABILITY.md

soak: setup ## all faults in a random order under 100,000 jobs with webhooks, streams and bulk uploads (a quarter of an hour)
	$(CARGO) build --release --locked -p gristmill-cli -p gristmill-e2e --bins
	target/release/chaos --soak --page docs/RELIABILITY.md

bench: setup ## measure the pipeline against what the machine allows; docs/PERFORMANCE.md and target/bench/results.json (10 minutes)
	$(CARGO) build --release --locked -p gristmill-cli -p gristmill-e2e --bins
	target/release/bench --page docs/PERFORMANCE.md

check: fmt clippy deny doc ## all that CI asks besides the tests

fmt: ## the code is formatted
	$(CARGO) fmt --all --check

clippy: ## no warning of the compiler or of clippy
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

deny: ## licences, sources and who may import whom (cargo install cargo-deny --locked)
	$(CARGO) deny --locked check --allow unused-wrapper bans licenses sources

doc: ## the documentation builds without a warning
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps

probe: setup ## measure what the stream layout rests on (minutes; the figures are in docs/adr)
	$(CARGO) run --release --locked -p gristmill-e2e --bin probe
