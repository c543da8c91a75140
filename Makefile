# make dev    start the whole network on this machine        (ARGS="--validators 3" passes flags on)
# make test   every test that needs no GPU                (ONE=word runs those whose names hold it)
# make lint   formatting and clippy, warnings refused
# make bench  every bench-* below
# make sbf    rebuild the on-chain program and compare it with the committed .so

SHELL := /bin/bash
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/mythic
export CARGO_TARGET_DIR ?= $(CACHE)/target
MYTHIC := $(CARGO_TARGET_DIR)/debug/mythic

.PHONY: dev build test lint bench bench-engine bench-indexer bench-ttft bench-compute-units sbf help
.DEFAULT_GOAL := help

help:
	@sed -n '1,/^$$/s/^# //p' Makefile

build:
	@scripts/setup.sh run
	cargo build --workspace --locked

dev: build
	@exec $(MYTHIC) dev $(ARGS)

test:
	@scripts/setup.sh test
	cargo build --workspace --locked
	@$(MYTHIC) model pull
	cargo test --workspace --locked --no-fail-fast $(ONE)

lint:
	@scripts/setup.sh run
	cargo fmt --check
	cargo fmt --check --manifest-path programs/ai-precompiles/Cargo.toml
	cargo clippy --workspace --all-targets --locked -- -D warnings

bench: bench-engine bench-indexer bench-ttft bench-compute-units

# The engine against llama.cpp, which it installs from PyPI: ARGS="--model FILE --threads N".
bench-engine:
	@scripts/setup.sh test
	cargo bench --profile dev --locked --workspace --bench engine -- $(ARGS)

bench-ttft: build
	@$(MYTHIC) model pull
	cargo test --locked --workspace --test bench -- --ignored --nocapture ttft

bench-compute-units:
	cargo test --locked -p mythic-program-tests compute_units -- --nocapture

bench-indexer:
	@scripts/setup.sh run
	cargo test --locked -p mythic-indexer --lib throughput -- --ignored --nocapture

sbf:
	@scripts/setup.sh sbf
	programs/elf/build.sh --check
