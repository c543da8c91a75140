# make dev    start the whole network on this machine        (ARGS="--validators 4" passes flags on)
# make test   every test that needs no GPU                  (ONE=name runs the tests with that name only)
# make gpu    what a machine with an NVIDIA GPU shows: its bits, a paid job on it, figures
# make arm    the engine's kernels and golden hashes on 64-bit ARM, by QEMU where this machine is none
# make check  what takes seconds: formatting, types, the rules between crates and files
# make lint   formatting, clippy and unused dependencies, warnings refused
# make soak   ten minutes of load and faults on a whole network
# make pair   ten minutes of load and kills on two machines' worth: two chains, two gateways, Kafka, a bad line between them
# make sim    the indexer in 200 simulated networks, a provider in 1,000 schedules of kills  (SEEDS=10000, PROFILE=wild; SEED=7 PROFILE=wild plays one)
# make bench  every bench-* below but bench-plugin
# make agave  the whole network on Agave's own validator, whose first build takes half an hour and more (VAULTS=2000 accounts to start from), then a start from 200,000
# make agave-soak    the same under load for an hour          (MINUTES=10)
# make bench-plugin  what the plugin costs a validator's threads, through Agave's own plugin manager
# make release        what operators install: packages, bills of materials, checksums
# make test-packages  installs the packages in a clean Debian, starts every service, buys an answer (needs root)
# make plugin-1.18    builds and tests the Geyser plugin for validators of Solana 1.18, which has a workspace of its own
# make sbf    rebuild the on-chain programs and compare them with the committed .so files

SHELL := /bin/bash
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/mythic
export CARGO_TARGET_DIR ?= $(CACHE)/target
MYTHIC := $(CARGO_TARGET_DIR)/debug/mythic
# Rust where rustup puts it, for a shell that was opened before it was installed.
ifeq ($(shell command -v rustup),)
export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH)
endif

# Where commits are judged, a test that finds no Kafka, or can't run containers, fails instead of being skipped.
ifneq ($(CI),)
export MYTHIC_REQUIRE_KAFKA ?= 1
export MYTHIC_REQUIRE_CONTAINERS ?= 1
endif

.PHONY: dev build test gpu arm check lint soak pair sim bench bench-engine bench-indexer bench-disk bench-analyst bench-gateway bench-ttft bench-compute-units bench-plugin localnet agave agave-network agave-soak release packages test-packages plugin-1.18 sbf help
.DEFAULT_GOAL := help

help:
	@sed -n '1,/^$$/s/^# //p' Makefile

build:
	@scripts/setup.sh run
	@scripts/build.sh

dev: build
	@exec $(MYTHIC) dev $(ARGS)

# In two queues, what waits and what computes; says in the end how many passed. Tests that found no Kafka, or could not run containers, write
# themselves down there.
test: export MYTHIC_SKIPPED = $(CARGO_TARGET_DIR)/skipped
test:
	@scripts/setup.sh test
	@scripts/build.sh
	@$(MYTHIC) model pull
ifdef ONE
	scripts/test-one.sh $(ONE)
else
	@rm -f $(MYTHIC_SKIPPED)
	@scripts/tests.sh
endif

gpu:
	@scripts/setup.sh test
	scripts/gpu.sh all

arm:
	@scripts/setup.sh run
	@scripts/setup.sh arm
	scripts/arm.sh

check:
	@scripts/setup.sh run
	cargo fmt --check
	cargo check --workspace --all-targets --locked
	cargo test --locked -q -p mythic-architecture

lint:
	@scripts/setup.sh lint
	cargo fmt --check
	cargo fmt --check --manifest-path programs/ai-precompiles/Cargo.toml
	cargo fmt --check --manifest-path programs/compute-market/Cargo.toml
	cargo fmt --check --manifest-path programs/shared/Cargo.toml
	cargo fmt --check --manifest-path localnet/Cargo.toml
	cargo fmt --check --manifest-path geyser-plugin/v1_18/Cargo.toml
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo shear

soak: build
	@$(MYTHIC) model pull
	cargo test --locked -p mythic-e2e --test soak -- --ignored --nocapture

# Both need Kafka, and a whole machine each.
pair: export MYTHIC_REQUIRE_KAFKA ?= 1
pair: build
	@$(MYTHIC) model pull
	cargo test --locked -p mythic-e2e --test pair -- --ignored --nocapture --test-threads=1

