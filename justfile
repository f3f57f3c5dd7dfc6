# One command for each chore. `.ci/run` runs the same ones.

# What this file offers.
default:
    @just --list

# Format, lints and documentation.
check:
    cargo fmt --check
    cargo clippy --locked --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps

# All tests, or those whose names match.
test *FILTER:
    cargo test --locked {{FILTER}}

# Model replies through a real proxy, and the ledger of them.
demo *ARGS:
    cargo run --locked --release -- demo {{ARGS}}

# Fuzz one target for so many seconds: hello, head, body, coding, sse, …
fuzz TARGET SECONDS="60":
    scripts/fuzz {{TARGET}} {{SECONDS}}

# Parts measured by themselves.
bench *ARGS:
    cargo bench --locked {{ARGS}}

# The whole against the floor, as CPU per unit. `just perf --help` lists scenarios and peers.
perf *ARGS:
    scripts/perf {{ARGS}}

# Licences, sources and advisories of dependencies.
deny:
    cargo deny --locked check

# The relay alone for guests: one static file of 1.6 MB, whose path is printed.
relay:
    scripts/relay

# A real guest: a VM without a network card, only vsock (scripts/vm says what it needs).
vm *ARGS:
    scripts/vm {{ARGS}}

# Which tools trust the CA in a jail with no configuration: tool × works.
trust:
    scripts/trust

# Jails as root and as an ordinary user, every attempt to escape from one, confinement, redirects and doctor.
jail:
    cargo test --locked --no-fail-fast --test guest_jail --test guest_confine --test guest_redirect --test guest_doctor -- --nocapture

# The files in config/ against the tools that read them (scripts/deployment says which).
deployment:
    scripts/deployment

# Everything that has to hold, as the continuous integration runs it.
ci:
    .ci/run
