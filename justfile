# Shortcuts for `just`; each is one command that can be typed as well.

# List these recipes.
default:
    @just --list

# The whole layer on a generated day of events: no server, no network.
demo *arguments:
    cargo run -- demo {{arguments}}

# Install and start what the tests need, run them all; arguments go to `cargo test`.
test *arguments:
    scripts/test {{arguments}}

# Archivers under schedules of kills, stalls and disturbed connections, drawn from the seeds 1 to COUNT, or FIRST-LAST.
torture seeds="20":
    LAKEBED_TORTURE_SEEDS={{ if seeds =~ '-' { seeds } else { "1-" + seeds } }} scripts/test --test integration torture -- --nocapture

# The history tables beside those that Apache Spark computes, over the sample, real edits and drawn histories.
spark:
    LAKEBED_TEST_SPARK=1 scripts/test --test integration -- histories:: end_to_end::

# What must pass before a change lands.
ci:
    .ci/run

# Kafka, MinIO, PostgreSQL and Toxiproxy: up, down, status or env.
services command="up":
    scripts/services {{command}}

# The archiver beside a discarding consumer and a Python archiver: ratios of CPU, time and memory.
bench *arguments:
    cargo build --release --bin lakebed --example discard
    scripts/services up
    eval "$(scripts/services env)" && scripts/python benches/archive.py {{arguments}}

# The history beside DuckDB over the same files: ratios of CPU, time and memory.
bench-history *arguments:
    cargo build --release --bin lakebed
    scripts/python benches/history.py {{arguments}}

# Format and lints, without tests.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps --document-private-items