sim:
	@scripts/setup.sh run
	cargo run -q --locked -p mythic-sim -- $(if $(SEED),--seed $(SEED),$(if $(SEEDS),--seeds $(SEEDS))) $(if $(PROFILE),--profile $(PROFILE)) $(ARGS)

bench: bench-engine bench-indexer bench-disk bench-analyst bench-gateway bench-ttft bench-compute-units

# The engine beside others, which it installs from PyPI and npm: ARGS="--model FILE --threads N --rounds N".
bench-engine:
	@scripts/setup.sh test
	cargo bench --profile dev --locked --workspace --bench engine -- $(ARGS)

# Requests a second and latency of the gateway's routes; estimates are not to wait for their allowance.
bench-gateway: build
	@$(MYTHIC) model pull
	MYTHIC_GATEWAY__LIMITS__ANONYMOUS_PER_MINUTE=1000000 cargo test --locked -p mythic-e2e --test bench_gateway -- --ignored --nocapture

bench-ttft: build
	@$(MYTHIC) model pull
	cargo test --locked --workspace --test bench -- --ignored --nocapture ttft

bench-compute-units:
	cargo test --locked -p mythic-program-tests compute_units -- --nocapture

bench-indexer:
	@scripts/setup.sh run
	cargo test --locked -p mythic-indexer --lib throughput -- --ignored --nocapture
	cargo test --locked -p mythic-api --test gateway latency_from_commit_to_subscriber -- --ignored --nocapture

# Bytes of a job and of an empty slot, by table: MYTHIC_BENCH_SLOTS=216000 MYTHIC_BENCH_JOBS=5000.
bench-disk:
	@scripts/setup.sh run
	cargo test --locked -p mythic-indexer --lib tests::disk::disk -- --ignored --nocapture

# The questions of sql/examples on a made network: MYTHIC_BENCH_JOBS=1000000.
bench-analyst:
	@scripts/setup.sh run
	cargo test --locked -p mythic-indexer --lib analyst_times -- --ignored --nocapture

# Agave and what runs on it: a workspace of its own, outside of everything else.
localnet:
	@scripts/setup.sh localnet
	OPENSSL_NO_VENDOR=1 cargo build --manifest-path localnet/Cargo.toml --workspace --locked

# A test on Agave: its name is the last word.
ON_AGAVE := MYTHIC_TEST_CHAIN_PROGRAM=$(CARGO_TARGET_DIR)/debug/mythic-localnet cargo test --locked -p mythic-e2e --test agave -- --ignored --nocapture

agave: agave-network
	$(ON_AGAVE) two_hundred_thousand

agave-network: build localnet
	@$(MYTHIC) model pull
	MYTHIC_LOCALNET_VAULTS=$(or $(VAULTS),2000) $(ON_AGAVE) the_whole_network

agave-soak: export MYTHIC_AGAVE_SECONDS = $(shell echo $$(( $(or $(MINUTES),60) * 60 )))
agave-soak: agave-network

bench-plugin: localnet
	OPENSSL_NO_VENDOR=1 cargo test --manifest-path localnet/Cargo.toml --locked --bin bench-plugin
	cargo build --release --locked -p mythic-geyser-plugin
	$(CARGO_TARGET_DIR)/debug/bench-plugin matrix $(CARGO_TARGET_DIR)/debug/libmythic_noop_plugin.so $(CARGO_TARGET_DIR)/release/libmythic_geyser_plugin.so

release:
	@scripts/setup.sh release
	scripts/release.sh

# The packages of what `make dev` built, to try them: large and slow.
packages: build
	@scripts/setup.sh release
	scripts/release.sh --dev

# Tries the packages in $CARGO_TARGET_DIR/dist; without any, those of `make packages`.
test-packages: build
	@scripts/setup.sh release
	@ls $(CARGO_TARGET_DIR)/dist/*.deb >/dev/null 2>&1 || $(MAKE) packages
	@$(MYTHIC) model pull
	deploy/test/packages.sh $(CARGO_TARGET_DIR)/dist $(CACHE)/models

# Solana 1.18 and its 400 libraries, in a target folder of their own: some minutes the first time.
plugin-1.18:
	@scripts/setup.sh run
	CARGO_TARGET_DIR=$(CARGO_TARGET_DIR)/1.18 cargo clippy --locked --all-targets --manifest-path geyser-plugin/v1_18/Cargo.toml -- -D warnings
	CARGO_TARGET_DIR=$(CARGO_TARGET_DIR)/1.18 cargo test --locked --manifest-path geyser-plugin/v1_18/Cargo.toml

sbf:
	@scripts/setup.sh sbf
	programs/elf/build.sh --check
