//! Waiting for a child as if it stood in our place: its end is ours, and what signals us signals it.
//!
//! A terminal signals the whole foreground group by itself, the child included; then we only survive it.

use std::io::{self, IsTerminal};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitCode, ExitStatus};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpgrp, tcgetpgrp};
use signal_hook::consts::{SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
use signal_hook::iterator::Signals;

/// Signals that are passed on.
const PASSED: [i32; 8] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGCONT, SIGWINCH];

/// Takes the signals that a supervisor needs. Signals that come before a child is there are kept for it.
pub fn signals() -> io::Result<Signals> {
    Signals::new(PASSED.iter().chain([&SIGCHLD]))
}

/// Starts a command and waits for its end.
pub fn run(command: &mut Command) -> io::Result<ExitCode> {
    let mut signals = signals()?;
    let child = command.spawn()?;
    wait(&child, &mut signals).map(ExitCode::from)
}

/// Waits for a child's end, and reaps every other process that was left to us. Gives its exit code; 128 and the signal
/// where a signal ended it, as shells say it.
pub fn wait(child: &Child, signals: &mut Signals) -> io::Result<u8> {
    let child = Pid::from_raw(child.id().cast_signed());
    loop {
        if let Some(code) = reap(child)? {
            return Ok(code);
        }
        for signal in signals.wait() {
            pass(signal, child);
        }
    }
}

/// Passes a signal on, unless the terminal has done so.
pub fn pass(signal: i32, child: Pid) {
    let by_terminal = [SIGINT, SIGQUIT, SIGWINCH, SIGCONT, SIGHUP].contains(&signal) && in_foreground();
    if signal != SIGCHLD
        && !by_terminal
        && let Ok(signal) = Signal::try_from(signal)
    {
        let _ = kill(child, signal); // it may have ended
    }
}

fn in_foreground() -> bool {
    let stdin = io::stdin();
    stdin.is_terminal() && tcgetpgrp(&stdin).is_ok_and(|group| group == getpgrp())
}

fn reap(child: Pid) -> io::Result<Option<u8>> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == child => return Ok(Some(code as u8)),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => return Ok(Some(128 + signal as u8)),
            Ok(WaitStatus::StillAlive) => return Ok(None),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The exit code that stands for a status.
pub fn code(status: ExitStatus) -> u8 {
    let by_signal = status.signal().map_or(1, |signal| 128 + signal as u8);
    status.code().map_or(by_signal, |code| code as u8)
}
