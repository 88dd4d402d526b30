# The commands of this repository. `make` alone says what there is.
#
# Build output is in target/ of each workspace; where CI is set it is shared between runs, outside of the clone.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

ifdef CI
cache := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/weir
export CARGO_TARGET_DIR ?= $(cache)/target
# Host and guests never share build settings, so they never share a folder.
export WEIR_TARGET_DIR ?= $(cache)/guests
endif

# OpenSSL is the longest to compile: builds for development take the system's, where its headers are. Releases carry
# their own.
ifeq ($(shell pkg-config --exists 'openssl >= 3' 2>/dev/null && echo yes),yes)
weir demo test test-services torture lint: export OPENSSL_NO_VENDOR := 1
endif

target := $(or $(CARGO_TARGET_DIR),target)
# Guests have workspaces of their own.
guest_workspaces := guest-sdk/rust plugins
guest_target = $(if $(WEIR_TARGET_DIR),--target-dir $(WEIR_TARGET_DIR)/$(1),)

.PHONY: help demo plugins weir release sbom test test-services torture audit lint bench

help:
	@echo "make demo      build everything and show it at work; no other service is needed"
	@echo "make plugins   build the sample plugins into plugins/dist"
	@echo "make test      install what the tests need and run all of them"
	@echo "make test-services  the tests against servers that are heavy: OpenSearch, Elasticsearch, ClickHouse, Druid, Spark, ..."
	@echo "make torture   power lost, disks that fail, damaged files, random plugins, broken definitions, many times over: make torture TIMES=50"
	@echo "make audit     advisories, licences and sources of everything that weir is made of"
	@echo "make lint      formatting and clippy, warnings denied"
	@echo "make release   target/release/weir to be installed, and its debug information beside it"
	@echo "make sbom      target/release/weir.cdx.json: all crates that weir is made of, their versions and licences (CycloneDX)"
	@echo "make bench     the benchmark queries beside a bare loop: make bench EVENTS=10000000 QUERIES='Q1 lookups'"
	@echo
	@echo "cargo install --path host/weir installs it; cargo build --release alone makes target/release/weir"

# Always of the whole workspace: a part of it resolves other features and compiles the world again.
weir:
	@echo "building weir (the first time takes some minutes; cargo shows how far it is)"
	cargo build --locked --workspace --bins

plugins:
	plugins/build

# The demo reads and writes nothing of another system, so the heavy clients stay out. Program and plugins are built at
# once: neither keeps two cores busy all the time.
demo:
	@echo "building weir without heavy clients (the first time takes some minutes; cargo shows how far it is)"
	@$(MAKE) --no-print-directory -j2 plugins weir-light
	@exec "$(target)/debug/weir" demo --plugins plugins/dist

.PHONY: weir-light
weir-light:
	cargo build --locked --package weir --no-default-features

test:
	if [[ -x tests/setup ]]; then tests/setup; fi
	plugins/build
	# The tests drive the built program, so it is built first, with the features that the tests bring.
	cargo build --locked --workspace --all-targets
	cargo test --locked --workspace
	$(foreach guests,$(guest_workspaces),cargo test --locked --workspace --manifest-path $(guests)/Cargo.toml $(call guest_target,$(guests)) && ) true

test-services:
	tests/setup
	tests/services/opensearch fetch-node
	tests/services/opensearch fetch-elasticsearch
	tests/services/clickhouse fetch
	tests/services/druid fetch
	tests/services/feast fetch
	tests/services/apicurio fetch
	tests/services/readers fetch-heavy
	plugins/build
	cargo build --locked --workspace --all-targets
	cargo test --locked --workspace --test weir -- --ignored --test-threads=1

# Advisories are fetched, so that this is not a part of the tests.
audit:
	cargo deny --version >/dev/null 2>&1 || cargo install --locked cargo-deny
	cargo deny --locked check

TIMES ?= 50

torture:
	cargo build --locked --workspace --all-targets
	WEIR_TORTURE=$(TIMES) WEIR_RANDOM_MODULES=$(TIMES)000 WEIR_MALFORMED=$(TIMES)0000 WEIR_PLUGIN_ROUNDS=$(TIMES) \
		cargo test --locked --workspace --test weir -- torture random_modules malformed plugins_life --test-threads=1 --nocapture

lint:
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	$(foreach guests,$(guest_workspaces),cargo fmt --all --check --manifest-path $(guests)/Cargo.toml && \
		cargo clippy --locked --workspace --all-targets --manifest-path $(guests)/Cargo.toml $(call guest_target,$(guests)) -- -D warnings && ) true

# Symbols and lines are in weir.debug, which weir names: debuggers, profilers and its own backtraces find it beside weir.
# A release has its own OpenSSL and zlib, so that it runs where neither is.
release: export CARGO_PROFILE_RELEASE_STRIP := none
release: export LIBZ_SYS_STATIC := 1
release:
	cargo build --locked --release --workspace --bins
	objcopy --only-keep-debug "$(target)/release/weir" "$(target)/release/weir.debug"
	objcopy --strip-all --add-gnu-debuglink="$(target)/release/weir.debug" "$(target)/release/weir"
	$(MAKE) sbom
	@ls -lh "$(target)/release/weir" "$(target)/release/weir.debug" "$(target)/release/weir.cdx.json"

# What the program is made of, as CycloneDX has it: beside the binary, and without the folder that it was built in. The tool
# writes one for every crate of the workspace.
sbom:
	cargo cyclonedx --version >/dev/null 2>&1 || cargo install --locked cargo-cyclonedx
	cargo cyclonedx --quiet --format json --spec-version 1.5 --manifest-path host/weir/Cargo.toml --override-filename weir.cdx
	mkdir -p "$(target)/release"
	sed 's|file://$(CURDIR)|file://|g' host/weir/weir.cdx.json > "$(target)/release/weir.cdx.json"
	rm -f host/*/weir.cdx.json tests/weir.cdx.json

EVENTS ?= 1000000
QUERIES ?=

bench:
	cargo build --locked --release --workspace --bins
	cargo bench --locked --workspace --bench speed -- $(EVENTS) $(QUERIES)
