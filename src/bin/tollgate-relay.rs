//! The relay alone, for guests that need nothing else: no TLS, no database, a fraction of the size.

fn main() -> std::process::ExitCode {
    tollgate::cli::relay_main()
}
