//! The `tollgate` command: parse, run, and the one place that maps errors to exit codes.

fn main() -> std::process::ExitCode {
    tollgate::cli::main()
}
