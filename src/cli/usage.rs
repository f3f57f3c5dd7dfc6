//! `tollgate usage` (to be written).

/// (to be written)
#[derive(clap::Args, Debug)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: Args) -> Result<(), super::Failure> {
    Err(super::Failure::failed("not written yet"))
}
